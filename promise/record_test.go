// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"slices"
	"strings"
	"testing"
)

// What a promise gives to its logger appears in the agent's log under the name
// and with the level that the promise used, as slapos.core prints it; what it
// prints has neither.
func TestRecords(t *testing.T) {
	t.Parallel()
	for name, interpreter := range map[string]string{"slapos.core": testPython, "runtime": barePython} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPartition(t)
			p.options.Interpreter = interpreter
			p.plugin("check.py", `def sense(self):
    self.logger.info('one')
    self.logger.warning(u'two \xe9')
    print('three')
    self.logger.error('four\nfive')
    self.logger.critical('x' * 70000)`)
			p.executable("good", "echo six")
			p.mustRun(Forced)
			for _, want := range []string{
				`level=INFO msg=one logger=check.py`,
				`level=WARN msg="two é" logger=check.py`,
				`level=INFO msg=three`,
				`level=ERROR msg="four\nfive" logger=check.py`,
				`level=INFO msg=six promise=good logger=good`,
			} {
				if !slices.Contains(strings.Split(p.log.String(), "\n"), want) {
					t.Errorf("no line %s in %.2000s", want, p.log.String())
				}
			}
			if strings.Contains(p.log.String(), "\x1e") || strings.Contains(p.log.String(), `\x1e`) {
				t.Error("a record came through as it is")
			}
			if !strings.Contains(p.log.String(), strings.Repeat("x", 4000)) {
				t.Error("a long record is lost")
			}
		})
	}
}

func TestParseRecord(t *testing.T) {
	for line, want := range map[string]bool{
		"\x1e" + `{"logger": "a.py", "level": "ERROR", "text": "t"}`: true,
		`{"logger": "a.py", "level": "ERROR", "text": "t"}`:          false,
		"\x1e" + `{"logger": "", "level": "ERROR", "text": "t"}`:     false,
		"\x1e" + `{"logger": "a\nb", "level": "ERROR", "text": "t"}`: false,
		"\x1e" + `{"logger": "a.py", "level": "ERR`:                  false,
		"\x1e": false,
	} {
		if _, ok := parseRecord(line); ok != want {
			t.Errorf("%q: %v", line, ok)
		}
	}
}

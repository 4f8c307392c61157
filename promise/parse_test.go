// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// askPython evaluates an expression over a list of texts, given as JSON on
// standard input.
func askPython(t *testing.T, expression string, texts []string) []string {
	t.Helper()
	command := exec.Command(testPython, "-c", "import json, os, sys\nfor text in json.load(sys.stdin): print("+expression+")")
	command.Stdin = strings.NewReader(string(must(json.Marshal(texts))))
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func TestAgainstPython(t *testing.T) {
	t.Parallel()
	names := []string{"check", "check.sh", "check.py", "a.b.c", ".hidden", ".hidden.py", "..x", "...", "a.", "a..", "..a.b", "é.py"}
	for i, want := range askPython(t, "os.path.splitext(text)[0]", names) {
		if got := titleOf(names[i]); got != want {
			t.Errorf("titleOf(%q) = %q, want %q", names[i], got, want)
		}
	}
	texts := append(names, "\x00\x1f\x7f\u0080é€😀\u2028\ufffd", "\"\\/\n\r\t\b\f", strings.Repeat("é", 5000), strings.Repeat("é", 5001), strings.Repeat("😀", 9000))
	for i, want := range askPython(t, "json.dumps(text)", texts) {
		if got := asciiJSON(texts[i]); got != want {
			t.Errorf("asciiJSON(%q) = %s, want %s", texts[i], got, want)
		}
		if got := asciiOnly(string(must(json.Marshal(texts[i])))); unquoted(t, got) != texts[i] {
			t.Errorf("asciiOnly(%q) = %s", texts[i], got)
		}
	}
	for i, want := range askPython(t, "json.dumps('...' + text[-5000:] if len(text) > 5000 else text)", texts) {
		if got := asciiJSON(shorten(texts[i])); got != want {
			t.Errorf("shorten(%.20q…) has %d bytes, want %d", texts[i], len(got), len(want))
		}
	}
	if got := asciiJSON("a\xff"); got != `"a\udcff"` {
		t.Errorf("a name that is not UTF-8: %s", got)
	}
	if got := shorten(shorten(strings.Repeat("x", 6000))); len(got) != messageLimit+3 {
		t.Errorf("shortened twice: %d bytes", len(got))
	}
}

func unquoted(t *testing.T, text string) string {
	t.Helper()
	var value string
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestExecutionTime(t *testing.T) {
	r := &run{Options: Options{Timeout: 20 * time.Second}}
	for _, test := range []struct {
		outcome outcome
		want    string
	}{
		{outcome{}, "0.001"},
		{outcome{duration: 7 * time.Microsecond}, "0.001"},
		{outcome{duration: 320400 * time.Microsecond}, "0.32"},
		{outcome{duration: time.Second}, "1.0"},
		{outcome{timedOut: true, duration: 21 * time.Second}, "20.0"},
	} {
		if got := pythonFloat(r.executionTime(test.outcome)); got != test.want {
			t.Errorf("%+v: %s, want %s", test.outcome, got, test.want)
		}
	}
}

func TestParseSchedule(t *testing.T) {
	good := `{"is_tested": true, "is_anomaly_detected": false, "periodicity": 3, "next_run_after": 1795225521.66, "module_file": "/x.py"}`
	if s := parseSchedule([]byte(good)); s == nil || !s.Tested || s.Anomaly || s.NextRun != 1795225521.66 || s.ModuleFile != "/x.py" {
		t.Errorf("got %+v", s)
	}
	for _, bad := range []string{"", "[]", "null", "{}", strings.Replace(good, "true", `"yes"`, 1), strings.Replace(good, "/x.py", "x.py", 1),
		strings.Replace(good, "is_tested", "tested", 1), strings.Replace(good, "1795225521.66", "NaN", 1)} {
		if s := parseSchedule([]byte(bad)); s != nil {
			t.Errorf("%s: got %+v", bad, s)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add([]byte(`{"is_tested": true, "is_anomaly_detected": false, "next_run_after": 1, "module_file": "/x.py"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if s := parseSchedule(content); s != nil && !strings.HasPrefix(s.ModuleFile, "/") {
			t.Errorf("module file %q", s.ModuleFile)
		}
	})
}

func FuzzParseStored(f *testing.F) {
	f.Add([]byte(`{"title": "a", "name": "a.py", "path": "/a.py", "execution-time": 0.05, "result": {"type": "Test Result", "failed": true, "date": "2026-11-21T01:42:57+0000", "message": "broken"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parseStored(content)
		if err != nil {
			return
		}
		again, err := parseStored(s.text())
		if err != nil || again.Result.Failed != s.Result.Failed || again.message() != s.message() || again.Name != s.Name {
			t.Errorf("%s became %s: %v", content, s.text(), err)
		}
		if utf8.RuneCountInString(s.message()) > messageLimit+3 {
			t.Errorf("a message of %d bytes", len(s.message()))
		}
	})
}

func FuzzParseHistory(f *testing.F) {
	f.Add([]byte("2026-11-21 01:42:57 - ERROR - 1795225377-123 - broken\n  more\n\n2026-11-21 01:43:57 - INFO - 1795225437-456 - good\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		runs := parseHistory(log, 3)
		if len(runs) > 3 {
			t.Errorf("%d runs", len(runs))
		}
		for _, run := range runs {
			if !utf8.ValidString(run.message) {
				t.Errorf("message %q", run.message)
			}
		}
		judge(runs, Forced)
	})
}

// FuzzReceive reads whatever a promise may write as a message of the driver.
func FuzzReceive(f *testing.F) {
	f.Add(`{"runner": "own", "version": null}`, `{"name": "check.py", "status": "done", "type": "Test Result", "failed": false, "message": "m", "date": "x", "duration": 1e300}`)
	f.Add(`{"runner": "launcher"}`, `{"error": null, "promise": false, "finished": true}`)
	f.Add(`{"bang": "x"}`, `{"name": "other.py"}`)
	p := newPartition(f)
	f.Fuzz(func(t *testing.T, first, second string) {
		r, err := newRun(p.options)
		if err != nil {
			t.Fatal(err)
		}
		defer r.files.close()
		c := &check{kind: Plugin, name: "check.py", title: "check", ended: make(chan struct{})}
		d := newDriver(r, []*check{c})
		for _, line := range []string{first, second, first} {
			d.receive(t.Context(), line)
		}
		d.banging.Wait()
	})
}

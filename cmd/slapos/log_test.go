// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// newTestEnvironment has buffers for its output, an empty environment but HOME,
// and the user root.
func newTestEnvironment(t *testing.T) (e *environment, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	e = newEnvironment()
	variables := map[string]string{"HOME": t.TempDir()}
	e.stdin, e.stdout, e.stderr = strings.NewReader(""), stdout, stderr
	e.getenv = func(name string) string { return variables[name] }
	e.pid, e.uid = 17707, 0
	e.log = slog.New(e.console())
	return e, stdout, stderr
}

func TestLibraryLog(t *testing.T) {
	for verbose, want := range []string{`^$`, `slapos\[17707\] DEBUG Unsolicited response\n$`} {
		e, _, stderr := newTestEnvironment(t)
		e.global.verbose = verbose
		e.log = slog.New(e.console())
		log.New(libraryLog{e}, "", 0).Println("Unsolicited response")
		if !regexp.MustCompile(want).MatchString(stderr.String()) {
			t.Errorf("verbose %d: %q", verbose, stderr)
		}
	}
}

// GRID-11, CLI-11, CLI-12.
func TestConsoleLog(t *testing.T) {
	const clock = `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d `
	for _, test := range []struct {
		name    string
		options globalOptions
		log     func(*slog.Logger)
		want    string // regular expression, "" for nothing
	}{
		{"plain", globalOptions{}, func(l *slog.Logger) { l.Info("message") }, clock + `slapos\[17707\] INFO message\n$`},
		{"no time", globalOptions{noTime: true}, func(l *slog.Logger) { l.Warn("message") }, `^slapos\[17707\] WARNING message\n$`},
		{"critical", globalOptions{}, func(l *slog.Logger) { l.Log(t.Context(), levelCritical, "message") }, `CRITICAL message\n$`},
		{"several lines", globalOptions{}, func(l *slog.Logger) { l.Info("one\ntwo") }, `INFO one\ntwo\n$`},
		{"name of the logger", globalOptions{}, func(l *slog.Logger) { l.With("logger", "slapos.format").Info("m") }, `slapos\.format\[17707\] INFO m\n$`},
		{"name in a record", globalOptions{}, func(l *slog.Logger) { l.Info("m", "logger", "slapos.boot") }, `slapos\.boot\[17707\] INFO m\n$`},
		{"attributes", globalOptions{}, func(l *slog.Logger) { l.Info("m", "partition", "p1", "text", "a b", "none", "") },
			`INFO m partition=p1 text="a b" none=""\n$`},
		{"groups", globalOptions{}, func(l *slog.Logger) { l.WithGroup("g").Info("m", slog.Group("h", "a", 1)) }, `INFO m g\.h\.a=1\n$`},
		{"context stays out", globalOptions{}, func(l *slog.Logger) { l.With("partition", "p1").Info("m") }, `INFO m\n$`},
		{"context at debug level", globalOptions{verbose: 1}, func(l *slog.Logger) { l.With("partition", "p1").Debug("m", "a", 1) }, `DEBUG m a=1 partition=p1\n$`},
		{"no debug", globalOptions{}, func(l *slog.Logger) { l.Debug("m") }, ``},
		{"quiet", globalOptions{quiet: true}, func(l *slog.Logger) { l.Info("m") }, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, _, stderr := newTestEnvironment(t)
			e.global = test.options
			test.log(slog.New(e.console()))
			if got := stderr.String(); (test.want == "") != (got == "") || !regexp.MustCompile(test.want).MatchString(got) {
				t.Errorf("got %q, want %s", got, test.want)
			}
		})
	}
}

// D-13: --log-format json.
func TestJSONLog(t *testing.T) {
	e, _, stderr := newTestEnvironment(t)
	e.global.logFormat = "json"
	slog.New(e.console()).With("logger", "slapos.boot").Log(t.Context(), levelCritical, "one\ntwo", "partition", "p1")
	var line map[string]any
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"level": "CRITICAL", "msg": "one\ntwo", "partition": "p1", "logger": "slapos.boot"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %q", key, line[key], want)
		}
	}
}

// GRID-11, CLI-11, CLI-12.
func TestLogFile(t *testing.T) {
	e, _, stderr := newTestEnvironment(t)
	path := filepath.Join(t.TempDir(), "log")
	for range 2 {
		if err := e.applyGlobalOptions([]string{"--quiet=true", "--log-file=" + path}); err != nil {
			t.Fatal(err)
		}
		e.log.Debug("message")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^(\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] DEBUG    message\n){2}$`).Match(data) || stderr.Len() > 0 {
		t.Errorf("file %q, console %q", data, stderr)
	}
}

// GRID-11, CLI-11.
func TestVerbosity(t *testing.T) {
	for words, want := range map[string]slog.Level{
		"": slog.LevelInfo, "--verbose=true": slog.LevelDebug, "--verbose=true --verbose=true": slog.LevelDebug, "--quiet=true": slog.LevelWarn,
	} {
		e, _, _ := newTestEnvironment(t)
		if err := e.applyGlobalOptions(strings.Fields(words)); err != nil || e.global.level() != want {
			t.Errorf("%s: level %v, %v", words, e.global.level(), err)
		}
	}
}

// CLI-12.
func TestColors(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "", slog.LevelDebug: "0;32", slog.LevelWarn: "0;33", slog.LevelError: "0;31", levelCritical: "1;31",
	} {
		if got := messageColor(level); got != want {
			t.Errorf("%v has colour %q, want %q", level, got, want)
		}
	}
}

// CLI-8, with one line in place of the traceback; CLI-14.
func TestReport(t *testing.T) {
	inner := errors.New("inner")
	for _, test := range []struct {
		err   error
		debug bool
		code  int
		lines int
	}{
		{nil, false, 0, 0},
		{errors.New("failed"), false, 1, 1},
		{errors.New("first line\nsecond line"), false, 1, 1},
		{&exitError{2, nil}, false, 2, 0},
		{&exitError{255, errors.New("no")}, false, 255, 1},
		{errors.Join(inner), true, 1, 2},
	} {
		e, _, stderr := newTestEnvironment(t)
		e.global.debug = test.debug
		if code := e.report(t.Context(), test.err); code != test.code {
			t.Errorf("%v: code %d, want %d", test.err, code, test.code)
		}
		if got := strings.Count(stderr.String(), "\n"); got != test.lines {
			t.Errorf("%v: %q", test.err, stderr)
		}
	}
}

// Texts of the original that don't say the way out are followed by it.
func TestAdvice(t *testing.T) {
	notFound := &slap.HTTPError{Status: 404, URL: "http://master/x", Path: "x"}
	for _, test := range []struct {
		err  error
		want string // end of the line
	}{
		{slap.ErrNoHateoas, "is not available. Set master_rest_url in section [slapos], for a local master to http://HOST:PORT/hateoas.\n"},
		{fmt.Errorf("bang: %w", notFound), "bang: " + notFound.Error() + ": the master doesn't know this: check names, and master_url\n"},
		{fmt.Errorf("no partition (%w)", notFound), "no partition (" + notFound.Error() + ")\n"},
		{&slap.HTTPError{Status: 408, Path: "x"}, " x: the master isn't ready to answer this: try again later\n"},
		{&slap.HTTPError{Status: 500, Reason: "Bad", URL: "http://master/x"}, "500 Server Error: Bad for url: http://master/x\n"},
	} {
		e, _, stderr := newTestEnvironment(t)
		if code := e.report(t.Context(), test.err); code != 1 || !strings.HasSuffix(stderr.String(), test.want) {
			t.Errorf("code %d, %q, want %q", code, stderr, test.want)
		}
	}
}

// TestLogFileMode: others can't write a log that is new, whatever the umask; the mode of
// one that is there is its owner's affair (CLI-11).
func TestLogFileMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	e, _, _ := newTestEnvironment(t)
	directory := t.TempDir()
	given := testkit.WriteFile(t, filepath.Join(directory, "given"), "before\n")
	if err := os.Chmod(given, 0o604); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]fs.FileMode{filepath.Join(directory, "new"): 0o644, given: 0o604} {
		if err := e.addLogFile(path); err != nil {
			t.Fatal(err)
		}
		e.log.Debug("message")
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has the mode %o, want %o (%v)", path, info.Mode().Perm(), mode, err)
		}
		if text := testkit.ReadFile(t, path); !strings.HasSuffix(text, "message\n") {
			t.Errorf("%s: %q", path, text)
		}
	}
}

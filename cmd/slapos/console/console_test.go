// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peterh/liner"

	"slapos/slap"
)

// newTestSession has a master that does not answer.
func newTestSession(t *testing.T) (*Session, *strings.Builder) {
	out := new(strings.Builder)
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	return New(t.Context(), Options{Master: master, Stdout: out, Logger: slog.New(slog.DiscardHandler)}), out
}

// scriptOf is a script with an argument.
func scriptOf(source string) Program {
	return Program{Name: "script.py", File: "script.py", Source: source, Arguments: []string{"script.py", "one"}}
}

// What a script of the original's console prints is printed here.
func TestConsoleLanguage(t *testing.T) {
	for _, test := range []struct{ code, want string }{
		{`print(1, 2.0, True, None, "a'b", ["a'b"], ("x",), {"k": 'v'}, [])`, "1 2.0 True None a'b [\"a'b\"] ('x',) {'k': 'v'} []\n"},
		{`print("a", "b", sep="-", end="!")`, "a-b!"},
		{"import sys\nprint(sys.argv)", "['script.py', 'one']\n"},
		{"from os import path as p, getenv\nprint(p.join('a', 'b'), getenv('NOT_SET_AT_ALL', 'x'))", "a/b x\n"},
		{"from __future__ import print_function; print(1)", "1\n"},
		{"import json, math, time; print(json.dumps({'a': [1]}, indent=2), math.floor(1.5))", "{\n  \"a\": [\n    1\n  ]\n} 1\n"},
		{"print(json.dumps({'b': 1, 'a': 2}, sort_keys=True))", "{\"a\": 2, \"b\": 1}\n"},
		{"x = 1\nx = 2\nwhile x < 4:\n    x += 1\nprint(x is None, x is not None, 'is import' + \"raise\")", "False True is importraise\n"},
		{"for c in 'añ':\n  print(c)\nprint([c for c in 'ab'])", "a\nñ\n['a', 'b']\n"},
		{"text = '''\nimport nothing\nraise x'''\nprint(len(text))", "23\n"},
		{"print(str(None), str(), repr('a'), str({'a': 'b'}))", "None  'a' {'a': 'b'}\n"},
		{"print(__name__, __file__, dir(slap)[0])", "slapos.client script.py getComputerDict\n"},
		{"sys.stdout.write('x')", "x"},
		{"def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nprint(f(20))", "2432902008176640000\n"},
	} {
		s, out := newTestSession(t)
		if err := s.Run(scriptOf(test.code)); err != nil || out.String() != test.want {
			t.Errorf("%s: %q, %v; want %q", test.code, out, err, test.want)
		}
	}
}

func TestConsoleFailures(t *testing.T) {
	for _, test := range []struct{ code, want string }{
		{"x = 1\nraise ValueError('no')", "script.py:2:10: ValueError: no"},
		{"if True:\n    raise RuntimeError", "script.py:2:14: RuntimeError"},
		{"raise 'text'", "script.py:1:10: text"},
		{"def f():\n    g()\ndef g():\n    raise KeyError('k')\nf()", "script.py:4:14: KeyError: k"},
		{"import socket", "script.py:1:1: the console has no module socket: its language is Starlark, see slapos console --help"},
		{"from requests import get", "script.py:1:1: the console has no module requests: its language is Starlark, see slapos console --help"},
		{"x = 1 +", "script.py:1:8: got end of file, want primary expression"},
		{"try:\n  pass\nexcept: pass", "script.py:1:1: got try, want primary expression: the console's language is Starlark, which has no try"},
		{"class A: pass", "script.py:1:1: got class, want primary expression: the console's language is Starlark, which has no class"},
		{"print(f'{x}')", "script.py:1:13: got string literal, want ',': the console's language is Starlark, which has no f-strings: use format() or %"},
		{"nonsense", "script.py:1:1: undefined: nonsense"},
		{"supply()", "script.py:1:7: supply: missing argument for software_release"},
		{"slap.registerComputerPartition('', 'x')", `script.py:1:31: a partition needs the references of its computer and of itself, not "" and "x"`},
		{"request('u', 'r', {1: 2})", "script.py:1:8: the key 1 must be text"},
		{"request('u', 'r', filter_kw='x')", "script.py:1:8: Unexpected type of filter_kw 'x'"},
	} {
		s, _ := newTestSession(t)
		if err := s.Run(scriptOf(test.code)); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.code, err, test.want)
		}
	}
}

func TestConsoleCompletion(t *testing.T) {
	s, _ := newTestSession(t)
	s.setArguments("", nil)
	for _, test := range []struct {
		before, head string
		want         []string
	}{
		{"x = requ", "x = ", []string{"request"}},
		{"slap.registerC", "", []string{"slap.registerComputer", "slap.registerComputerPartition"}},
		{"f(os.path.ex", "f(", []string{"os.path.exists", "os.path.expanduser"}},
		{"nothing.x", "", nil},
		{"__ra", "", []string{"__raise__"}},
	} {
		head, got, _ := s.complete(test.before, "")
		if head != test.head || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q %q", test.before, head, got)
		}
	}
}

// consoleOf is a console before a master that answers 408 to requests and
// reports of errors, and keeps the software types that it was asked for.
func consoleOf(t *testing.T) (s *Session, kinds *[]string, log io.Reader) {
	kinds = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*kinds = append(*kinds, r.FormValue("software_type"))
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	t.Cleanup(server.Close)
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	stderr := new(bytes.Buffer)
	return New(t.Context(), Options{Master: master, Logger: slog.New(slog.NewTextHandler(stderr, nil))}), kinds, stderr
}

// SLAP-42: who names no software type gets the default one; SLAP-58: what is
// not ready is told when something is asked of it.
func TestConsoleRequestsInVain(t *testing.T) {
	s, kinds, _ := consoleOf(t)
	if err := s.Run(Program{Name: "s", Source: "a = request('u', 'r')\nrequest('u', 'r', software_type=None)\nrequest('u', 'r', software_type='')\nrequest('u', 'r', software_type='t')\n"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(*kinds, []string{"default", "default", "", "t"}) {
		t.Errorf("types %q", *kinds)
	}
	for _, call := range []string{"getState()", "getInstanceGuid()", "getId()", "getConnectionParameterDict()", "getInstanceParameterDict()", "getSoftwareRelease()", "getType()"} {
		if err := s.Run(Program{Name: "s", Source: "request('u', 'r')." + call}); err == nil {
			t.Errorf("%s: no error", call)
		}
	}
}

// SLAP-46: a report of an error that doesn't arrive is logged, others fail.
func TestConsoleErrorNeverFails(t *testing.T) {
	s, kinds, log := consoleOf(t)
	if err := s.Run(Program{Name: "s", Source: "slap.registerComputerPartition('C', 'p').error('broken')"}); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(log); err != nil || len(*kinds) == 0 || !strings.Contains(string(text), "softwareInstanceError") {
		t.Errorf("log %s, %v", text, err)
	}
	if err := s.Run(Program{Name: "s", Source: "slap.registerComputerPartition('C', 'p').bang('m')"}); err == nil {
		t.Error("no error of a bang")
	}
	if err := s.Run(Program{Name: "s", Source: "slap.registerSoftwareRelease('u').error('broken')"}); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(log); err != nil || !strings.Contains(string(text), "computer_guid has not been defined.") {
		t.Errorf("log %s, %v", text, err)
	}
}

// SLAP-45: a release says what it knows, and fails for what it doesn't.
func TestConsoleRelease(t *testing.T) {
	s, _, _ := consoleOf(t)
	if err := s.Run(Program{Name: "s", Source: "r = slap.registerSoftwareRelease('u')\nif r.getURI() != 'u' or r.getState() != 'available': fail('wrong')"}); err != nil {
		t.Error(err)
	}
	for code, want := range map[string]string{
		"slap.registerSoftwareRelease('u').getComputerId()": "computer_guid has not been defined.",
		"slap.registerSoftwareRelease('u').available()":     "computer_guid has not been defined.",
		"slap.registerSoftwareRelease('').getURI()":         "software_release has not been defined.",
		"slap.registerSoftwareRelease('').building()":       "software_release has not been defined.",
	} {
		if err := s.Run(Program{Name: "s", Source: code}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// What was typed may hold secrets.
func TestConsoleHistory(t *testing.T) {
	terminal := liner.NewLiner()
	defer terminal.Close()
	terminal.AppendHistory("request('x', parameters={'password': 'p'})")
	path := filepath.Join(t.TempDir(), "history")
	(&Session{options: Options{History: path}}).saveHistory(terminal)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info, err)
	}
}

// A script may do anything but crash the program.
func FuzzConsole(f *testing.F) {
	for _, code := range []string{"import sys", "raise", "raise x is not y", "from a import (b)", "x = [c for c in 'a']", "import\x00", "é is import", "if x: import os; y"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		if file, err := parsePython("script.py", code); (file == nil) == (err == nil) {
			t.Errorf("%q: %v, %v", code, file, err)
		}
	})
}

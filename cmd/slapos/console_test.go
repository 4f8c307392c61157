// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slices"
	"strings"
	"testing"

	"slapos/slap"
)

// newTestConsole has a master that does not answer.
func newTestConsole(t *testing.T) (*console, *strings.Builder) {
	e, _, _ := newTestEnvironment(t)
	out := new(strings.Builder)
	e.stdout = out
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole(t.Context(), e, &client{master, nil})
	c.setArguments("script.py", []string{"script.py", "one"})
	return c, out
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
		c, out := newTestConsole(t)
		if err := c.execute("script.py", test.code); err != nil || out.String() != test.want {
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
		{"import socket", "script.py:1:1: the console has no module socket: it is Starlark, see slapos console --help"},
		{"from requests import get", "script.py:1:1: the console has no module requests: it is Starlark, see slapos console --help"},
		{"x = 1 +", "script.py:1:8: got end of file, want primary expression"},
		{"try:\n  pass\nexcept: pass", "script.py:1:1: got try, want primary expression"},
		{"nonsense", "script.py:1:1: undefined: nonsense"},
		{"supply()", "script.py:1:7: supply: missing argument for software_release"},
		{"slap.registerComputerPartition('', 'x')", `script.py:1:31: a partition has the reference of its computer and its own: "" "x"`},
		{"request('u', 'r', {1: 2})", "script.py:1:8: the key 1 must be text"},
		{"request('u', 'r', filter_kw='x')", "script.py:1:8: Unexpected type of filter_kw 'x'"},
	} {
		c, _ := newTestConsole(t)
		if err := c.execute("script.py", test.code); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.code, err, test.want)
		}
	}
}

func TestConsoleCompletion(t *testing.T) {
	c, _ := newTestConsole(t)
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
		head, got, _ := c.complete(test.before, "")
		if head != test.head || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q %q", test.before, head, got)
		}
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

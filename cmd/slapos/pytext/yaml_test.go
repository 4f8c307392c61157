// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"encoding/json"
	"strings"
	"testing"
)

var yamlSeeds = []string{
	"a: 1\nb: [yes, No, on, off, true, y, n]\n", "mode: 0644\nhex: 0x1F\nbin: 0b101\ntime: 1:30\nneg: -1_000\nbig: 123456789012345678901\n",
	"a: 1.0\nb: 1e5\nc: 1.5e+3\nd: .5\ne: .inf\nf: -.INF\ng: 1:30.5\nh: 1_0.5\ni: 1.\n", "a: ~\nb: null\nc:\nd: ''\ne: \"1\"\n",
	"base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\nd:\n  <<: [*b, {z: 1}]\n", "- a\n- b: |\n    text\n    more\n- >\n  folded\n  text\n",
	"a: !!str 1\nb: !!int '2'\nc: !!float 3\n", "2: a\ntrue: b\n~: c\n1.5: d\n", "a: 2026-01-01\n", "a: b\n---\nc: d\n", "", "# nothing\n",
	"a: [1, 2\n", "a: &a [*a]\n", "a: 08\nb: 0o17\nc: 1__0\n", "'a b': \"\\u00e9\\n\"\n", "a: =\n", "x: 0\ny: -0\nz: +1\n", "text: plain words here # comment\n",
}

func compareYAML(t *testing.T, python *reference, text string) {
	t.Helper()
	value, err := DecodeYAML([]byte(text))
	var want string
	ok := python.ask(t, "from_yaml", []byte(text), &want)
	if !ok {
		return // what PyYAML refuses or JSON can't hold may be taken here
	}
	if err != nil {
		t.Fatalf("%q: %v, Python's %s", text, err, want)
	}
	got := EncodeJSON(value)
	if strings.Contains(text, "<<") { // the order of merged keys is another one in each PyYAML
		got, want = sorted(t, got), sorted(t, want)
	}
	if got != want {
		t.Fatalf("%q: %s, Python's %s", text, got, want)
	}
}

// sorted is a JSON text with the keys of each mapping in order.
func sorted(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	ordered, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(ordered)
}

func TestYAMLMerge(t *testing.T) {
	t.Parallel()
	const base = "b: &b {xx: 1, yy: 2}\nc: &c {yy: 5, zz: 6}\nd: "
	for text, want := range map[string]string{
		"{<<: [*b, {zz: 1}]}":         `{"xx": 1, "yy": 2, "zz": 1}`,
		"{<<: [*b, *c]}":              `{"xx": 1, "yy": 2, "zz": 6}`, // of several the first wins
		"{<<: [*c, *b]}":              `{"yy": 5, "zz": 6, "xx": 1}`,
		"{<<: *b, <<: *c}":            `{"xx": 1, "yy": 5, "zz": 6}`, // a later << replaces
		"{ww: 0, <<: *b, yy: 7}":      `{"xx": 1, "yy": 7, "ww": 0}`, // what is merged stands first, and gives way
		"{<<: [{<<: *b, xx: 3}, *c]}": `{"xx": 3, "yy": 2, "zz": 6}`,
	} {
		value, err := DecodeYAML([]byte(base + text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := EncodeJSON(value.(*Object).Value("d"))
		if strings.Join(strings.Fields(got), " ") != strings.Replace(strings.Replace(want, "{", "{ ", 1), "}", " }", 1) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestYAMLLikePython(t *testing.T) {
	t.Parallel()
	python := newReference(t)
	for _, seed := range yamlSeeds {
		compareYAML(t, python, seed)
	}
}

func TestYAMLErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: 2026-01-01\n":   "yaml: line 1: 2026-01-01 is a date, which parameters can't hold: quote it",
		"a: b\n---\nc: d\n": "yaml: more than one document",
		"a: &a [*a]\n":      "yaml: line 1: too much or too deep",
		"? [a]\n: b\n":      "yaml: line 1: a key must be text",
		"a: {<<: 1}\n":      "yaml: line 1: << must refer to a mapping",
		"a: !!python/object/apply:os.system [b]\n": "yaml: line 1: !!python/object/apply:os.system can't be a parameter",
		"a: !unknown {b: c}\n":                     "yaml: line 1: !unknown can't be a parameter",
	} {
		if _, err := DecodeYAML([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for level := 'b'; level < 'j'; level++ {
		before := "*" + string(level-1)
		bomb += string(level) + ": &" + string(level) + " [" + strings.Repeat(before+",", 9) + before + "]\n"
	}
	if _, err := DecodeYAML([]byte(bomb)); err == nil {
		t.Error("aliases may multiply without limit")
	}
}

// FuzzYAML compares plain words with Python. Of whole documents it only wants an
// answer or an error: the two parsers differ in corners of the grammar.
func FuzzYAML(f *testing.F) {
	for _, seed := range yamlSeeds {
		f.Add(seed)
	}
	for _, word := range []string{"0x_", "1:60", "+.inf", "0b2", "1e+1", "-0_8", "Yes", "2026-1-1", "_1", "1_", "0.e+1"} {
		f.Add(word)
	}
	python := newReference(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 40 && strings.Trim(text, "0123456789abcdefABCDEFxXoOtT.:+-_nNyYlLrsuRSUiI") == "" && !strings.HasSuffix(text, ":") {
			compareYAML(t, python, "a: "+text+"\n")
		}
		if value, err := DecodeYAML([]byte(text)); err == nil {
			EncodeJSON(value)
		}
	})
}

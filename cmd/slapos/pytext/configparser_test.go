// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// CLI-22.
func TestParseConfiguration(t *testing.T) {
	type sections = map[string]map[string]string
	for _, test := range []struct {
		name, text string
		want       sections
	}{
		{"equals and colon", "[a]\nx = 1\ny: 2\nz=a:b=c\n", sections{"a": {"x": "1", "y": "2", "z": "a:b=c"}}},
		{"keys in lower case, sections as they are", "[A]\nKey = V\n[a]\nKEY = w\n", sections{"A": {"key": "V"}, "a": {"key": "w"}}},
		{"whole-line comments only", "# c\n[a]\n; c\nx = 1 # no\n  # c\ny = ; no\n", sections{"a": {"x": "1 # no", "y": "; no"}}},
		{"continuation lines", "[a]\nx =\n  one\n\t two\n\n  three\n\n\ny = 1\n", sections{"a": {"x": "\none\ntwo\n\nthree", "y": "1"}}},
		{"a comment does not end a value", "[a]\nx = one\n# c\n  two\n", sections{"a": {"x": "one\ntwo"}}},
		{"a section never continues a value", "[a]\nx = 1\n[b]\n  y = 2\n", sections{"a": {"x": "1"}, "b": {"y": "2"}}},
		{"an indented header continues a value", "[a]\nx = 1\n  [b]\n", sections{"a": {"x": "1\n[b]"}}},
		{"defaults", "[DEFAULT]\nx = 1\ny = 2\n[a]\nx = 3\n[b]\n", sections{"a": {"x": "3", "y": "2"}, "b": {"x": "1", "y": "2"}}},
		{"percent", "[a]\nx = 100%%\ny = %(x)s of %(Z)s\nz = 1\n", sections{"a": {"x": "100%", "y": "100% of 1", "z": "1"}}},
		{"brackets in a header", "[a]b] c\nx=1\n", sections{"a]b": {"x": "1"}}},
		{"byte order mark and CRLF", "\ufeff[a]\r\nx = 1\r\n  2\r\n", sections{"a": {"x": "1\n2"}}},
		{"empty value and empty file", "[a]\nx =\n", sections{"a": {"x": ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := ParseConfiguration("test.cfg", []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range test.want {
				if got, err := c.Section(name); err != nil || !maps.Equal(got, want) {
					t.Errorf("section %s is %q, %v; want %q", name, got, err, want)
				}
			}
			if len(c.Sections()) != len(test.want) {
				t.Errorf("sections are %q", c.Sections())
			}
		})
	}
}

func TestParseConfigurationErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"x = 1\n", "test.cfg:1: a line comes before any [section]"},
		{"[a]\n\n[a]\n", "test.cfg:3: section [a] occurs twice"},
		{"[a]\nx = 1\nX: 2\n", "test.cfg:3: key x occurs twice in section [a]"},
		{"[a]\n= 1\n", "test.cfg:2: the line has no key before its = or :"},
		{"[a]\nx\n", "test.cfg:2: the line is neither a [section] nor a key = value"},
		{"[a]\nx = \xff\n", "test.cfg is not UTF-8 text"},
		{"[a]\nx = %(y)s\n", "test.cfg: section [a], key x: the reference %(y)s names a key that does not exist"},
		{"[a]\nx = %(x)s\n", "test.cfg: section [a], key x: % references form a loop or nest too deep"},
		{"[a]\nx = 5%\n", "test.cfg: section [a], key x: a % must be written %%, or begin a reference %(key)s: character 2 of the value"},
		// Text that may be a password is not quoted: the message gives the
		// remedy without it.
		{"[a]\nx = postgres://slap:my-secret%40word@127.0.0.1/slap\n", "test.cfg: section [a], key x: a % must be written %%, or begin a reference %(key)s: character 26 of the value"},
		{"[a]\nx = postgres://slap:my%(sec@ret)sword@127.0.0.1/slap\n", "test.cfg: section [a], key x: a % must be written %%, and %(key)s names a key that exists: character 19 of the value"},
		{"[a]\nx = <%(y)s>\ny = é-pass%word\n", "test.cfg: section [a], key x: a % must be written %%, or begin a reference %(key)s: character 7 of the value of y"},
	} {
		c, err := ParseConfiguration("test.cfg", []byte(test.text))
		if err == nil {
			_, err = c.Section("a")
		}
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: error %v, want %s", test.text, err, test.want)
		}
	}
}

// References that double on each level must not take the machine down.
func TestInterpolationIsBounded(t *testing.T) {
	text := "[a]\nx0 = y\n"
	for level, key := range []string{"x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9"} {
		before := "%(x" + string(rune('0'+level)) + ")s"
		text += key + " = %%" + strings.Repeat(before, 30) + "\n"
	}
	c, err := ParseConfiguration("test.cfg", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Section("a"); err == nil {
		t.Error("no error")
	}
	if c.Raw("a")["x0"] != "y" {
		t.Error("raw value changed")
	}
}

// compareWithPython fails when Python reads the bytes in another way.
func compareWithPython(t *testing.T, python *reference, data []byte) {
	t.Helper()
	var want struct {
		Sections []string
		Raw      map[string]map[string]string
		Resolved map[string]map[string]string // nil for a section that can't be resolved
	}
	ok := python.ask(t, "configuration", data, &want)
	c, err := ParseConfiguration("test.cfg", data)
	if (err == nil) != ok {
		t.Fatalf("%q: error %v, but Python takes it: %v", data, err, ok)
	}
	if err != nil {
		return
	}
	if !slices.Equal(c.Sections(), want.Sections) {
		t.Fatalf("%q: sections %q, Python's %q", data, c.Sections(), want.Sections)
	}
	for _, name := range want.Sections {
		if got := c.Raw(name); !maps.Equal(got, want.Raw[name]) {
			t.Fatalf("%q: section %q is %q, Python's %q", data, name, got, want.Raw[name])
		}
		got, err := c.Section(name)
		if resolved := want.Resolved[name]; (err != nil) != (resolved == nil) || !maps.Equal(got, resolved) {
			t.Fatalf("%q: section %q resolves to %q (%v), Python's %q", data, name, got, err, resolved)
		}
	}
}

var configurationSeeds = []string{
	"[slapos]\nsoftware_root = /opt/slapgrid\nshared_part_list =\n  /a\n  /b\n\n[networkcache]\nkey: %(x)s\nx=1\n",
	"[DEFAULT]\na = 1\na = 2\n[b]\n", "[DEFAULT]\na=1\n[DEFAULT]\nb=%(a)s\n[c]\n",
	"[a]\nx = 1\n\n\n   \n y\n#c\n;c\n z\n", "[a]\n x = 1\n y = 2\n  z\n", "[]\nx=1\n", "[a\nx=1\n", "[a]x=1\n y\n",
	"[a]\n : x\n", "[a]\nx \u00a0=\u2003y\u3000\n", "[a]\nx = %%(y)s %(y)s%%\ny = %%\n", "[a]\nx=%(y)s\ny=%(x)s\n",
	"[a]\nx=%()s\n", "[a]\nx=%(y\ny=1\n", "[a]\nx=%(y)d\ny=1\n", "[a]\nx=%(a b)s\na b=1\n", "[a]\rx=1\r\n y\n",
	"[a]\nx=\x00\x0b\x0c\x1c\x85\n", "[a]\n\u0130=1\ni\u0307=2\n", "[a]\nx = 1\n\x1f y\n", "[a]\nx=%(y)s\ny=%(z\n)s\nz=1\n",
	"[a]\nx=%(Y)s\ny=%(b)s%(c)s\nb=%(c)s\nc=%(d)s\nd=%(e)s\ne=%(f)s\nf=%(g)s\ng=%(h)s\nh=%(i)s\ni=%(j)s\nj=%(k)s\nk=1\n", "x\n", "\n\n", "  [a]\n  x=1\n[b]\n",
}

// CLI-22.
func TestConfigurationLikePython(t *testing.T) {
	t.Parallel()
	python := newReference(t)
	for _, seed := range configurationSeeds {
		compareWithPython(t, python, []byte(seed))
	}
}

func FuzzConfiguration(f *testing.F) {
	for _, seed := range configurationSeeds {
		f.Add([]byte(seed))
	}
	python := newReference(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 250 && !differsOnPurpose(data) { // Python is slow on long lines
			compareWithPython(t, python, data)
		}
	})
}

// differsOnPurpose tells of a byte order mark, which we skip, of a null byte in
// front of one, and of letters whose lower case depends on the neighbours or on
// the edition of Unicode.
func differsOnPurpose(data []byte) bool {
	text := string(data)
	return strings.HasPrefix(text, "\ufeff") || strings.ContainsFunc(text, func(r rune) bool {
		return r == 'Σ' || r >= 0x1c80 && r <= 0x1c8f || r >= 0xa7c0 && r <= 0xa7ff || r > 0x10400
	})
}

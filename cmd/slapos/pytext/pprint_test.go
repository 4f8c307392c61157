// SPDX-License-Identifier: GPL-3.0-or-later

package pytext

import (
	"strings"
	"testing"

	"slapos/slap/pyjson"
)

// jsonSeeds are JSON texts that Python prints on one line and on several.
var jsonSeeds = []string{
	`{}`, `[]`, `null`, `true`, `1`, `-0`, `1.0`, `1e5`, `1e400`, `123456789012345678901234567890`, `"text"`, `"it's"`,
	`{"url": "http://[2001:db8::1]:8080/", "a": [1, 2.5, null, false, {"b": {}}]}`,
	`{"k": "` + strings.Repeat("word ", 40) + `"}`, `"` + strings.Repeat("word ", 40) + `"`,
	`["` + strings.Repeat("x", 100) + `", ["` + strings.Repeat("y", 70) + `", 1], {"` + strings.Repeat("z", 60) + `": {"a": "` + strings.Repeat("b c", 30) + `"}}]`,
	`"line one\nline two is rather longer than the first one was, and goes on\r\nand three\r\u2028` + strings.Repeat("é ", 60) + `"`,
	`{"é": "\u0000\u001f \ud83d\ude00 \"' \\ \u007f", "b": [` + strings.Repeat(`"abcdefg", `, 20) + `"z"]}`,
	`  [1,  {"b":1,"a":2,"b":3}]  `, `[1 2]`, `{"a"}`, `{"a":1}x`, ``, `[`, `{"a":`, "[\n1,\n}",
	`NaN`, `[NaN,-Infinity,Infinity]`, `{"NaN": "Infinity \" NaN", "a\\\\": NaN}`, `-NaN`, `1Infinity`, `Infinity1`, `InfinityNaN`, `--Infinity`, `Inf`, `- Infinity`, `"NaN`,
	`{"_": "{\"a\": 1}"}`, `[` + strings.Repeat(`[`, 30) + `"` + strings.Repeat("deep ", 20) + `"` + strings.Repeat(`]`, 31),
}

func comparePrinting(t *testing.T, python *reference, text string) {
	t.Helper()
	value, err := pyjson.Parse([]byte(text))
	var want string
	ok := python.ask(t, "dumped", []byte(text), &want)
	if (err == nil) != ok {
		t.Fatalf("%q: error %v, but Python takes it: %v", text, err, ok)
	}
	if !ok {
		return
	}
	if got := EncodeJSON(value); got != want {
		t.Fatalf("%q: JSON\n%s\nPython's\n%s", text, got, want)
	}
	if !python.ask(t, "pretty", []byte(text), &want) {
		return
	}
	if got := PPrint(pyjson.Plain(value)); got != want {
		t.Fatalf("%q: printed\n%s\nPython's\n%s", text, got, want)
	}
}

func TestPrintLikePython(t *testing.T) {
	t.Parallel()
	python := newReference(t)
	for _, seed := range jsonSeeds {
		comparePrinting(t, python, seed)
	}
}

func FuzzPrint(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add(seed)
	}
	python := newReference(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) <= 2000 && !printsOnPurposeOtherwise(text) {
			comparePrinting(t, python, text)
		}
	})
}

// printsOnPurposeOtherwise tells of what Python's reader takes beyond JSON, of
// bytes that are not UTF-8, and of halves of surrogate pairs.
func printsOnPurposeOtherwise(text string) bool {
	return strings.ToValidUTF8(text, "") != text || strings.Contains(text, `\u`) ||
		strings.Contains(text, "NaN") || strings.Contains(text, "Infinity") || strings.HasPrefix(text, "\ufeff") ||
		strings.ContainsFunc(text, func(r rune) bool { return r > 0x2fff || r == 0 })
}

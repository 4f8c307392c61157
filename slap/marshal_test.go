// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func bigInt(t testing.TB, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		t.Fatalf("bad integer %s", s)
	}
	return n
}

// worked are the examples of SLAP-10 to SLAP-15 and section 2.2.
func worked(t testing.TB) []struct {
	name  string
	value any
	xml   string
} {
	shared, pair := []any{1}, Tuple{1, nil}
	return []struct {
		name  string
		value any
		xml   string
	}{
		{"empty dictionary", Dict{}, `<dictionary id="i2"/>`},
		{"nil", nil, `<none/>`},
		{"true", true, `<bool>1</bool>`},
		{"false", false, `<bool>0</bool>`},
		{"negative", -5, `<int>-5</int>`},
		{"2^70", bigInt(t, "1180591620717411303424"), `<int>1180591620717411303424</int>`},
		{"10^24", bigInt(t, "1000000000000000000000000"), `<long>1000000000000000000000000</long>`},
		{"10^24-1", bigInt(t, "999999999999999999999999"), `<long>999999999999999999999999</long>`},
		{"last int", bigInt(t, "999999999999999983222783"), `<int>999999999999999983222783</int>`},
		{"first long", bigInt(t, "-999999999999999983222784"), `<long>-999999999999999983222784</long>`},
		{"escapes", "a<b>&\"'", `<string>a&amp;lt;b&amp;gt;&amp;amp;"'</string>`},
		{"not ASCII", "é€😀\u00a0", `<string>&#233;&#8364;&#128512;&#160;</string>`},
		{"CR", "a\rb", `<string>a&#13;b</string>`},
		{"LF, TAB, DEL", "a\n\t\x7f", "<string>a\n\t\x7f</string>"},
		{"empty text", "", `<string></string>`},
		{"1.5", 1.5, `<float>1.5</float>`},
		{"1.0", 1.0, `<float>1.0</float>`},
		{"0.1", 0.1, `<float>0.1</float>`},
		{"long float", 123456789012345.6, `<float>123456789012345.6</float>`},
		{"1e16", 1e16, `<float>1e+16</float>`},
		{"1e100", 1e100, `<float>1e+100</float>`},
		{"1e-5", 1e-5, `<float>1e-05</float>`},
		{"1e-4", 1e-4, `<float>0.0001</float>`},
		{"-0.0", math.Copysign(0, -1), `<float>-0.0</float>`},
		{"inf", math.Inf(1), `<float>inf</float>`},
		{"-inf", math.Inf(-1), `<float>-inf</float>`},
		{"complex", complex(1, -2.5), `<complex>1.0 -2.5</complex>`},
		{"empty list", []any{}, `<list id="i2"/>`},
		{"list", []any{1, "a", []any{nil}},
			`<list id="i2"><int>1</int><string>a</string><list id="i3"><none/></list></list>`},
		{"empty tuple", Tuple{}, `<tuple/>`},
		{"tuple", Tuple{1, Tuple{2}}, `<tuple><int>1</int><tuple><int>2</int></tuple></tuple>`},
		{"equal lists", []any{[]any{1}, []any{1}}, // SLAP-12: not the same list, so no reference
			`<list id="i2"><list id="i3"><int>1</int></list><list id="i4"><int>1</int></list></list>`},
		{"a tuple twice", []any{pair, pair},
			`<list id="i2"><tuple><int>1</int><none/></tuple><tuple><int>1</int><none/></tuple></list>`},
		{"set", Set{1}, `<set id="i2"><int>1</int></set>`},
		{"sorted", Dict{"b": 1, "a": "x", "A": 2, "_": 3},
			`<dictionary id="i2"><string>A</string><int>2</int><string>_</string><int>3</int>` +
				`<string>a</string><string>x</string><string>b</string><int>1</int></dictionary>`},
		{"nested", Dict{"l": []any{Dict{"k": "v"}, []any{1, 2}}, "d": Dict{"e": Dict{}}},
			`<dictionary id="i2"><string>d</string><dictionary id="i3"><string>e</string><dictionary id="i4"/>` +
				`</dictionary><string>l</string><list id="i5"><dictionary id="i6"><string>k</string>` +
				`<string>v</string></dictionary><list id="i7"><int>1</int><int>2</int></list></list></dictionary>`},
		{"shared list", Dict{"a": shared, "b": shared},
			`<dictionary id="i2"><string>a</string><list id="i3"><int>1</int></list>` +
				`<string>b</string><reference id="i3"/></dictionary>`},
	}
}

func TestMarshalWorked(t *testing.T) {
	for _, test := range worked(t) {
		t.Run(test.name, func(t *testing.T) {
			want := "<marshal>" + test.xml + "</marshal>"
			got, err := Marshal(test.value)
			if err != nil || string(got) != want {
				t.Fatalf("Marshal: %v\n got %s\nwant %s", err, got, want)
			}
			back, err := Unmarshal(got)
			if err != nil || !reflect.DeepEqual(back, test.value) {
				t.Fatalf("Unmarshal: %v\n got %#v\nwant %#v", err, back, test.value)
			}
		})
	}
}

func TestMarshalOtherTypes(t *testing.T) {
	list := &List{}
	list.Items = []any{list}
	for _, test := range []struct {
		value any
		xml   string
	}{
		{[]byte("é"), `<string>&#233;</string>`},
		{State("started"), `<string>started</string>`},
		{[]string{"a"}, `<list id="i2"><string>a</string></list>`},
		{map[string]string{"b": "2", "a": "<"},
			`<dictionary id="i2"><string>a</string><string>&amp;lt;</string><string>b</string><string>2</string></dictionary>`},
		{uint64(math.MaxUint64), `<int>18446744073709551615</int>`},
		{[]any{json.Number("12345678901234567890"), json.Number("1.0"), json.Number("1e400")},
			`<list id="i2"><int>12345678901234567890</int><float>1.0</float><float>inf</float></list>`},
		{math.NaN(), `<float>nan</float>`},
		{list, `<list id="i2"><reference id="i2"/></list>`},
		{(*Computer)(nil), `<none/>`},
	} {
		got, err := Marshal(test.value)
		if want := "<marshal>" + test.xml + "</marshal>"; err != nil || string(got) != want {
			t.Errorf("Marshal(%T): %v\n got %s\nwant %s", test.value, err, got, want)
		}
	}
}

// SLAP-16, SLAP-17.
func TestMarshalRefuses(t *testing.T) {
	deep := []any{}
	for range MaxDepth {
		deep = []any{deep}
	}
	loop := Tuple{nil}
	loop[0] = loop
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"NUL", "a\x00", "U+0000"},
		{"U+000B", "\x0b", "U+000B"},
		{"U+FFFE", "\ufffe", "U+FFFE"},
		{"U+FFFF", "\uffff", "U+FFFF"},
		{"lone surrogate", "\xed\xa0\x80", "not UTF-8"},
		{"bad byte", "\xff", "not UTF-8"},
		{"under a key", Dict{"k": []any{"\x01"}}, `"k": text holds the character U+0001`},
		{"type", struct{}{}, "Refusing to marshall struct {}"},
		{"depth", deep, ErrTooDeep.Error()},
		{"tuple in itself", loop, ErrTooDeep.Error()},
	} {
		if out, err := Marshal(test.value); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %.80s, error %v, want %s", test.name, out, err, test.want)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const declaration = "<?xml version='1.0' encoding='utf-8'?>\n"

func TestEncodeInstance(t *testing.T) {
	for _, test := range []struct {
		parameters Dict
		want       string
	}{
		{nil, declaration + "<instance/>\n"},
		{Dict{}, declaration + "<instance/>\n"},
		{ // SLAP-25
			Dict{"a": nil, "b": 1, "c": true, "d": `é<&>"`, "e": "", "f": []any{1, "x"}, "g": Dict{"k": 1.5}},
			declaration + `<instance>
  <parameter id="a">None</parameter>
  <parameter id="b">1</parameter>
  <parameter id="c">True</parameter>
  <parameter id="d">é&lt;&amp;&gt;"</parameter>
  <parameter id="e"></parameter>
  <parameter id="f">[1, 'x']</parameter>
  <parameter id="g">{'k': 1.5}</parameter>
</instance>
`,
		},
		{Dict{`"<&>'`: "a\r\n\tb"}, declaration + "<instance>\n  <parameter id=\"&quot;&lt;&amp;&gt;'\">a&#13;\n\tb</parameter>\n</instance>\n"},
	} {
		got, err := EncodeInstance(test.parameters)
		if err != nil || string(got) != test.want {
			t.Errorf("EncodeInstance(%v): %v\n got %q\nwant %q", test.parameters, err, got, test.want)
		}
	}
	for _, bad := range []Dict{{"a": "\x00"}, {"\x0b": "a"}, {"a": "\xff"}} {
		if _, err := EncodeInstance(bad); err == nil {
			t.Errorf("EncodeInstance(%q) took it", bad)
		}
	}
}

// SLAP-26.
func TestDecodeInstance(t *testing.T) {
	for _, test := range []struct {
		xml  string
		want Dict
	}{
		{"", Dict{}},
		{"<instance/>", Dict{}},
		{`<any><parameter id="a">x</parameter></any>`, Dict{"a": "x"}},
		{`<i><parameter id="a"></parameter><parameter id="b"/></i>`, Dict{"a": nil, "b": nil}},
		{`<i><parameter id="a">1</parameter><parameter id="a">2</parameter></i>`, Dict{"a": "1 2"}},
		{`<i><parameter id="a"/><parameter id="a">2</parameter></i>`, Dict{"a": "2"}},
		{`<i><parameter id="a">1</parameter><parameter id="a"/></i>`, Dict{"a": "1"}},
		{`<i><parameter id="a">x<b>y<parameter id="n">z</parameter></b>w</parameter></i>`, Dict{"a": "x"}},
		{`<i><parameter id="a">x<!-- c -->y</parameter></i>`, Dict{"a": "x"}},
		{`<i><parameter id="a"><![CDATA[<x>]]>&amp;</parameter></i>`, Dict{"a": "<x>&"}},
		{`<i><b><parameter id="a">x</parameter></b>text<p/></i>`, Dict{}},
		{`<!DOCTYPE i [<!ENTITY e "v">]><i><parameter id="a&e;">&e;</parameter></i>`, Dict{"av": "v"}},
	} {
		got, err := DecodeInstance([]byte(test.xml))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("DecodeInstance(%q) = %#v, error %v, want %#v", test.xml, got, err, test.want)
		}
	}
	for _, bad := range []string{
		"text", "<i>", "<i><parameter>x</parameter></i>", "<i/><i/>",
		`<!DOCTYPE i [<!ENTITY e SYSTEM "file:///etc/passwd">]><i><parameter id="a">&e;</parameter></i>`,
		strings.Repeat("<i>", MaxDepth+1),
		`<i><parameter id="a">` + strings.Repeat("<i>", MaxDepth+1),
	} {
		if got, err := DecodeInstance([]byte(bad)); err == nil {
			t.Errorf("DecodeInstance(%.80q) = %v", bad, got)
		}
	}
}

// TestThroughProxy shows how stored parameters are returned (SLAP-27).
func TestThroughProxy(t *testing.T) {
	xml, err := EncodeInstance(Dict{"n": 3, "x": nil, "e": "", "_": `{"a": [1]}`})
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeInstance(xml)
	want := Dict{"n": "3", "x": "None", "e": nil, "_": `{"a": [1]}`}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, error %v, want %#v", got, err, want)
	}
}

func TestPythonText(t *testing.T) {
	for _, test := range []struct {
		value     any
		str, repr string
	}{
		{nil, "None", "None"},
		{"it's", "it's", `"it's"`},
		{`it's "x"`, `it's "x"`, `'it\'s "x"'`},
		{"\\\n\r\t\x00\x7f\u0085\u00ad\u2028é\U000e0001", "\\\n\r\t\x00\x7f\u0085\u00ad\u2028é\U000e0001",
			`'\\\n\r\t\x00\x7f\x85\xad\u2028é\U000e0001'`},
		{Tuple{1}, "(1,)", "(1,)"},
		{Tuple{1, "a"}, "(1, 'a')", "(1, 'a')"},
		{Set{}, "set()", "set()"},
		{Set{1}, "{1}", "{1}"},
		{Dict{"b": []string{"x"}, "a": false}, "{'a': False, 'b': ['x']}", "{'a': False, 'b': ['x']}"},
		{complex(0, 1), "1j", "1j"},
		{complex(-1, -2.5), "(-1-2.5j)", "(-1-2.5j)"},
		{100.0, "100.0", "100.0"},
		{[]any{json.Number("7"), json.Number("7e0")}, "[7, 7.0]", "[7, 7.0]"},
		{State("started"), "started", "'started'"},
	} {
		if got := PythonString(test.value); got != test.str {
			t.Errorf("PythonString(%#v) = %s, want %s", test.value, got, test.str)
		}
		if got := PythonRepr(test.value); got != test.repr {
			t.Errorf("PythonRepr(%#v) = %s, want %s", test.value, got, test.repr)
		}
	}
}

// TestPythonTextIsBounded writes a list whose full text would be 2^60 long.
func TestPythonTextIsBounded(t *testing.T) {
	v := []any{"x"}
	for range 60 {
		v = []any{v, v}
	}
	w := reprWriter{limit: 1000}
	if w.value(v); len(w.out) > 1200 {
		t.Errorf("%d bytes", len(w.out))
	}
	v = []any{strings.Repeat("x", 1<<20)}
	for range 5 { // 32 MiB
		v = []any{v, v}
	}
	if n := len(PythonRepr(v)); n > maxPythonText+2<<20 {
		t.Errorf("%d bytes", n)
	}
}

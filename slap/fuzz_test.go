// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func addDocuments(f *testing.F) {
	names, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(names) == 0 {
		f.Fatalf("no documents: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, test := range worked(f) {
		f.Add([]byte("<marshal>" + test.xml + "</marshal>"))
	}
	f.Add([]byte(`<!DOCTYPE m [<!ENTITY a "1&b;"><!ENTITY b '2'>]><string>&a;<![CDATA[&]]></string>`))
	f.Add([]byte("<?xml version='1.0' encoding='ISO-8859-1'?><m:marshal><m:unicode>\xe9</m:unicode></m:marshal>"))
	f.Add([]byte("\xff\xfe<\x00n\x00o\x00n\x00e\x00/\x00>\x00"))
}

// FuzzUnmarshal reads anything. What can be read can be written, and reading
// that gives the same.
func FuzzUnmarshal(f *testing.F) {
	addDocuments(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Unmarshal(data)
		if err != nil {
			return
		}
		_ = PythonRepr(v)
		once, err := Marshal(v)
		if err != nil {
			// Escaped text may contain characters that XML cannot carry; tuples
			// in references may nest deeper than written.
			t.Fatalf("cannot be written again: %v", err)
		}
		w, err := Unmarshal(once)
		if err != nil {
			t.Fatalf("cannot be read again: %v\n%s", err, once)
		}
		twice, err := Marshal(w)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("changes each time: %v\n%s\n%s", err, once, twice)
		}
	})
}

// FuzzRoundTrip writes values made of JSON and reads them back.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{
		`null`, `true`, `1.5`, `"a<b>&\r\n\u00e9\ud83d\ude00"`, `[1, "a", [null]]`, `{"b": 1, "a": {"_": []}}`, `1e400`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if json.Unmarshal(data, &v) != nil {
			return
		}
		xml, err := Marshal(v)
		if err != nil {
			return
		}
		for _, c := range xml {
			if c > 0x7f {
				t.Fatalf("not ASCII: %s", xml)
			}
		}
		back, err := Unmarshal(xml)
		if err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%v\n got %#v\nwant %#v\n%s", err, back, v, xml)
		}
	})
}

// FuzzDecodeInstance reads anything. Parameters are the same after writing and
// reading them, except that nil becomes text.
func FuzzDecodeInstance(f *testing.F) {
	f.Add([]byte(declaration + "<instance>\n  <parameter id=\"a\">x&lt;&#13;</parameter>\n<parameter id=\"b\"/></instance>\n"))
	f.Add([]byte(`<!DOCTYPE i [<!ENTITY e "v">]><i><parameter id="a">1</parameter><parameter id="a">&e;</parameter></i>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parameters, err := DecodeInstance(data)
		if err != nil {
			return
		}
		for name, value := range parameters {
			if value == nil {
				parameters[name] = "None"
			}
		}
		xml, err := EncodeInstance(parameters)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeInstance(xml)
		if err != nil || !reflect.DeepEqual(back, parameters) {
			t.Fatalf("%v\n got %#v\nwant %#v\n%s", err, back, parameters, xml)
		}
	})
}

// FuzzExpandTemplate expands anything: a URI template comes from the Master.
func FuzzExpandTemplate(f *testing.F) {
	f.Add("http://h/?mode=search{&query,select_list*,limit*}", "a b")
	f.Add("{+query:3}{#select_list}{/query}{;select_list*}{.m*}", "é%20")
	f.Fuzz(func(t *testing.T, template, value string) {
		out, err := expandTemplate(template, map[string]any{
			"query": value, "select_list": []string{value, "x"}, "limit": 40, "m": map[string]string{value: "v"},
		})
		if err == nil && len(out) > 64*(len(template)+1)*(len(value)+8) {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

func FuzzParseNetrc(f *testing.F) {
	f.Add("machine h login a password b\ndefault login c password d\n", "h")
	f.Add("# c\nmacdef m\nmachine h\n\nmachine h user \"a\" account x password #b", "h")
	f.Fuzz(func(t *testing.T, text, host string) {
		parseNetrc(text, host)
	})
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// SLAP-20, SLAP-21.
func TestUnmarshalTolerates(t *testing.T) {
	for _, test := range []struct {
		name, xml string
		want      any
	}{
		{"declaration and indentation", "<?xml version=\"1.0\" encoding='utf-8'?>\n<marshal>\n  <list id=\"i2\">\n <int>1</int>\n </list>\n</marshal>\n", []any{1}},
		{"byte order mark", "\ufeff<marshal><none/></marshal>", nil},
		{"bare value", `<dictionary/>`, Dict{}},
		{"nested marshal", `<marshal><marshal><int>1</int></marshal></marshal>`, 1},
		{"prefix", `<m:marshal xmlns:m="http://www.erp5.org/namespaces/marshaller"><m:string>a</m:string></m:marshal>`, "a"},
		{"text outside scalars", `<marshal>a<tuple>b<none>c</none>d</tuple>e</marshal>`, Tuple{nil}},
		{"comment and instruction", `<!-- a --><?b c?><string>d<!-- e -->f<?g?></string><!-- h -->`, "df"},
		{"CDATA", `<string><![CDATA[<&amp;]]>&#65;</string>`, "<&A"},
		{"escaped once", `<string>a &lt; b</string>`, "a < b"},
		{"escaped twice", `<string>a&amp;lt;b</string>`, "a<b"},
		{"escaped thrice", `<string>a&amp;amp;lt;b</string>`, "a&lt;b"},
		{"unicode", `<unicode>é</unicode>`, "é"},
		{"empty string", `<string/>`, ""},
		{"line ends", "<string>a\r\nb\rc&#13;</string>", "a\nb\nc\r"},
		{"big", `<long>123456789012345678901234567890</long>`, bigInt(t, "123456789012345678901234567890")},
		{"int", "<int> +1_000\n</int>", 1000},
		{"bool 2", `<bool>2</bool>`, true},
		{"bool 0", `<bool> 0</bool>`, false},
		{"inf", `<float>-Infinity</float>`, math.Inf(-1)},
		{"overflow", `<float>1e999</float>`, math.Inf(1)},
		{"complex", `<complex>1 -2.5</complex>`, complex(1, -2.5)},
		{"later key wins", `<dictionary><string>a</string><int>1</int><string>a</string><int>2</int></dictionary>`, Dict{"a": 2}},
		{"equal elements of a set", `<set><int>1</int><float>1.0</float><bool>1</bool></set>`, Set{1}},
		{"reference", `<list><dictionary id="x"/><reference id="x"/></list>`, []any{Dict{}, Dict{}}},
		{"entities", `<!DOCTYPE m SYSTEM "http://127.0.0.1:1/m.dtd" [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;
			<!ENTITY a "1&b;"><!ENTITY b '<!-- x -->2&#38;amp;'><!ENTITY a "again">
			<!ELEMENT m ANY><?pi x?>]><string>&a;&a;</string>`, "12&12&"},
		{"element in an entity", `<!DOCTYPE m [<!ENTITY a "<int>1</int>">]><list>&a;&a;</list>`, []any{1, 1}},
		{"entity in an attribute", `<!DOCTYPE m [<!ENTITY a "i2">]><list><list id="&a;"/><reference id="i2"/></list>`, []any{[]any{}, []any{}}},
		{"names", `<list é="1" ñ·‿x:𐀀-.="2" xml:id="a"/>`, []any{}},
		{"Latin 1", "<?xml version='1.0' encoding='ISO-8859-1'?><string>\xe9</string>", "é"},
		{"Windows", "<?xml version='1.0' encoding='windows-1252'?><string>\x80</string>", "€"},
		{"UTF-16", "\xff\xfe<\x00s\x00t\x00r\x00i\x00n\x00g\x00>\x00\x3d\xd8\x00\xde<\x00/\x00s\x00t\x00r\x00i\x00n\x00g\x00>\x00", "😀"},
		{"UTF-16 without mark", "\x00<\x00n\x00o\x00n\x00e\x00/\x00>", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Unmarshal([]byte(test.xml))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got %#v, error %v, want %#v", got, err, test.want)
			}
		})
	}
}

// entityChain declares e0, which leads through so many others.
func entityChain(length int) string {
	var text strings.Builder
	for i := range length {
		fmt.Fprintf(&text, `<!ENTITY e%d "&e%d;">`, i, i+1)
	}
	fmt.Fprintf(&text, `<!ENTITY e%d "x">`, length)
	return text.String()
}

func manyAttributes(count int) string {
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, ` a%d="1"`, i)
	}
	return text.String()
}

// SLAP-17, SLAP-21 to SLAP-23.
func TestUnmarshalRefuses(t *testing.T) {
	object := func(class, parts string) string {
		return `<object module="slapos.slap.slap" class="` + class + `">` + parts + `</object>`
	}
	for _, test := range []struct{ xml, want string }{
		{"", "no element"},
		{"text", "outside the root"},
		{"<marshal/>", "no value"},
		{"<marshal><int>1</int><int>2</int></marshal>", "more than one value"},
		{"<marshal><int>1</int><marshal/></marshal>", "more than one value"},
		{"<list><marshal/></list>", "marshal is not known"},
		{"<int>1</int><int>2</int>", "second root"},
		{"<marshal><int>1</int>", "not closed"},
		{"<marshal><int>1</string></marshal>", "without its start"},
		{"<float>1</float", "malformed end tag"},
		{"<int/>", "not an integer"},
		{"<int>5L</int>", "not an integer"},
		{"<int>1__0</int>", "not a number"},
		{"<int>+-1</int>", "not an integer"},
		{"<int>" + strings.Repeat("9", maxDigits+1) + "</int>", "more than 4300 digits"},
		{"<bool>True</bool>", "not an integer"},
		{"<float>0x10</float>", "not a number"},
		{"<float/>", "not a number"},
		{"<complex>1</complex>", "two numbers"},
		{"<code>x</code>", "code is not known"},
		{"<foo/>", "foo is not known"},
		{"<string><int>1</int></string>", "inside a scalar"},
		{"<dictionary><int>1</int></dictionary>", "key without value"},
		{"<dictionary><list/><int>1</int></dictionary>", "a list cannot be a key"},
		{"<dictionary><tuple><set/></tuple><int>1</int></dictionary>", "a set cannot be a key"},
		{"<set><dictionary/></set>", "a dictionary cannot be a key"},
		{`<set id="a"><reference id="a"/></set>`, "hold itself"},
		{`<list><reference id="i9"/></list>`, `unknown id "i9"`},
		{"<object/>", "Refusing to unmarshall ."},
		{`<object module="os" class="system"><tuple/><dictionary/></object>`, "Refusing to unmarshall os.system"},
		{object("slap", "<tuple/><dictionary/>"), "Refusing to unmarshall slapos.slap.slap.slap"},
		{object("Computer", "<tuple/>"), "Computer with 1 parts"},
		{object("Computer", "<tuple/><dictionary/>"), "computer_id is missing"},
		{object("Computer", "<tuple><none/><none/></tuple><dictionary/>"), "2 arguments where 1 belong"},
		{object("Computer", "<tuple><none/></tuple><list/>"), "a list where its attributes belong"},
		{object("Computer", "<none/><dictionary/>"), "none where its arguments belong"},
		{object("ComputerPartition", "<tuple><string/></tuple><dictionary/>"), "are required"},
		{object("ComputerPartition", "<tuple><string/><string/><dictionary/></tuple><dictionary/>"), "conflicts"},
		{"<string>\x01</string>", "U+0001"},
		{"<string>&#1;</string>", "XML cannot carry"},
		{"<string>\xff</string>", "not UTF-8"},
		{"<string>]]></string>", "]]>"},
		{"<string>&e;</string>", "entity e is not declared"},
		{"<string>&e</string>", "reference"},
		{`<list a="1" a="2"/>`, "given twice"},
		{`<list a="<"/>`, "< in an attribute"},
		{`<list a=1/>`, "quote expected"},
		{`<list ÷="1"/>`, "malformed attribute"},
		{`<list ·a="1"/>`, "malformed attribute"},
		{`<list a="1"b="2"/>`, "malformed tag"},
		{`<list a/>`, "without value"},
		{`<list a="1/>`, "unfinished literal"},
		{"<string>&#xD800;</string>", "XML cannot carry"},
		{"<string>&#;</string>", "malformed character reference"},
		{"<string>&a b;</string>", "malformed reference"},
		{"<string><![CDATA[x</string>", "unfinished CDATA"},
		{"<string><![CDATA[\x02]]></string>", "U+0002"},
		{"<![CDATA[x]]><none/>", "outside the root"},
		{"&#65;<none/>", "outside the root"},
		{"&e;<none/>", "outside the root"},
		{"<?xml version='1.0'", "malformed XML declaration"},
		{"<none/><?xml version='1.0'?>", "malformed processing instruction"},
		{"<none/><!DOCTYPE m>", "misplaced DOCTYPE"},
		{"<!DOCTYPE>", "malformed DOCTYPE"},
		{"<!DOCTYPE m", "unfinished DOCTYPE"},
		{"<!DOCTYPE m [", "unfinished DOCTYPE"},
		{"<!DOCTYPE m [<x>", "malformed DOCTYPE"},
		{"<!DOCTYPE m [%;]>", "malformed parameter entity"},
		{"<!DOCTYPE m [<!ELEMENT m", "unfinished declaration"},
		{"<!DOCTYPE m [<!ENTITY e>]>", "malformed entity declaration"},
		{`<!DOCTYPE m [<!ENTITY e "%p;">]>`, "parameter entity inside"},
		{"\xff\xfe<", "half a UTF-16 character"},
		{"\xff\xfe\x00\xd8", "half a UTF-16 pair"},
		{"\xfe\xff\xd8\x00\x00a", "half a UTF-16 pair"},
		{"<!-- -- --><none/>", "malformed comment"},
		{`<?xml version='1.0' encoding='klingon'?><none/>`, `unknown encoding "klingon"`},
		{`<!DOCTYPE m [<!ENTITY e SYSTEM "file:///etc/passwd">]><string>&e;</string>`, "entity e is external"},
		{`<!DOCTYPE m [<!ENTITY e "&e;">]><string>&e;</string>`, "holds itself"},
		{`<!DOCTYPE m [<!ENTITY e "&e;">]><list id="&e;"/>`, "holds itself"},
		{`<!DOCTYPE m [` + entityChain(maxEntityDepth) + `]><string>&e0;</string>`, "nested too deep"},
		{`<!DOCTYPE m [` + entityChain(maxEntityDepth) + `]><list id="&e0;"/>`, "nested too deep"},
		{"<list" + manyAttributes(maxAttributes+1) + "/>", "more than 64 attributes"},
		{`<!DOCTYPE m [<!ENTITY e "<list>">]><list>&e;</list></list>`, "half an element"},
		{`<!DOCTYPE m [<!ENTITY e "</list>">]><list>&e;`, "half an element"},
		{strings.Repeat("<list>", MaxDepth+1), ErrTooDeep.Error()},
		{strings.Repeat("<marshal>", MaxDepth+1), ErrTooDeep.Error()},
	} {
		got, err := Unmarshal([]byte(test.xml))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.100q: got %#v, error %v, want %s", test.xml, got, err, test.want)
		}
	}
}

// TestUnmarshalBombs reads short documents that describe enormous values.
func TestUnmarshalBombs(t *testing.T) {
	entities := `<!DOCTYPE m [<!ENTITY a0 "aaaaaaaaaa">`
	references := `<list><list id="a0"><none/></list>`
	for i := range 15 {
		entities += fmt.Sprintf(`<!ENTITY a%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&a%d;", i), 10))
		references += fmt.Sprintf(`<list id="a%d">%s</list>`, i+1, strings.Repeat(fmt.Sprintf(`<reference id="a%d"/>`, i), 10))
	}
	for _, test := range []struct{ xml, want string }{
		{entities + `]><string>&a15;</string>`, "expand to more than"},
		{entities + `]><list id="&a15;"/>`, "expand to more than"},
		{references + `</list>`, "references repeat more than"},
		{`<!DOCTYPE m [` + strings.Repeat(`<!ENTITY e "">`, maxDeclarations/13+1) + `]><none/>`, "declared in more than"},
		{`<!DOCTYPE m [` + strings.Repeat(`<!ENTITY e SYSTEM "">`, maxDeclarations/11+1) + `]><none/>`, "declared in more than"},
		{"\xff\xfe" + strings.Repeat(" \x00", maxConverted/2+1), "more than 16 MiB that are not UTF-8"},
		{"<?xml version='1.0' encoding='iso-8859-1'?>" + strings.Repeat(" ", maxConverted+1), "more than 16 MiB that are not UTF-8"},
		{"<" + strings.Repeat("a", 1000) + "/>", "element " + strings.Repeat("a", 100) + " is not known"},
	} {
		if _, err := Unmarshal([]byte(test.xml)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}

// SLAP-24: as many values as are allowed take less than 1 GiB with the answer that they
// are read from, even those that are much larger than their XML; more are refused.
func TestUnmarshalMemory(t *testing.T) {
	const count = 100_000
	for _, item := range []string{"<set/>", "<list id='a'/>", "<int>99999999999999999999</int>", "<dictionary/>", "<none/>"} {
		xml := []byte("<list>" + strings.Repeat(item, count-1) + "</list>")
		took := testkit.Allocated(func() {
			if v, err := Unmarshal(xml); err != nil || len(v.([]any)) != count-1 {
				t.Errorf("%s: %v", item, err)
			}
		})
		if took/count*maxValues > 1<<30-2*maxAnswer {
			t.Errorf("%s takes %d bytes", item, took/count)
		}
	}
	xml := []byte("<list>" + strings.Repeat("<none/>", maxValues) + "</list>")
	if _, err := Unmarshal(xml); err == nil || !strings.Contains(err.Error(), "more than 2000000 values") {
		t.Errorf("error %v", err)
	}
	text := strings.Repeat("&amp;amp;", 32<<20/9)
	xml = []byte("<string>" + text + "</string>")
	if took := testkit.Allocated(func() {
		if v, err := Unmarshal(xml); err != nil || v != strings.Repeat("&", 32<<20/9) {
			t.Error(err)
		}
	}); took > 8*32<<20 {
		t.Errorf("%d MiB of text take %d MiB", len(text)>>20, took>>20)
	}
}

func TestUnmarshalDepth(t *testing.T) {
	const n = MaxDepth - 1
	xml := "<marshal>" + strings.Repeat("<list>", n) + strings.Repeat("</list>", n) + "</marshal>"
	v, err := Unmarshal([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Marshal(v); err != nil {
		t.Fatal(err)
	}
}

// TestUnmarshalCycles reads containers that hold themselves and writes them
// again.
func TestUnmarshalCycles(t *testing.T) {
	for _, xml := range []string{
		`<list id="i2"><int>1</int><reference id="i2"/></list>`,
		`<list id="i2"><tuple><reference id="i2"/></tuple></list>`,
		`<dictionary id="i2"><string>a</string><reference id="i2"/></dictionary>`,
		`<dictionary id="i2"><int>1</int><list id="i3"><reference id="i2"/><reference id="i3"/></list></dictionary>`,
		`<object id="i2" module="slapos.slap.slap" class="SoftwareInstance"><tuple/><dictionary id="i3">` +
			`<string>a</string><reference id="i2"/></dictionary></object>`,
	} {
		xml = "<marshal>" + xml + "</marshal>"
		v, err := Unmarshal([]byte(xml))
		if err != nil {
			t.Errorf("%v\n%s", err, xml)
			continue
		}
		again, err := Marshal(v)
		if err != nil || string(again) != xml {
			t.Errorf("%v\n got %s\nwant %s", err, again, xml)
		}
		if text := PythonRepr(v); len(text) > 100 {
			t.Errorf("repr %.100s", text)
		}
	}
}

// TestIdentity keeps what references say: the same container, not a copy.
func TestIdentity(t *testing.T) {
	v, err := Unmarshal([]byte(`<list><dictionary id="a"/><reference id="a"/><list id="b"><none/></list><reference id="b"/></list>`))
	if err != nil {
		t.Fatal(err)
	}
	list := v.([]any)
	list[0].(Dict)["x"] = 1
	list[2].([]any)[0] = 2
	if list[1].(Dict)["x"] != 1 || list[3].([]any)[0] != 2 {
		t.Errorf("copies: %v", list)
	}
}

func TestMap(t *testing.T) {
	v, err := Unmarshal([]byte(`<dictionary><int>1</int><string>a</string><none/><int>2</int><tuple><string>x</string></tuple><int>3</int><bool>1</bool><string>b</string></dictionary>`))
	if err != nil {
		t.Fatal(err)
	}
	m := v.(*Map)
	if m.Len() != 3 {
		t.Fatalf("%d entries, want 3", m.Len())
	}
	for _, test := range []struct{ key, want any }{
		{1, "b"}, {1.0, "b"}, {true, "b"}, {nil, 2}, {Tuple{"x"}, 3}, {Tuple{"y"}, nil}, {"1", nil}, {[]any{}, nil},
	} {
		if got, ok := m.Get(test.key); got != test.want || ok != (test.want != nil) {
			t.Errorf("Get(%#v) = %#v, %v, want %#v", test.key, got, ok, test.want)
		}
	}
	if key, value := m.At(1); key != nil || value != 2 {
		t.Errorf("At(1) = %v, %v", key, value)
	}
	if err := m.Set(Dict{}, 1); err == nil {
		t.Error("a dictionary was taken for a key")
	}
}

// computerOf makes the answer for a computer with n allocated partitions.
func computerOf(n int) *Computer {
	c := &Computer{Reference: "COMP-1", SoftwareReleases: []*SoftwareRelease{}}
	for i := range n {
		reference := fmt.Sprintf("slappart%d", i)
		c.Partitions = append(c.Partitions, &Partition{
			Computer: "COMP-1", Reference: reference, InstanceGUID: "COMP-1-" + reference,
			RequestedState: StateStarted, NeedModification: true,
			SoftwareRelease:      &SoftwareRelease{URL: exampleURL, Computer: "COMP-1"},
			ConnectionParameters: Dict{"url": "https://[2001:db8::1]:8080/<path>?a&b"},
			Parameters: Dict{
				"full_address_list": []any{}, "instance_title": "instance-" + reference,
				"ip_list":             AddressList([]Address{{"tap0", "10.0.0.1"}, {"tap0", "fd00::1"}}),
				"root_instance_title": "root", "slap_computer_id": "COMP-1",
				"slap_computer_partition_id": reference, "slap_software_release_url": exampleURL,
				"slap_software_type": "default", "slave_instance_list": []any{},
				"timestamp": "1795225139.1787672", "_": `{"domain": "example.com", "nested": {"list": [1, 2, 3]}}`,
			},
		})
	}
	return c
}

func BenchmarkMarshal(b *testing.B) {
	c := computerOf(1000)
	out, err := Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Marshal(c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	xml, err := Marshal(computerOf(1000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(xml)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unmarshal(xml); err != nil {
			b.Fatal(err)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package pyjson_test

import (
	"encoding/json"
	"math"
	"math/big"
	"os/exec"
	"strings"
	"testing"

	"slapos/slap"
	"slapos/slap/pyjson"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// values are values in Python's syntax, and ours.
var values = []struct {
	python string
	value  any
}{
	{"None", nil}, {"None", (*string)(nil)}, {"None", (*float64)(nil)},
	{"True", true}, {"-7", -7}, {"1 << 40", int64(1) << 40}, {"1 << 80", new(big.Int).Lsh(big.NewInt(1), 80)}, {"12", json.Number("12")},
	{"1.0", 1.0}, {"1e22", 1e22}, {"1.5e-7", 1.5e-7}, {"0.1", 0.1},
	{"float('nan')", math.NaN()}, {"float('inf')", math.Inf(1)}, {"float('-inf')", math.Inf(-1)},
	{`'"\\ \x00\x07\b\t\n\x0b\f\r\x1f ~\x7f\x80é€\u2028\U0001f600/<&'`, "\"\\ \x00\a\b\t\n\v\f\r\x1f ~\x7f\u0080é€\u2028\U0001f600/<&"},
	{"[]", []any{}}, {"{}", slap.Dict{}}, {"{}", pyjson.Object(nil)}, {"()", slap.Tuple{}},
	{"[1, (2, 'a'), [], {}]", []any{1, slap.Tuple{2, "a"}, []any{}, &pyjson.Object{}}},
	{"{'b': 1, 'a': {'z': [1, {'k': None}], '': 'é'}, 'B': {}}", pyjson.Object{{"b", 1},
		{"a", pyjson.Object{{"z", []any{1, slap.Dict{"k": nil}}}, {"", "é"}}}, {"B", pyjson.Object{}}}},
	{"dict(sorted({'b': 1, 'a': 2, 'B': 3}.items()))", slap.Dict{"b": 1, "a": 2, "B": 3}},
	{"[{'a': 1}, {}]", []pyjson.Object{{{"a", 1}}, {}}},
}

// TestAsPython compares every value in every style with json.dumps.
func TestAsPython(t *testing.T) {
	styles := []struct {
		arguments string
		style     pyjson.Style
	}{
		{"", pyjson.Spaced}, {", separators=(',', ':')", pyjson.Compact}, {", indent=2", pyjson.Indented("  ")}, {", indent=4", pyjson.Indented("    ")},
	}
	script := &strings.Builder{}
	script.WriteString("import json\n")
	for _, style := range styles {
		for _, v := range values {
			script.WriteString("print(json.dumps(" + v.python + style.arguments + "), end='\\0')\n")
		}
	}
	output, err := exec.CommandContext(t.Context(), testkit.Python(t), "-c", script.String()).Output()
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.Split(string(output), "\x00")
	for _, style := range styles {
		for _, v := range values {
			got, err := style.style.Append([]byte("x"), v.value)
			if err != nil || string(got) != "x"+wanted[0] {
				t.Errorf("json.dumps(%s%s): got %s, %v, want %s", v.python, style.arguments, got[1:], err, wanted[0])
			}
			wanted = wanted[1:]
		}
	}
}

// TestOther: such a value is an error, even deep inside, unless the style converts it.
func TestOther(t *testing.T) {
	odd := []any{slap.Dict{"a": pyjson.Object{{"b", struct{}{}}}}}
	if _, err := pyjson.Spaced.Append(nil, odd); err == nil {
		t.Error("a struct was written")
	}
	lenient := pyjson.Spaced
	lenient.Other = func(any) string { return "?" }
	if got, err := lenient.Append(nil, odd); err != nil || string(got) != `[{"a": {"b": ?}}]` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestObject(t *testing.T) {
	o := &pyjson.Object{}
	o.Set("b", 1)
	o.Set("a", 2)
	o.Set("c", 3)
	o.Set("b", 4)
	o.Remove("c")
	o.Remove("nope")
	if keys := strings.Join(o.Keys(), " "); keys != "b a" || o.Value("b") != 4 || o.Value("c") != nil {
		t.Errorf("%v", *o)
	}
	if _, found := o.Get("c"); found {
		t.Error("c is there")
	}
	o.Sort()
	if keys := strings.Join(o.Keys(), " "); keys != "a b" {
		t.Errorf("sorted: %s", keys)
	}
	if keys := strings.Join(pyjson.Sorted(slap.Dict{"y": 1, "x": 2}).Keys(), " "); keys != "x y" {
		t.Errorf("sorted dictionary: %s", keys)
	}
}

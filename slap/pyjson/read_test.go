// SPDX-License-Identifier: GPL-3.0-or-later

package pyjson_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"slapos/slap/pyjson"
)

// What Parse reads is compared with Python's in package pytext.
func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{\n\"a\": 1\n":  "line 2: the text ends too soon",
		"[1,\n2,\n}":     "line 3: invalid character '}' looking for beginning of value",
		"{}\n{}":         "line 2: unexpected text after the value",
		"":               "line 1: the text ends too soon",
		"[1, \"\n\"]":    "line 1: invalid character '\\n' in string literal",
		"{\"a\": nope }": "line 1: invalid character 'o' in literal null (expecting 'u')",
	} {
		if _, err := pyjson.Parse([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestRead(t *testing.T) {
	got, err := pyjson.Read([]byte(` {"b": [1, 2.50, 99999999999999999999, null], "a": {}, "b2": "é"} `))
	want := map[string]any{"b": []any{json.Number("1"), json.Number("2.50"), json.Number("99999999999999999999"), nil}, "a": map[string]any{}, "b2": "é"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":              "line 1: the text ends too soon",
		"{\n\"a\": 1\n": "line 2: the text ends too soon",
		"[1,\n2,\n}":    "line 3: invalid character '}' looking for beginning of value",
		"1 2":           "line 1: unexpected text after the value",
		"NaN":           "line 1: invalid character 'N' looking for beginning of value",
	} {
		var syntax *pyjson.SyntaxError
		if _, err := pyjson.Read([]byte(text)); !errors.As(err, &syntax) || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	var bounds *pyjson.BoundsError
	if _, err := pyjson.Read([]byte(strings.Repeat("[", 600))); !errors.As(err, &bounds) {
		t.Error(err)
	}
}

func TestMembers(t *testing.T) {
	for text, want := range map[string]string{
		`{"b": [1, {"x": 2}], "a": "é", "b": null} rest`: `b=[1, {"x": 2}] a="é" b=null`,
		`{}`:               ``,
		`{"a": 1, "b": }`:  `a=1 error`,
		`{"a": 1`:          `a=1 error`,
		`[1]`:              `error`,
		`{"a": 1, 2: "x"}`: `a=1 error`,
	} {
		members, err := pyjson.Members([]byte(text))
		var got []string
		for _, m := range members {
			got = append(got, m.Key+"="+string(m.Value))
		}
		if err != nil {
			got = append(got, "error")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestNumber(t *testing.T) {
	large, _ := new(big.Int).SetString("99999999999999999999", 10)
	for text, want := range map[string]any{"1": int64(1), "-0": int64(0), "1.0": 1.0, "1e2": 100.0, "99999999999999999999": large} {
		if got := pyjson.Number(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v (%[2]T)", text, got)
		}
	}
}

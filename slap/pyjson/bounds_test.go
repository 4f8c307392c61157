// SPDX-License-Identifier: GPL-3.0-or-later

package pyjson_test

import (
	"strings"
	"testing"

	"slapos/slap/pyjson"
)

func TestBounded(t *testing.T) {
	nines := strings.Repeat("9", 4300)
	for _, text := range []string{
		``, `{`, `]]]`, `"`, `"\`, `[1, -2.5e-7, 1e4300, 1e-4300, true]`, nines, `[` + nines + `, -` + nines + `]`,
		strings.Repeat(`[`, 512) + strings.Repeat(`]`, 512),
		`"` + strings.Repeat(`[,9`, 300_000) + `"`, `["a\"", "` + strings.Repeat(`[`, 600) + `"]`,
		`{"parameters": {"_": "` + strings.Repeat(`{\"a\": 1}`, 50_000) + `"}}`,
		`[` + strings.Repeat(`1,`, 200_000) + `1]`,
	} {
		if err := pyjson.Bounded(text); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	for want, texts := range map[string][]string{
		"a number of more than 4300 digits": {nines + "9", `{"a": [-` + nines + `9]}`, `1e4301`, `1e-4301`, `[1E+999999]`, `1e99999999999999999999`},
		"nests deeper than 512 levels":      {strings.Repeat(`[`, 513), `{"a":` + strings.Repeat(`{"a":`, 512)},
		"more than 250000 values":           {strings.Repeat(`[],`, 125_001), strings.Repeat(`1,`, 250_001), strings.Repeat(`"",`, 250_001)},
	} {
		for _, text := range texts {
			if err := pyjson.Bounded([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.40s: %v, want %s", text, err, want)
			}
		}
	}
}

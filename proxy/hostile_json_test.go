// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/slap/testkit"
)

// TestHostileJSON posts what takes much more memory or time than it is long
// (PROXY-180).
func TestHostileJSON(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	const method = "slapos.post.v0.software_instance"
	for _, c := range []struct {
		what, body, answer string
		status             int
	}{
		{"many lists", `[` + strings.Repeat(`[],`, 1_300_000) + `[]]`, "more than 250000 values", 400},
		{"a long number", `{"title": ` + strings.Repeat("9", 2_000_000) + `}`, "more than 4300 digits", 400},
		{"a number with a large exponent", `{"title": [` + strings.Repeat("1e999999,", 100_000) + `1]}`, "more than 4300 digits", 400},
		{"many levels", strings.Repeat(`[`, 1_000_000), "deeper than 512 levels", 400},
		{"a long body", `{"title": "` + strings.Repeat("x", 4<<20) + `"}`, "capacity limit", 413},
		{"a long body that is no JSON", strings.Repeat("[],", 5_000_000), "capacity limit", 413},
	} {
		var got answer
		allocated := testkit.Allocated(func() { got = l.rpc(method, c.body) })
		if got.status != c.status || !strings.Contains(got.body, c.answer) || strings.Contains(got.body, "\n") {
			t.Errorf("%s: %d %.300s", c.what, got.status, got.body)
		}
		if allocated > 64<<20 {
			t.Errorf("%s takes %d MB", c.what, allocated>>20)
		}
	}
	if got := l.do("POST", "/supplySupply", "application/x-www-form-urlencoded", strings.Repeat("a&", 1_000_000)); got.status != 413 {
		t.Errorf("a form of many fields: %d", got.status)
	}
	// What people send goes on to work.
	large := strings.Repeat(`{\"key\": [1, 2]}, `, 20_000)
	if got := l.rpc(method, `{"title": "i", "software_release_uri": "`+release+`", "software_type": "t", "parameters": {"_": "`+large+`"}}`); got.status != 200 {
		t.Errorf("parameters of %d bytes: %d %.300s", len(large), got.status, got.body)
	}
}

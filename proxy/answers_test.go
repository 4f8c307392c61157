// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"slapos/proxy"
)

// TestAnswersRunNothing has a script in what a browser takes for a page (PROXY-180).
func TestAnswersRunNothing(t *testing.T) {
	l := cacheLab(t, t.TempDir(), proxy.Shacache{})
	if got := l.do("PUT", "/shacache/dir/k", "application/json", `["<script>alert(1)</script>", ""]`); got.status != http.StatusCreated {
		t.Fatal(got)
	}
	for _, path := range []string{"/shacache/dir/k", nodePath, "/nothing", "/panel/", "/hateoas/"} {
		got := l.get(path)
		policy := got.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got.header)
		}
		if path != "/panel/" && !strings.Contains(policy, "sandbox") {
			t.Errorf("%s: %s", path, policy)
		}
	}
}

// TestLogIsLines sends requests with line breaks in everything that the log shows.
func TestLogIsLines(t *testing.T) {
	var log strings.Builder // written under the lock of the log
	l := newLab(t, proxy.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	const forged = `\n2026-01-01 00:00:00 slapos[1] ERROR forged`
	for _, input := range []string{
		`{"title": "a` + forged + `", "software_release_uri": "u", "software_type": "t"}`,
		`{"title": "a", "software_release_uri": "u", "software_type": "t", "sla_parameters": {"master_url": "http://x` + forged + `"}}`,
	} {
		log.Reset()
		l.rpc("slapos.post.v0.software_instance", input)
		told := 0
		for line := range strings.Lines(log.String()) {
			var record struct{ Level, Msg string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(record.Msg, "forged") {
				told++
			}
			if strings.Contains(record.Msg, "\n") {
				t.Errorf("%q", record.Msg)
			}
		}
		if told == 0 {
			t.Errorf("%s: the log doesn't show it: %s", input, &log)
		}
	}
}

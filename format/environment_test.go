// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// FMT-72.
func TestOSType(t *testing.T) {
	directory := t.TempDir()
	tests := map[string][]string{
		"": {"", "", ""},
		"# x\nID=debian\nVERSION_ID=\"12\"\nNAME=\"Debian GNU/Linux\"\n": {"debian", "12", "Debian GNU/Linux"},
		"ID='My OS'\nNAME=\"A \\\"b\\\"\"\nbroken\n":                     {"my_os", "", `A "b"`},
	}
	for content, want := range tests {
		testkit.WriteFile(t, filepath.Join(directory, "os-release"), content)
		text, err := osType(directory)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != 4 {
			t.Fatalf("%q: %s, %v", content, text, err)
		}
		if !strings.HasPrefix(got[0], "Linux-") || strings.Join(got[1:], "|") != strings.Join(want, "|") {
			t.Errorf("%q: %q", content, got)
		}
	}
}

// FMT-73: a service that never answers delays nothing.
func TestPublicIPv4EndsAlone(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if address, answered := lookUpPublicIPv4(ctx, []string{silent.URL}); address != "" || answered || ctx.Err() != nil {
		t.Errorf("%q, %v, %v", address, answered, ctx.Err())
	}
}

// service is a web service with a single answer.
func service(t *testing.T, status int, body string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// FMT-73.
func TestPublicIPv4(t *testing.T) {
	const a, b = `{"ip": "198.51.100.7"}`, `{"origin": "198.51.100.8"}`
	sameAsA := `{"origin": "198.51.100.7"}`
	broken := "<html>"
	tests := []struct {
		name     string
		answers  []string // "" is status 500
		want     string
		answered bool
	}{
		{"first two agree", []string{a, sameAsA, b}, "198.51.100.7", true},
		{"last two agree", []string{a, b, b}, "198.51.100.8", true},
		{"one fails between", []string{a, "", sameAsA}, "198.51.100.7", true},
		{"first and last, another between", []string{a, b, a}, "", true},
		{"only one", []string{"", broken, a}, "", true},
		{"none", []string{"", broken, `{"ip": 7}`}, "", false},
		{"no services", nil, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var services []string
			for _, answer := range test.answers {
				status := http.StatusOK
				if answer == "" {
					status = http.StatusInternalServerError
				}
				services = append(services, service(t, status, answer))
			}
			got, answered := lookUpPublicIPv4(t.Context(), services)
			if got != test.want || answered != test.answered {
				t.Errorf("%q, %v, want %q, %v", got, answered, test.want, test.answered)
			}
		})
	}
}

// A node that is offline for a while keeps its address.
func TestPublicIPv4IsKept(t *testing.T) {
	n := newNode(t, 1)
	good := service(t, 200, `{"ip": "198.51.100.7"}`)
	for _, step := range []struct {
		services []string
		want     string
	}{{nil, ""}, {[]string{good, good}, "198.51.100.7"}, {nil, "198.51.100.7"}, {[]string{good}, ""}} {
		n.options.PublicAddressServices = step.services
		if got := n.format(t).Computer.PublicIPv4; got != step.want {
			t.Errorf("services %q: %q, want %q", step.services, got, step.want)
		}
	}
}

func FuzzParsePublicIPv4(f *testing.F) {
	f.Add([]byte(`{"ip": "198.51.100.7"}`))
	f.Fuzz(func(_ *testing.T, body []byte) { parsePublicIPv4(body) })
}

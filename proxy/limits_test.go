// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"slapos/proxy"
	"slapos/slap/testkit"
)

// TestBodyIsLimited posts more than the master takes.
func TestBodyIsLimited(t *testing.T) {
	l := newLab(t, proxy.Options{MaximumBody: 1 << 20})
	l.load(1)
	large := strings.Repeat("x", 2<<20)
	if got := l.post("/useComputer", "computer_id", "local_computer", "use_string", large); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a form: %s", got)
	}
	if got := l.do("POST", "/slapos.allDocs.v0.instance_tree_list", "application/json", `{"a": "`+large+`"}`); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("JSON-RPC: %s", got)
	}
}

// TestShacacheIsLimited has too many entries, in an upload and from upstream.
func TestShacacheIsLimited(t *testing.T) {
	entry := `["` + strings.Repeat("x", 17<<20) + `", ""]`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "["+entry+"]")
	}))
	defer upstream.Close()
	l := cacheLab(t, t.TempDir(), proxy.Shacache{UpstreamCache: upstream.URL, UpstreamDirectory: upstream.URL})
	if got := l.do("PUT", "/shacache/dir/k", "application/json", entry); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("upload: %d %.100s", got.status, got.body)
	}
	if got := l.get("/shacache/dir/k"); got.status != http.StatusBadGateway {
		t.Errorf("upstream: %d %.100s", got.status, got.body)
	}
}

// TestForwardTLS verifies another master before anything is sent to it, and
// shows our certificate.
func TestForwardTLS(t *testing.T) {
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	good, node := ours.Issue(t, "server", nil), ours.Issue(t, "node", nil)
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) > 0 {
			asked.Add(1)
		}
	}))
	server.TLS = testkit.ServerConfig(good, ours)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	for _, test := range []struct {
		name, authority string
		insecure        bool
		want            int32
	}{
		{"the system's authorities", "", false, 0},
		{"another authority", others.File, false, 0},
		{"its authority", ours.File, false, 1},
		{"no check", "", true, 1},
	} {
		asked.Store(0)
		l := newLab(t, proxy.Options{CAFile: test.authority, Insecure: test.insecure, Masters: []proxy.Master{
			{URL: server.URL + "/", Releases: []string{release}, Certificate: node.CertificateFile, Key: node.KeyFile},
		}})
		l.post("/requestComputerPartition", "software_release", release, "software_type", "t", "partition_reference", "n", "state", marshal(t, nil))
		if got := asked.Load(); got != test.want {
			t.Errorf("%s: %d requests, want %d", test.name, got, test.want)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"slapos/slap/testkit"
)

// GRID-79: the master hears of a partition from that partition, by its certificate.
func TestWatchdogBangsAsPartition(t *testing.T) {
	authority := testkit.NewAuthority(t)
	partition := authority.Issue(t, "slappart3", nil)
	authorities := x509.NewCertPool()
	authorities.AddCert(authority.Certificate)
	var heard []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.TLS.PeerCertificates[0].Subject.CommonName+" "+r.URL.Path+" "+r.FormValue("computer_partition_id"))
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Issue(t, "master", nil).Certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: authorities,
	}
	server.StartTLS()
	defer server.Close()
	e, _, _ := newTestEnvironment(t)
	options := watchdogOptions{
		masterURL: server.URL, computerID: "COMP-1", certificates: filepath.Dir(partition.KeyFile), masterCAFile: authority.File,
	}
	if err := options.bang(t.Context(), e, "slappart3", "web ended"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"slappart3 /softwareInstanceBang slappart3"}; !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if err := options.bang(t.Context(), e, "slappart4", "web ended"); err == nil {
		t.Error("one without a certificate was heard")
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/networkcache"
	"slapos/networkcache/server"
	"slapos/slap/testkit"
)

// original runs functions of slapos.core with the given words as arguments.
func original(t *testing.T, program string, words ...string) string {
	t.Helper()
	testkit.Program(t, "openssl", "openssl") // the original signs and verifies with it
	prelude := "import logging, os, sys, tarfile\nfrom slapos.grid.networkcache import download_network_cached, upload_network_cached\n"
	output, err := exec.Command(testkit.Python(t), append([]string{"-c", prelude + program}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return strings.TrimSpace(string(output))
}

// TestOriginal has the original install what this package uploaded, and the
// reverse, through our server. Both verify signatures.
func TestOriginal(t *testing.T) {
	const url = "https://example.invalid/a/software.cfg"
	key := networkcache.ReleaseKey(url)
	web := httptest.NewServer(server.New(server.Options{Store: server.Store{
		Contents: &server.Directory{Path: t.TempDir()}, Entries: &server.Files{Path: t.TempDir()},
	}}))
	defer web.Close()
	secret, certificate, err := networkcache.GenerateKey("COMP-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	cache, shadir := web.URL+"/shacache/cache", web.URL+"/shacache/dir"
	config := networkcache.Config{
		Cache:            networkcache.Service{Download: cache, Upload: cache},
		Directory:        networkcache.Service{Download: shadir, Upload: shadir},
		SignatureKeyFile: keyFile, CertificateList: string(certificate),
	}
	releases := &networkcache.Releases{Download: config, Upload: config, SoftwareRoot: "/opt/slapgrid"}
	logger := slog.New(slog.DiscardHandler)
	built := filepath.Join(t.TempDir(), key)
	if err := os.MkdirAll(filepath.Join(built, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(built, "bin/run"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run", filepath.Join(built, "bin/link")); err != nil {
		t.Fatal(err)
	}
	check := func(who, directory string) {
		t.Helper()
		info, err := os.Stat(filepath.Join(directory, "bin/link"))
		if err != nil || info.Mode() != 0o755 || info.Size() != 10 {
			t.Errorf("%s: %v %v", who, info, err)
		}
	}

	if err := releases.Push(context.Background(), url, built, nil, logger); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	answer := original(t, `
cache, dir, url, key, certificate, target = sys.argv[1:]
path = os.path.join(target, 'archive')
print(download_network_cached(cache, dir, url, '/opt/slapgrid', key, path, logging.getLogger(), certificate, ()))
tarfile.open(path).extractall(target)
`, cache, shadir, url, key, string(certificate), target)
	if answer != "True" {
		t.Errorf("the original says %s", answer)
	}
	check("the original", filepath.Join(target, key))

	const theirs = "https://example.invalid/b/software.cfg"
	key = networkcache.ReleaseKey(theirs)
	answer = original(t, `
cache, dir, url, key, certificate, target, built, secret = sys.argv[1:]
path = os.path.join(target, 'archive')
with tarfile.open(path, 'w:gz') as t:
  t.add(built, arcname=key)
print(upload_network_cached('/opt/slapgrid', url, key, cache, dir, path, logging.getLogger(), secret, certificate, *[None] * 6))
`, cache, shadir, theirs, key, string(certificate), t.TempDir(), built, keyFile)
	if len(answer) != 128 { // a sum
		t.Errorf("the original says %s", answer)
	}
	directory := filepath.Join(t.TempDir(), key)
	if found, err := releases.Fetch(context.Background(), theirs, directory, logger); !found {
		t.Fatal(err)
	}
	check("this", directory)
}

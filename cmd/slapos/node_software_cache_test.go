// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"slapos/networkcache"
	"slapos/slap/testkit"
)

// NC-93, NC-100.
func TestProximityList(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	cache, upload, err := e.releaseCache(map[string]string{
		"proximity-url-list": "http://a:1\n\n https://b/shacache https://b/shadir", "signature-certificate-list": "some", "shacache-ca-file": "/ca",
	}, 0)
	if err != nil || upload {
		t.Fatal(upload, err)
	}
	var places []string
	for _, near := range cache.(*networkcache.Releases).Neighbours {
		places = append(places, near.Cache.Download, near.Directory.Download, near.Cache.CAFile, near.CertificateList)
	}
	want := "http://a:1/shacache/cache http://a:1/shacache/dir /ca some https://b/shacache https://b/shadir /ca some"
	if got := strings.Join(places, " "); got != want {
		t.Errorf("%s", got)
	}
	values := map[string]string{"proximity-url-list": "http://a:1\nb:2"}
	for _, err := range []error{checkValue("networkcache", "proximity-url-list", values), func() error { _, _, err := e.releaseCache(values, 0); return err }()} {
		if err == nil || !strings.Contains(err.Error(), `proximity-url-list must have a cache in each line`) || !strings.Contains(err.Error(), `"b:2"`) {
			t.Errorf("%v", err)
		}
	}
}

// NC-106: the passphrase is in the file of the key, else a credential of
// systemd; buildout, which can't ask for it, doesn't get the key.
func TestPassphraseFile(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	directory := t.TempDir()
	e.getenv = func(name string) string { return map[string]string{"CREDENTIALS_DIRECTORY": directory}[name] }
	options := map[string]string{"signature_private_key_file": "/key"}
	if key, passphrase := e.signatureKeyFile(options); key != "/key" || passphrase != "" {
		t.Errorf("without credential: %s %s", key, passphrase)
	}
	credential := testkit.WriteFile(t, filepath.Join(directory, "signature-passphrase"), "secret\n")
	if key, passphrase := e.signatureKeyFile(options); key != "/key" || passphrase != credential {
		t.Errorf("with a credential: %s %s", key, passphrase)
	}
	options["signature-passphrase-file"] = "/passphrase"
	if key, passphrase := e.signatureKeyFile(options); key != "/key" || passphrase != "/passphrase" {
		t.Errorf("with a key: %s %s", key, passphrase)
	}
	var filled gridOptions
	options["signature-private-key-file"] = "/other"
	if err := e.fillNetworkCache(options, nil, &filled); err != nil || filled.Software.BuildoutNetworkCache["signature-private-key-file"] != "" || options["signature-private-key-file"] != "/other" {
		t.Errorf("buildout gets %q, %v", filled.Software.BuildoutNetworkCache["signature-private-key-file"], err)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/cmd/slapos/pytext"
)

func TestWriteExample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slapos.cfg")
	values := nodeValues{ComputerID: "COMP-1", MasterURL: "http://[::1]:5000/100%", PartitionAmount: 3, CacheURL: "http://cache"}
	if err := pytext.WriteExample(path, nodeExample, values, 0o644); err != nil {
		t.Fatal(err)
	}
	e, _, _ := newTestEnvironment(t)
	c, err := e.nodeConfiguration(path)
	if err != nil {
		t.Fatal(err)
	}
	slapos, err := c.Section("slapos")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"computer_id": "COMP-1", "master_url": "http://[::1]:5000/100%", "software_root": "", "instance_root": ""}
	if !maps.Equal(slapos, want) {
		t.Errorf("section [slapos] is %q", slapos)
	}
	cache, err := c.Section("networkcache")
	if err != nil || strings.Count(cache["signature-certificate-list"], "BEGIN CERTIFICATE") != 5 || cache["download-cache-url"] != "http://cache" {
		t.Errorf("section [networkcache] is %q, %v", cache, err)
	}
	for _, key := range []string{"download-from-binary-cache-url-blacklist", "upload-to-binary-cache-url-blacklist"} {
		if !strings.Contains(cache[key], "\nhttps://lab.nxdcdn.com/nexedi/slapos/-/raw/master\n") {
			t.Errorf("%s is %q", key, cache[key])
		}
	}
	values.ComputerID = "COMP-1\nsomething = /"
	if err := pytext.WriteExample(path, nodeExample, values, 0o644); err == nil {
		t.Error("a value with a line break was written")
	}
}

func TestComputerReference(t *testing.T) {
	for certificate, want := range map[string]string{
		"Subject: CN=COMP-777/emailAddress=a@b": "COMP-777",
		"Subject: CN = COMP-777, O = x":         "COMP-777",
		"CN=COMP-7 7/email":                     "COMP-7 7",
		"CN=person":                             "",
	} {
		if got, err := computerReference(certificate); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", certificate, got, err)
		}
	}
}

// The files of CLI-92, without and with a cache.
func TestLocalNodeFiles(t *testing.T) {
	t.Parallel()
	for _, shacache := range []bool{false, true} {
		e, _, _ := newTestEnvironment(t)
		root := t.TempDir()
		l := &localNode{e: e, configureLocalOptions: configureLocalOptions{
			interfaceName: "lo", partitionNumber: 4, network: "10.0.0.0/16", ip: "127.0.0.1", port: "8080",
			instanceRoot: root + "/srv", softwareRoot: root + "/software", home: root + "/opt", directory: root + "/etc", shacache: shacache,
		}}
		if err := l.writeFiles(); err != nil {
			t.Fatal(err)
		}
		node, err := e.nodeConfiguration(root + "/etc/slapos.cfg")
		if err != nil {
			t.Fatal(err)
		}
		slapos, _ := node.Section("slapos")
		if slapos["computer_id"] != "local_computer" || slapos["master_url"] != "http://127.0.0.1:8080" || slapos["master_rest_url"] != "http://127.0.0.1:8080/hateoas" || slapos["key_file"] != "" {
			t.Errorf("section [slapos] is %q", slapos)
		}
		proxy, err := e.nodeConfiguration(root + "/etc/slapos-proxy.cfg")
		if err != nil {
			t.Fatal(err)
		}
		slapproxy, _ := proxy.Section("slapproxy")
		if slapproxy["port"] != "8080" || (slapproxy["shacache_content_directory"] != "") != shacache {
			t.Errorf("section [slapproxy] is %q", slapproxy)
		}
		if info, err := os.Stat(root + "/srv/shacache/signing-key.pem"); (err == nil) != shacache || shacache && info.Mode() != 0o600 {
			t.Errorf("signing key: %v, %v", info, err)
		}
		service, err := os.ReadFile(root + "/srv/etc/supervisord.conf.d/slapproxy.conf")
		if err != nil || !strings.Contains(string(service), " proxy start --cfg "+root+"/etc/slapos-proxy.cfg\nprocess_name=slapproxy\n") {
			t.Errorf("%s, %v", service, err)
		}
		if info, err := os.Stat(root + "/opt/log"); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("log directory: %v, %v", info, err)
		}
		if err := runConfigureLocal(t.Context(), e, l.configureLocalOptions); err == nil || !strings.HasPrefix(err.Error(), "A SlapOS configuration directory already exist at ") {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestLinkClient(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	l := &localNode{e: e, configureLocalOptions: configureLocalOptions{directory: "/etc/opt/slapos"}}
	for range 2 {
		if err := l.linkClient(); err != nil {
			t.Fatal(err)
		}
	}
	if target, err := os.Readlink(filepath.Join(e.getenv("HOME"), ".slapos", "slapos-client.cfg")); target != "/etc/opt/slapos/slapos.cfg" {
		t.Error(target, err)
	}
}

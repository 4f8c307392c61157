// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/testkit"
)

// TestBackupAuthority: a master that comes back from a backup, on another machine,
// is the one that its nodes trust, and trusts them (JOIN-8).
func TestBackupAuthority(t *testing.T) {
	t.Parallel()
	j := newJoinTest(t, "127.0.0.1")
	node := t.TempDir()
	j.must(on(node, j.token()...)...)
	name := computerOf(t, node)
	backup := filepath.Join(t.TempDir(), "backup.db")
	for range 2 { // a former one is replaced
		j.must("proxy", "backup", backup, "--cfg", j.configuration)
	}
	if info, err := os.Stat(backup + ".authority"); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	other := testkit.WriteFile(t, filepath.Join(t.TempDir(), "x.authority"), "something else")
	if code, _, stderr := j.run(0, "proxy", "backup", strings.TrimSuffix(other, ".authority"), "--cfg", j.configuration); code != 1 || !strings.Contains(stderr, "is no backup of an authority") || testkit.ReadFile(t, other) != "something else" {
		t.Errorf("over something else: %d, %s", code, stderr)
	}

	path, address := proxyConfiguration(t)
	if err := os.WriteFile(path, []byte(testkit.ReadFile(t, path)+"host = 127.0.0.1\nlisten_authority = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// It has an authority already: of somebody who tried.
	j.must("proxy", "token", "node", "--cfg", path)
	own := testkit.ReadFile(t, filepath.Dir(path)+"/authority/authority.pem")
	if code, _, stderr := j.run(0, "proxy", "restore", backup, "--cfg", path); code != 1 || !strings.Contains(stderr, "has another authority, whose nodes would have to join again: --force") {
		t.Errorf("over another authority: %d, %s", code, stderr)
	}
	j.must("proxy", "restore", backup, "--force", "--cfg", path)
	kept, err := filepath.Glob(filepath.Dir(path) + "/authority/authority.pem-before-restore-*")
	if err != nil || len(kept) != 1 || testkit.ReadFile(t, kept[0]) != own {
		t.Errorf("kept: %v, %v", kept, err)
	}
	startProxyForTest(t, path)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: "https://127.0.0.1:" + port, CAFile: node + "/ssl/master.crt",
		CertFile: node + "/ssl/node.crt", KeyFile: node + "/ssl/node.key", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	description := slap.Dict{"reference": name, "address": "10.0.0.1", "netmask": "255.0.0.0", "partition_list": []any{}}
	if _, err := client.LoadComputerConfiguration(t.Context(), description); err != nil {
		t.Errorf("the node at the restored master: %v", err)
	}

	// Without the authority's file it says what that means.
	if err := os.Remove(backup + ".authority"); err != nil {
		t.Fatal(err)
	}
	fresh, _ := proxyConfiguration(t)
	if err := os.WriteFile(fresh, []byte(testkit.ReadFile(t, fresh)+"listen_authority = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := j.run(0, "proxy", "restore", backup, "--cfg", fresh); code != 0 || !strings.Contains(stderr, "backup.db.authority: nodes go on to trust this master only if ") {
		t.Errorf("without its authority: %d, %s", code, stderr)
	}
}

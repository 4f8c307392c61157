// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// TestLocalMasterRefuses: a master with a token of its owner's answers those who read
// that, and the users of partitions; of the other users of the machine it tells
// nobody more than that it lives (CLI-112, PROXY-186).
func TestLocalMasterRefuses(t *testing.T) {
	testkit.Root(t)
	curl := testkit.Program(t, "curl", "curl")
	path, address := proxyConfiguration(t)
	folder := filepath.Dir(path)
	token, instances := filepath.Join(folder, "master-token"), filepath.Join(folder, "inst")
	if err := slap.MakeToken(token); err != nil {
		t.Fatal(err)
	}
	const partition, stranger = 29996, 29997
	if err := os.MkdirAll(filepath.Join(instances, "slappart0"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(instances, "slappart0"), partition, partition); err != nil {
		t.Fatal(err)
	}
	text := testkit.ReadFile(t, path)
	text = strings.Replace(text, "[slapos]\n", "[slapos]\nmaster_url = "+address+"\nmaster_rest_url = "+address+"/hateoas\nmaster_token_file = "+token+"\n", 1)
	text += "listen_token_file = " + token + "\nlisten_instance_root = " + instances + "\nlisten_open_cache = true\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	startProxyForTest(t, path)

	status := func(uid uint32, path string, words ...string) string {
		t.Helper()
		command := exec.Command(curl, append(words, "-s", "-o", "/dev/null", "-w", "%{http_code}", address+path)...)
		command.Dir = "/"
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(output)
	}
	secret, err := slap.ReadToken(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who   uint32
		path  string
		words []string
		want  string
	}{
		{stranger, "/panel/", nil, "401"},
		{stranger, "/getFullComputerInformation?computer_id=C", nil, "401"},
		{stranger, "/metrics", nil, "401"},
		{stranger, "/healthz", nil, "200"},
		{stranger, "/panel/", []string{"-H", "Authorization: Bearer wrong"}, "401"},
		{stranger, "/shacache/dir/nothing", nil, "503"}, // there is no cache
		{stranger, "/shacache/dir/nothing", []string{"-X", "PUT", "-d", `["{}", ""]`}, "401"},
		{stranger, "/panel/", []string{"-u", "me:" + secret}, "200"}, // whoever knows it
		{partition, "/panel/", nil, "200"},
		{partition, "/panel/", []string{"-H", "X-Forwarded-For: 127.0.0.1"}, "401"},
		{0, "/panel/", nil, "401"}, // root's process may ask for anybody
	} {
		if got := status(c.who, c.path, c.words...); got != c.want {
			t.Errorf("user %d, %s %q: %s, want %s", c.who, c.path, c.words, got, c.want)
		}
	}

	testkit.AsUser(t, func(string) { // others go without
		if read, err := slap.ReadToken(token); read != "" || err != nil {
			t.Errorf("another user reads %q, %v", read, err)
		}
	})

	// The owner's commands read the token by themselves.
	e, stdout, stderr := newTestEnvironment(t)
	if code := run(t.Context(), e, []string{"slapos", "computer", "list", "--cfg", path}); code != 0 {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	info, err := os.Stat(token)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token: %v, %v", info, err)
	}
	if err := slap.MakeToken(token); err != nil || testkit.ReadFile(t, token) != secret+"\n" {
		t.Errorf("a token that is there is made anew: %v", err)
	}
	if err := os.Chmod(token, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := slap.MakeToken(token); err != nil || testkit.ReadFile(t, token) == secret+"\n" {
		t.Errorf("a token that others could read goes on to count: %v", err)
	}
	for text, want := range map[string]string{"": "has no token", "\n": "has no token"} {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := slap.ReadToken(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := slap.ReadToken(filepath.Join(folder, "none")); err == nil || !strings.HasPrefix(err.Error(), "master_token_file: ") {
		t.Error(err)
	}
}

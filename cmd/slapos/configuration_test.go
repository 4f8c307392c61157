// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// GRID-3, CLI-20, CLI-29.
func TestConfigurationPath(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	home := e.getenv("HOME")
	if got := e.nodeConfigurationPath(""); got != "/etc/opt/slapos/slapos.cfg" {
		t.Error(got)
	}
	if got := e.clientConfigurationPath(""); got != home+"/.slapos/slapos-client.cfg" {
		t.Error(got)
	}
	variables := map[string]string{
		"HOME": home, "SLAPOS_CONFIGURATION": "~/node.cfg", "SLAPOS_CLIENT_CONFIGURATION": "/client.cfg",
	}
	e.getenv = func(name string) string { return variables[name] }
	for path, want := range map[string]string{"": home + "/node.cfg", "a.cfg": "a.cfg", "~/b.cfg": home + "/b.cfg", "~": home, "~x/c": "~x/c"} {
		if got := e.nodeConfigurationPath(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	if got := e.clientConfigurationPath(""); got != "/client.cfg" {
		t.Error(got)
	}
}

// GRID-3.
func TestReadConfigurationErrors(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	directory := t.TempDir()
	absent := filepath.Join(directory, "absent.cfg")
	if _, err := e.nodeConfiguration(absent); err == nil || err.Error() != "Configuration file does not exist: "+absent {
		t.Error(err)
	}
	if _, err := e.nodeConfiguration(directory); err == nil || !strings.HasPrefix(err.Error(), "Cannot parse configuration file: ") {
		t.Error(err)
	}
	bad := filepath.Join(directory, "bad.cfg")
	if err := os.WriteFile(bad, []byte("[slapos]\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.nodeConfiguration(bad); err == nil || !strings.Contains(err.Error(), bad+":2: ") {
		t.Error(err)
	}
}

func TestCheckRoot(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	e.uid = 1000
	for text, fails := range map[string]bool{"": true, "true": true, "True": true, "false": false, "False": false, "no": false, "maybe": true} {
		if err := e.checkRoot(map[string]string{"root_check": text}); (err != nil) != fails {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// CLI-27, SLAP-90.
func TestOpenClient(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"[slapos]\nmaster_url = http://127.0.0.1:1\n", ""},
		{"[slapos]\nmaster_url = http://127.0.0.1:1\n[slapconsole]\ncert_file =\n", ""},
		{"[slapos]\n", "No option 'master_url'"},
		{"[slapconsole]\nmaster_url = http://127.0.0.1:1\n", "has no section [slapos]"},
		{"[slapos]\nmaster_url = https://127.0.0.1:1\n", "No option 'key_file' and/or 'cert_file'"},
		{"[slapos]\nmaster_url = https://127.0.0.1:1\ncert_file = ~/absent.crt\nkey_file = ~/absent.key\n", "/absent.crt"},
		{"[slapos]\nmaster_url = https://127.0.0.1:1\ncert_file = /a.crt\n[slapconsole]\nkey_file = /b.key\ncert_file = /b.crt\n", "/b.crt"},
		{"[slapos]\nmaster_url = http://127.0.0.1:1\nmaster_insecure = maybe\n", "client.cfg: section [slapos], key master_insecure must be true or false, not \"maybe\""},
	} {
		e, _, _ := newTestEnvironment(t)
		path := filepath.Join(t.TempDir(), "client.cfg")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := e.openClient(clientOptions{configuration: path})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.text, err, test.want)
		}
	}
}

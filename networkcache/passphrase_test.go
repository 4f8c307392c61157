// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// NC-106: encrypted keys of this program and of openssl are read with the right
// passphrase, and with no other; openssl reads those of this program.
func TestPassphrase(t *testing.T) {
	program := testkit.Program(t, "openssl", "openssl")
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openssl := func(arguments ...string) {
		t.Helper()
		if output, err := exec.Command(program, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", arguments, err, output)
		}
	}
	key, _, err := GenerateKey("COMP-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := EncryptKey(key, []byte("a secret é"))
	if err != nil {
		t.Fatal(err)
	}
	write("plain", key)
	write("ours", encrypted)
	write("passphrase", []byte("a secret é\nand a second line"))
	write("windows", []byte("a secret é\r\n"))
	write("wrong", []byte("another\n"))
	write("empty", []byte("\nsecond"))
	openssl("pkcs8", "-topk8", "-in", path("plain"), "-out", path("theirs"), "-passout", "file:"+path("passphrase"))
	openssl("pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1", "-in", path("plain"), "-out", path("old"), "-passout", "file:"+path("passphrase"))
	openssl("pkcs8", "-topk8", "-scrypt", "-in", path("plain"), "-out", path("scrypt"), "-passout", "file:"+path("passphrase"))
	openssl("pkey", "-in", path("ours"), "-passin", "file:"+path("passphrase"), "-out", path("back"))
	want, err := ReadSigner(path("plain"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ours", "theirs", "old", "scrypt", "back", "plain"} {
		for _, passphrase := range []string{"passphrase", "windows"} {
			signer, err := ReadSigner(path(name), path(passphrase))
			if err != nil || !signer.key.Equal(want.key) {
				t.Errorf("%s with %s: %v", name, passphrase, err)
			}
		}
	}
	for _, test := range []struct{ key, passphrase, want string }{
		{"ours", "", "is encrypted: name the file with its passphrase"},
		{"ours", "wrong", "another passphrase"},
		{"theirs", "wrong", "another passphrase"},
		{"ours", "empty", "the first line of " + path("empty") + " is empty"},
		{"ours", "absent", "no such file"},
	} {
		file := test.passphrase
		if file != "" {
			file = path(file)
		}
		if _, err := ReadSigner(path(test.key), file); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %q: %v", test.key, test.passphrase, err)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func newBundle(w io.Writer, secrets ...string) *Bundle {
	return New(w, "x", Masks{Hide: func(line string) string { return strings.ReplaceAll(line, "hidden", "+++") }, Secrets: secrets}, time.Unix(0, 0))
}

func TestMask(t *testing.T) {
	t.Parallel()
	b := newBundle(io.Discard, "secret", "secret/longer", "a b&c", "four")
	for text, want := range map[string]string{
		"a secret/longer here": "a *** here",
		"a secret here":        "a *** here",
		"four":                 "four", // too short to be one
		"x=a+b%26c y=a%20b&c":  "x=*** y=***",
		`{"a": "a b\u0026c"}`:  `{"a": "***"}`,
		"hidden\nhidden\n":     "+++\n+++\n",
		"S1.abcdefghijkl.0123456789ab.abcdefghijkl":                          "***",
		"a\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\nb": "a\n***\nb",
		"a\n-----BEGIN RSA PRIVATE KEY-----\nAAAA":                           "a\n***",
		"AAAA\nBBBB\n-----END EC PRIVATE KEY-----\nb":                        "***\nb",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n":     "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if got := b.Mask(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// The end of a long file begins with a whole line: half of a secret is recognised by
// nobody. What is no file is not followed.
func TestTail(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	long := testkit.WriteFile(t, filepath.Join(folder, "long"), strings.Repeat("x", MaxFile)+"secret\nthe end\n")
	link := filepath.Join(folder, "link")
	if err := os.Symlink(long, link); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	b := newBundle(&packed)
	b.Tail("long", long)
	b.Tail("link", link)
	b.Tail("none", filepath.Join(folder, "none"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewReader(&packed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(compressed)
	for _, want := range []string{"the end\n", "is not a file", "no such file"} {
		header, err := archive.Next()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil || !strings.Contains(string(text), want) || header.Mode != 0o600 || len(text) > 200 {
			t.Errorf("%s: %q, %v", header.Name, text, err)
		}
	}
}

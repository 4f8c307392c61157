// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// The worked example of NC-32, made with slapos.libnetworkcache. Its key was
// thrown away.
const (
	exampleCertificate = `-----BEGIN CERTIFICATE-----
MIICBjCCAW+gAwIBAgIUS99WILafPmKFwESPfNXtGBxVqwEwDQYJKoZIhvcNAQEL
BQAwFDESMBAGA1UEAwwJQ09NUC1URVNUMCAXDTI2MTEyMTAxMzcxNVoYDzIxMjYx
MDI4MDEzNzE1WjAUMRIwEAYDVQQDDAlDT01QLVRFU1QwgZ8wDQYJKoZIhvcNAQEB
BQADgY0AMIGJAoGBANQ3Bp0wRVGdSUbSLJ/wrocQBRrlPOhoGz/WZQhTK+4f6hFG
luh4HNveAZXRQ7tXkqW8Gdpu4WhgcAcwV+RtlEiLNE2deSmX8Tmwu2KVmEb/g/C/
AA0wc/FordZ5KtPTyBq2z8yJZLdKlZPjoq3j3WpIOyXki0jcP2VdWrohwoNNAgMB
AAGjUzBRMB0GA1UdDgQWBBSEucKwfzSJg9kRajomhyYSXAzTIzAfBgNVHSMEGDAW
gBSEucKwfzSJg9kRajomhyYSXAzTIzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3
DQEBCwUAA4GBAKhz83aX7qq+ZBnecZvzsLeGvPUoI3mnMWQZFvkTIRE+1xPGDc1u
59clxDjJF9uTSKv3NTLXwsBKP8rBg6wgol3ozPzFCxzYbVI7ovdDOmUI3nnkZQI+
8pCVqFAvLtLOM5o5piGd2VXXNNdGDbDyaRrd+drHRBbRSJAmYKeFMNqI
-----END CERTIFICATE-----
`
	exampleEntry = `["{\"sha512\": \"e7c22b994c59d9cf2b48e549b1e24666636045930d3da7c1acb299d1c3b7f931f94aae41edda2c2b207a36e10f8bcb8d45223e54878f5b316e7ce3b6bc019629\", \"software_url\": \"https://example.invalid/software/demo/software.cfg\", \"software_root\": \"/opt/slapgrid\", \"multiarch\": \"x86_64-linux-gnu\", \"os\": [\"debian\", \"12\", \"bookworm\"]}", "QYR6UhZHG1eR7Hs3wkrsY0zs64ZB+WWSxKGeHW9+NRQu5qLk9yVRW5VE7tf0GQjOpZNAoCScoh8Z52q/XWAUWj/ctrSzjGvjN6k9GlOchnpQIx7Grf+cGoHLwYXzt5VEUPM9ulr1lwRZEclro3qJDRNKWW22kL1wVMv1BJ4wD8Y="]`
)

// NC-14, NC-30, NC-31, NC-40.
func TestExample(t *testing.T) {
	certificates := ParseCertificates(exampleCertificate, slog.New(slog.DiscardHandler))
	entry, err := ParseEntry([]byte(exampleEntry))
	if err != nil {
		t.Fatal(err)
	}
	if !certificates.Verify(entry) {
		t.Error("the example's signature is not verified")
	}
	if string(entry.Text()) != exampleEntry {
		t.Errorf("spelled %s", entry.Text())
	}
	content, err := contentText([]Field{
		{"sha512", entry.SHA512()}, {"software_url", "https://example.invalid/software/demo/software.cfg"},
		{"software_root", "/opt/slapgrid"}, {"multiarch", "x86_64-linux-gnu"}, {"os", [3]string{"debian", "12", "bookworm"}},
	})
	if err != nil || content != entry.Content {
		t.Errorf("%v\n%s\nwant\n%s", err, content, entry.Content)
	}
	if ReleaseKey("https://example.invalid/software/demo/software.cfg") != "f03ff164d9ee3e1f2d67371a9322e824" {
		t.Error("another key")
	}
	for name, change := range map[string]Entry{
		"another text":       {entry.Content + " ", entry.Signature},
		"no signature":       {entry.Content, ""},
		"not base64":         {entry.Content, "****"},
		"another signature":  {entry.Content, "AAAA" + entry.Signature[4:]},
		"signature cut":      {entry.Content, entry.Signature[:20]},
		"blanks in it":       {entry.Content, "    "},
		"an empty signature": {entry.Content, "===="},
	} {
		if certificates.Verify(change) {
			t.Errorf("%s: verified", name)
		}
	}
	if (Certificates{}).Verify(entry) {
		t.Error("verified without certificates")
	}
}

// The list is one value of a configuration file (NC-3).
func TestParseCertificates(t *testing.T) {
	_, other := newIdentityText(t)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	text := "# comment\n" + exampleCertificate + "\n\n" + other + exampleCertificate +
		"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n"
	if got := ParseCertificates(text, logger); len(got) != 3 {
		t.Errorf("%d certificates", len(got))
	}
	if n := strings.Count(log.String(), "Ignored wrong certificate"); n != 2 {
		t.Errorf("%d complaints:\n%s", n, &log)
	}
	if got := ParseCertificates(" \n", logger); len(got) != 0 {
		t.Errorf("%d certificates of nothing", len(got))
	}
}

func newIdentityText(t *testing.T) (key, certificate string) {
	t.Helper()
	k, c, err := GenerateKey("COMP-1 é, with=signs/", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(k), string(c)
}

// openssl reads our keys, and we read its signatures and keys of both kinds.
// NC-30, NC-53.
func TestOpenSSL(t *testing.T) {
	program := testkit.Program(t, "openssl", "openssl")
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openssl := func(arguments ...string) string {
		t.Helper()
		output, err := exec.Command(program, arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %s: %v\n%s", arguments, err, output)
		}
		return string(output)
	}
	key, certificate := newIdentityText(t)
	write("key", key)
	write("certificate", certificate)
	text := openssl("x509", "-in", path("certificate"), "-noout", "-text", "-verify")
	for _, want := range []string{"sha256WithRSAEncryption", "COMP-1", "CA:TRUE"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	signer, err := ReadSigner(path("key"), "")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign("text")
	if err != nil {
		t.Fatal(err)
	}
	write("text", "text")
	openssl("dgst", "-sha1", "-sign", path("key"), "-out", path("signature"), path("text"))
	write("base64", signature+"\n")
	if got := openssl("base64", "-A", "-in", path("signature")); strings.TrimSpace(got) != signature {
		t.Errorf("signed %s, openssl %s", signature, got)
	}
	openssl("req", "-x509", "-nodes", "-days", "36500", "-subj", "/CN=old", "-newkey", "rsa:1024", "-keyout", path("old"), "-out", path("old.crt"))
	openssl("rsa", "-traditional", "-in", path("old"), "-out", path("pkcs1"))
	trusted, err := os.ReadFile(path("old.crt"))
	if err != nil {
		t.Fatal(err)
	}
	certificates := ParseCertificates(string(trusted), slog.New(slog.DiscardHandler))
	for _, name := range []string{"old", "pkcs1"} {
		signer, err := ReadSigner(path(name), "")
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign("text")
		if err != nil || !certificates.Verify(Entry{"text", signature}) || !certificates.has(signer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"text", "certificate", "missing"} {
		if _, err := ReadSigner(path(name), ""); err == nil || !strings.Contains(err.Error(), path(name)) {
			t.Errorf("%s as a key: %v", name, err)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	certificates := ParseCertificates(exampleCertificate, slog.New(slog.DiscardHandler))
	f.Add([]byte("[" + exampleEntry + "]"))
	f.Add([]byte(`[["a"], ["a", "b", "c"], [1, 2], null, {}, ["{\"os\": \"('debian', '7.0', '')\", \"machine\": \"x86_64\"}", "QQ=="], ["{}", ""]]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ParseEntries(data)
		if err != nil {
			return
		}
		for _, entry := range entries {
			if certificates.Verify(entry) && !strings.Contains(exampleEntry, entry.Signature) {
				t.Errorf("verified %q", entry)
			}
			_, _ = EntryPlatform(entry)
			entry.SHA512()
			again, err := ParseEntry(entry.Text())
			if err != nil || again != entry {
				t.Errorf("%q became %q: %v", entry, again, err)
			}
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	f.Add(exampleCertificate)
	f.Add("-----BEGIN CERTIFICATE-----\nx")
	f.Fuzz(func(t *testing.T, text string) {
		for _, certificate := range ParseCertificates(text, slog.New(slog.DiscardHandler)) {
			Certificates{certificate}.Verify(Entry{"x", "QUFBQQ=="})
		}
		_, _ = ParseSigner([]byte(text), nil)
	})
}

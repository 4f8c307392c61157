// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"fmt"
	"strings"
	"testing"
)

// NC-104.
func TestExplain(t *testing.T) {
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	client := newTestClient(t, config)
	content := []byte("content")
	sum := sumOf(content)
	fake.contents[sum] = content
	here := Platform{"x86_64-linux-gnu", [3]string{"debian", "12", "bookworm"}}
	sign := func(content string) Entry {
		t.Helper()
		signature, err := client.signer.Sign(content)
		if err != nil {
			t.Fatal(err)
		}
		return Entry{content, signature}
	}
	about := func(sum, os string, more string) string {
		return fmt.Sprintf(`{"sha512": "%s", "multiarch": "x86_64-linux-gnu", "os": ["debian", "%s", ""]%s}`, sum, os, more)
	}
	good := sign(about(sum, "12", ""))
	entries := []Entry{
		{good.Content, ""},
		{good.Content, "é"},
		{good.Content + " ", good.Signature},
		sign(about(sum, "11", "")),
		sign(about(sumOf(nil), "12", "")),
		sign(`{"os": 1}`),
		sign(fmt.Sprintf(`{"sha512": "%s", "multiarch": "x", "os": 1}`, sum)),
		good,
		good,
		sign(about(sum, "12", `, "timestamp": 1800000000`)),
	}
	want := []string{
		"signed by COMP-TEST: is used", // the one with a date comes first
		"signed by nobody who is trusted: it has no signature",
		"it is no base64",
		"of none of the 1 certificates",
		"built for debian 11  on x86_64-linux-gnu, this node is debian 12 bookworm on",
		"doesn't have its content",
		"it names no content",
		"os is not a list of three texts",
		"would do as well",
		"would do as well",
	}
	lines := client.Explain(t.Context(), entries, &here)
	if len(lines) != len(want) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("%d: %s, want %s", i, line, want[i])
		}
	}
	if lines = client.Explain(t.Context(), []Entry{sign(fmt.Sprintf(`{"sha512": "%s"}`, sum))}, nil); !strings.HasSuffix(lines[0], "is used") {
		t.Errorf("a file: %s", lines[0])
	}
	client.trusted = nil
	if lines = client.Explain(t.Context(), []Entry{good}, nil); !strings.HasSuffix(lines[0], "signature-certificate-list has no certificate") {
		t.Errorf("without certificates: %s", lines[0])
	}
}

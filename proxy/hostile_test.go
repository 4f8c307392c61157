package proxy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/proxy"
)

// TestHostileXML posts documents that read files, grow without bounds or nest
// without end, in each field that takes XML.
func TestHostileXML(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("the secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	laughs := `<!DOCTYPE m [<!ENTITY a0 "ha">`
	for i := 1; i < 40; i++ {
		laughs += fmt.Sprintf(`<!ENTITY a%d "&a%d;&a%d;">`, i, i-1, i-1)
	}
	documents := map[string]string{
		"an external entity":           `<!DOCTYPE m [<!ENTITY e SYSTEM "file://` + secret + `">]><marshal><dictionary id="i2"><string>a</string><string>&e;</string></dictionary></marshal>`,
		"an external parameter entity": `<!DOCTYPE m [<!ENTITY % e SYSTEM "file://` + secret + `"> %e;]><marshal><dictionary id="i2"><string>a</string><string>&b;</string></dictionary></marshal>`,
		"an external subset":           `<!DOCTYPE m SYSTEM "file://` + secret + `"><marshal><dictionary id="i2"><string>a</string><string>&b;</string></dictionary></marshal>`,
		"many laughs":                  laughs + `]><marshal><dictionary id="i2"><string>a</string><string>&a39;</string></dictionary></marshal>`,
		"deep lists":                   `<marshal>` + strings.Repeat(`<list id="i2">`, 20_000) + strings.Repeat(`</list>`, 20_000) + `</marshal>`,
		"an open end":                  `<marshal>` + strings.Repeat(`<list id="i2">`, 20_000),
	}
	l := newLab(t, proxy.Options{})
	l.load(1)
	request := []string{"software_release", release, "software_type", "t", "partition_reference", "i"}
	for what, document := range documents {
		for _, call := range [][]string{
			{"/loadComputerConfigurationFromXML", "xml", document},
			{"/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0", "connection_xml", document},
			append([]string{"/requestComputerPartition", "state", document}, request...),
			append([]string{"/requestComputerPartition", "state", marshal(t, nil), "partition_parameter_xml", document}, request...),
			append([]string{"/requestComputerPartition", "state", marshal(t, nil), "filter_xml", document}, request...),
			append([]string{"/requestComputerPartition", "state", marshal(t, nil), "shared_xml", document}, request...),
		} {
			if got := l.post(call[0], call[1:]...); got.status < 400 || strings.Contains(got.body, "the secret") {
				t.Errorf("%s to %s: %.300s", what, call[0], got)
			}
		}
		// A report is kept as it is, and shown.
		l.post("/useComputer", "computer_id", "local_computer", "use_string", document)
		if got := l.get("/panel/computer?id=local_computer"); got.status != 200 || strings.Contains(got.body, "the secret") {
			t.Errorf("%s as a report: %.300s", what, got)
		}
	}
	if p := l.get(nodePath); p.status != 200 || strings.Contains(p.body, "the secret") {
		t.Errorf("afterwards: %.300s", p)
	}
}

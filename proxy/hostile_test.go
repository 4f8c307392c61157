// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"fmt"
	"net/http"
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
		if got := l.get("/panel/node?id=local_computer"); got.status != 200 || strings.Contains(got.body, "the secret") {
			t.Errorf("%s as a report: %.300s", what, got)
		}
	}
	if p := l.get(nodePath); p.status != 200 || strings.Contains(p.body, "the secret") {
		t.Errorf("afterwards: %.300s", p)
	}
}

// TestUnfitText posts texts that no answer could be written with: a node whose
// computer held one would get no answer any more.
func TestUnfitText(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.post("/requestComputerPartition", "software_release", release, "software_type", "t", "partition_reference", "i", "state", marshal(t, nil))
	before := l.get(nodePath).body
	request := func(field, text string) []string {
		return []string{"/requestComputerPartition", "state", marshal(t, nil), "software_release", release, "software_type", "t",
			"partition_reference", "x", field, text}
	}
	for _, call := range [][]string{
		{"/supplySupply", "url", "http://x/\x1b[0m", "computer_id", "local_computer", "state", "available"},
		{"/softwareInstanceRename", "computer_id", "local_computer", "computer_partition_id", "slappart0", "new_name", "a\x00b"},
		request("software_release", "\x07"), request("software_type", "\x07"), request("partition_reference", "\x07"),
	} {
		if got := l.post(call[0], call[1:]...); got.status != 400 || !strings.Contains(got.page(), "XML cannot carry") {
			t.Errorf("%q: %s", call, got)
		}
	}
	for method, input := range map[string]string{
		"slapos.post.v0.software_installation":  `{"computer_guid": "local_computer", "software_release_uri": "\u0007"}`,
		"slapos.post.v0.software_instance":      `{"title": "\u0007", "software_release_uri": "u", "software_type": "t"}`,
		"slapos.put.v0.software_instance_title": `{"instance_guid": "i______0", "title": "\ufffe"}`,
		"slapos.put.v0.compute_node_format":     `{"computer_guid": "local_computer", "compute_partition_list": [{"partition_id": "p\u0001", "ip_list": []}]}`,
	} {
		if got := l.do(http.MethodPost, "/"+method, "application/json", input); got.status != 400 || !strings.Contains(got.body, "XML cannot carry") {
			t.Errorf("%s %s: %s", method, input, got)
		}
	}
	if got := l.get(nodePath); got.status != 200 || got.body != before {
		t.Errorf("afterwards: %s", got)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// TestShow goes through PROXY-160 to 163.
func TestShow(t *testing.T) {
	l := newLabOn(t, filepath.Join(t.TempDir(), "proxy.db"), proxy.Options{}, func() time.Time { return time.Unix(1795225275, 123456000) })
	show := func(sections ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := proxy.Show(t.Context(), &out, l.uri, sections); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	using := "Using database: " + l.uri + "\n"
	if got := show(); got != using+"table computer18: empty\n \ntable software18: empty\n \ntable partition18: empty\n \ntable slave18: empty\n \n \n" {
		t.Errorf("empty:\n%s", got)
	}
	address, netmask := "12.34.56.78", "255.255.255.255"
	d := store.ComputerDescription{Reference: "local_computer", Address: &address, Netmask: &netmask}
	for i, reference := range []string{"slappart0", "slappart1"} {
		d.Partitions = append(d.Partitions, store.PartitionDescription{Reference: reference, Addresses: []store.NetworkAddress{
			{Interface: "tap", Address: []string{"10.0.0.1", "10.0.0.2"}[i]}, {Interface: "tap", Address: []string{"fd00::1", "fd00::2"}[i]}}})
	}
	if err := l.LoadComputer(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := l.LoadComputer(t.Context(), store.ComputerDescription{Reference: "c2"}); err != nil {
		t.Fatal(err)
	}
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.request("x1")
	key := strings.Repeat("A", 50)
	l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0", "connection_xml",
		marshal(t, slap.Dict{"_": `{"b": 1, "a": ["x"], "e": {}}`, "ssh-key": key, "url": "http://x", "empty": ""}))
	l.request("sh", "shared_xml", marshal(t, true))
	text, err := os.ReadFile("testdata/show.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := show(); got != using+string(text) {
		t.Errorf("got\n%s\nwant\n%s", got, text)
	}
	for _, part := range []string{"computers", "software", "slaves", "params", "network"} {
		if got := show(part); !strings.Contains(using+string(text), strings.TrimPrefix(got, using)) {
			t.Errorf("%s:\n%s", part, got)
		}
	}
	l.post("/useComputer", "computer_id", "c2", "use_string", "<journal/>\n")
	if got := show(proxy.SectionUsage); !strings.HasSuffix(got, " c2\n<journal/>\n") {
		t.Errorf("usage:\n%s", got)
	}
	if err := proxy.Show(t.Context(), &bytes.Buffer{}, filepath.Join(t.TempDir(), "none.db"), nil); err == nil {
		t.Error("a missing database is shown")
	}
}

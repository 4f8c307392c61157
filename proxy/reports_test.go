// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// history is what happened, as "event state message".
func (l *lab) history(filter store.EventFilter) (lines []string) {
	l.Helper()
	events, err := l.Events(l.Context(), filter)
	if err != nil {
		l.Fatal(err)
	}
	for _, e := range events {
		lines = append(lines, strings.Join(strings.Fields(e.Event+" "+e.State+" "+e.Message), " "))
	}
	return lines
}

// TestReports keeps what the original ignores, and answers as that does
// (PROXY-38, PROXY-39, PROXY-108, PROXY-109, PROXY-190, PROXY-195).
func TestReports(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.request("i")
	l.request("s", "shared_xml", marshal(t, true))
	node := func(path string, more ...string) answer {
		t.Helper()
		return l.post(path, append([]string{"computer_id", "local_computer", "url", release, "computer_partition_id", "slappart0"}, more...)...)
	}
	before, version := l.get(nodePath), l.version()
	for _, path := range []string{"/buildingSoftwareRelease", "/availableSoftwareRelease", "/startedComputerPartition", "/stoppedComputerPartition"} {
		l.expect(node(path), 200, "Ignored")
	}
	l.expect(node("/softwareReleaseError", "error_log", "Error: no disk"), 200, "Ignored")
	l.expect(node("/softwareInstanceError", "error_log", "OSError: no port"), 200, "Ignored")
	l.expect(node("/softwareInstanceError", "error_log", "bad parameter", "slave_reference", "_s"), 200, "Ignored")
	l.expect(node("/softwareInstanceError", "error_log", "OSError: other", "slave_reference", "None"), 200, "Ignored")
	l.expect(node("/computerBang", "message", "all"), 200, "<marshal><string></string></marshal>")
	if after := l.get(nodePath); after.String() != before.String() || l.version() != version {
		t.Error("a report changes what the node reads")
	}
	if accepts := before.header.Get("Slapos-Accepts"); accepts != "promises" {
		t.Errorf("the master takes %q", accepts)
	}
	for _, call := range [][2]string{
		{"slapos.put.v0.software_installation_reported_state", `{"computer_guid": "local_computer", "software_release_uri": "` + release + `", "reported_state": "building"}`},
		{"slapos.put.v0.software_installation_error", `{"computer_guid": "local_computer", "software_release_uri": "` + release + `", "message": "by JSON"}`},
		{"slapos.put.v0.software_instance_reported_state", `{"instance_guid": "i______0", "reported_state": "started"}`},
		{"slapos.put.v0.software_instance_error", `{"instance_guid": "i______0", "message": "ValueError: JSON"}`},
		{"slapos.put.v0.software_instance_error", `{"instance_guid": "s______1", "message": "shared by JSON"}`},
		{"slapos.put.v0.compute_node_bang", `{"computer_guid": "local_computer", "message": "again"}`},
	} {
		l.expect(l.rpc(call[0], call[1]), 200, `{"type": "success", "title": "Ignored"}`)
	}
	for kind, want := range map[string][]string{
		store.KindRelease: {"supplied available", "reported building", "reported available", "reported error Error: no disk", "reported error by JSON"},
		store.KindInstance: {"requested started " + release, "reported started", "reported stopped", "reported error OSError: no port", "reported error OSError: other",
			"reported started", "reported error ValueError: JSON"},
		store.KindShared: {"requested started " + release, "reported error bad parameter", "reported error shared by JSON"},
		store.KindNode:   {"formatted 2 partitions", "bang all", "bang again"},
	} {
		if got := l.history(store.EventFilter{Kind: kind}); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: got %q, want %q", kind, got, want)
		}
	}
	if metrics := l.get("/metrics").body; strings.Contains(metrics, "slapos_proxy_reports_ignored_total{") {
		t.Error("a report was ignored")
	}
	promises := func(more string) answer {
		return l.rpc("slapos.put.v1.software_instance_promise_list", `{"computer_guid": "local_computer", "compute_partition_id": "slappart0"`+more+`}`)
	}
	node("/startedComputerPartition")
	l.expect(promises(`, "passed": 2, "failing": [{"name": "up", "message": "no answer"}]`), 200, `{"type": "success", "title": "Recorded"}`)
	c, err := l.Conditions(t.Context(), "local_computer")
	if err != nil {
		t.Fatal(err)
	}
	instance, err := l.Instance(t.Context(), store.Name{Title: "i"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Of(instance); got.Condition != slap.ConditionPromiseFailed || got.Message != "up: no answer" {
		t.Errorf("%+v", got)
	}
	l.expect(promises(`, "passed": -1, "failing": []`), 400, `{"status": 400, "type": "Bad Request", "title": "-1 is less than the minimum of 0"}`)
}

func (l *lab) version() int64 {
	l.Helper()
	version, err := l.NodeVersion(l.Context(), "local_computer")
	if err != nil {
		l.Fatal(err)
	}
	return version
}

// TestHostileReports: what nobody should send changes nothing, and is answered as
// ever (PROXY-190).
func TestHostileReports(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	if err := l.LoadComputer(t.Context(), store.ComputerDescription{Reference: "other", Partitions: []store.PartitionDescription{{Reference: "p"}}}); err != nil {
		t.Fatal(err)
	}
	l.request("i")
	last, err := l.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const form = "application/x-www-form-urlencoded"
	for _, path := range []string{"/startedComputerPartition", "/softwareInstanceError", "/buildingSoftwareRelease", "/softwareReleaseError"} {
		for _, body := range []string{
			"", "&", "computer_id", "computer_id=%FF%00&computer_partition_id=\x00&url=%ff",
			"computer_id=nope&computer_partition_id=slappart0&url=" + release,
			"computer_id=local_computer&computer_partition_id=slappart1&url=http://nope/",
			"computer_id=other&computer_partition_id=slappart0&url=" + release + "&error_log=x",
			strings.Repeat("a=b&", 2000) + "computer_id=local_computer&computer_partition_id=slappart0",
		} {
			l.expect(l.do(http.MethodPost, path, form, body), 200, "Ignored")
		}
		l.expect(l.do(http.MethodPost, path, "application/json", "{}"), 200, "Ignored")
		l.expect(l.do(http.MethodPost, path, "multipart/form-data; boundary=x", "nothing"), 200, "Ignored")
	}
	// A partition speaks for itself alone.
	l.header.Set("Authorization", "X-SlapPartition computer_id=other, computer_partition_id=p")
	l.expect(l.post("/startedComputerPartition", "computer_id", "local_computer", "computer_partition_id", "slappart0"), 200, "Ignored")
	l.header.Del("Authorization")
	if now, err := l.LastEvent(t.Context()); err != nil || now != last {
		t.Errorf("%q happened, %v", l.history(store.EventFilter{After: last}), err)
	}
	metrics := l.get("/metrics").body
	for _, want := range []string{`slapos_proxy_reports_ignored_total{reason="another's"} 1`, `slapos_proxy_reports_ignored_total{reason="unknown"} `, `slapos_proxy_reports_ignored_total{reason="unreadable"} `} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	// 64 MB of a log: its end counts, and the fields after it.
	line := url.QueryEscape("é Building part number 1234567890 ...\n")
	body := "computer_id=local_computer&computer_partition_id=slappart0&error_log=" + strings.Repeat(line, 64<<20/len(line)) +
		url.QueryEscape("OSError: the disk is full\n") + "&slave_reference=None"
	l.expect(l.do(http.MethodPost, "/softwareInstanceError", form, body), 200, "Ignored")
	events, err := l.Events(t.Context(), store.EventFilter{After: last})
	if err != nil || len(events) != 1 || events[0].Message != "OSError: the disk is full" || !events[0].HasLog {
		t.Fatalf("%+v, %v", events, err)
	}
	log, err := l.Log(t.Context(), events[0].ID)
	if err != nil || len(log) < store.MaximumLog-100 || strings.Trim(strings.ReplaceAll(log, "é Building part number 1234567890 ...\n", ""), "\n") != "OSError: the disk is full" {
		t.Errorf("a log of %d bytes, %v", len(log), err)
	}
}

// TestActors: an event says who asked for it, as far as that was proved, and with what
// (PROXY-192, PROXY-203).
func TestActors(t *testing.T) {
	l := newLab(t, proxy.Options{TokenName: func(r *http.Request) string {
		return map[string]string{"Bearer secret": "deploy"}[r.Header.Get("Authorization")]
	}})
	l.load(4)
	l.request("a")
	l.header.Set("Authorization", "X-SlapPartition computer_id=local_computer, computer_partition_id=slappart0")
	l.request("b")
	l.header.Set("Authorization", "Bearer secret")
	l.header.Set("User-Agent", "curl/8.0")
	l.request("c")
	l.header.Set("Authorization", "Bearer wrong")
	l.header.Set("User-Agent", "Mozilla/5.0 (secret)")
	l.request("d")
	events, err := l.Events(t.Context(), store.EventFilter{Event: store.EventRequested})
	if err != nil {
		t.Fatal(err)
	}
	var actors []string
	for _, e := range events {
		actors = append(actors, e.Actor)
	}
	if got, want := fmt.Sprint(actors), "[127.0.0.1 slappart0 of local_computer from 127.0.0.1 token deploy from 127.0.0.1 (curl) 127.0.0.1 (browser)]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for filter, want := range map[string]string{
		`{"actor": "DEPLOY"}`: "c", `{"actor": "token curl"}`: "c", `{"actor": "%"}`: "", `{"actor": "_"}`: "b", `{"search": "REQUESTED browser"}`: "d", `{"search": "slappart0 b"}`: "b",
		`{"search": "` + strings.Repeat("nothing ", 5000) + `"}`: "", `{"actor": "` + strings.Repeat("x", 100_000) + `"}`: "",
	} {
		var list struct {
			Events []struct{ Title string } `json:"result_list"`
		}
		l.header = http.Header{}
		got := l.rpc("slapos.allDocs.v1.event_list", filter)
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
			t.Errorf("%.100s: %v, %d", filter, err, got.status)
		}
		titles := ""
		for _, e := range list.Events {
			titles += e.Title
		}
		if titles != want {
			t.Errorf("%.100s finds %q, want %q", filter, titles, want)
		}
	}
}

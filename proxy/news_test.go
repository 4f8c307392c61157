// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

const newsScript = `
import json, sys
from slapos.slap.hateoas import SlapHateoasNavigator
n = SlapHateoasNavigator(sys.argv[1])
url = sys.argv[2]
rows = n.getInstanceTreeInstanceList('i')
print(json.dumps([n.getComputerNews('local_computer'), n.getComputerPartitionNews('local_computer', 'slappart0'),
  n.getComputerPartitionNews('local_computer', 'slappart9'), n.getSoftwareInstallationNews('local_computer', url),
  n.getSoftwareInstallationNews(None, url), [[r['title'], r['portal_type'], r['SoftwareInstance_getNewsDict']['text']] for r in rows]]))
`

// TestNews tells a story to the original's client and to ours: a build fails, is
// mended, and the instance fails and runs (PROXY-193, SLAP-73, SLAP-77, SLAP-94).
func TestNews(t *testing.T) {
	python := testkit.Python(t)
	l := newLab(t, proxy.Options{})
	l.load(3)
	sr := filepath.Join(t.TempDir(), "sr.cfg") // the client looks for its schema
	request := func(title string, more ...string) {
		t.Helper()
		got := l.post("/requestComputerPartition", append([]string{"software_release", sr, "software_type", "default",
			"partition_reference", title, "state", marshal(t, nil)}, more...)...)
		if got.status != 200 {
			t.Fatal(got)
		}
	}
	report := func(path string, more ...string) {
		t.Helper()
		l.expect(l.post(path, append([]string{"computer_id", "local_computer", "url", sr, "computer_partition_id", "slappart0"}, more...)...), 200, "Ignored")
	}
	client := filepath.Join(t.TempDir(), "client.cfg")
	rest := l.server.URL + "/hateoas/"
	if err := os.WriteFile(client, []byte("[slapos]\nmaster_url = "+l.server.URL+"/\nmaster_rest_url = "+rest+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(python), "slapos"), arguments...)
		command.Env = append(os.Environ(), "SLAPOS_CLIENT_CONFIGURATION="+client, "HOME="+t.TempDir())
		var complaints strings.Builder
		command.Stderr = &complaints
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s%s", arguments, err, output, &complaints)
		}
		return string(output)
	}
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: l.server.URL, RESTURL: rest})
	if err != nil {
		t.Fatal(err)
	}
	hateoas, err := master.Hateoas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// told expects what both clients say of the instance.
	told := func(status string, texts ...string) {
		t.Helper()
		var info struct {
			Status string
			News   []struct{ Text string }
		}
		if err := json.Unmarshal([]byte(run("service", "info", "i", "--news")), &info); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, item := range info.News {
			got = append(got, item.Text)
		}
		if info.Status != status || strings.Join(got, "|") != strings.Join(texts, "|") {
			t.Errorf("the original's client says %s %q, want %s %q", info.Status, got, status, texts)
		}
		ours, err := hateoas.Service(t.Context(), "i")
		if err != nil {
			t.Fatal(err)
		}
		if text := string(ours.News); !strings.Contains(text, texts[0]) {
			t.Errorf("ours says %s", text)
		}
	}
	l.post("/supplySupply", "url", sr, "computer_id", "local_computer", "state", "available")
	request("i")
	told("none", "waiting: waits for "+sr+" (requested)")
	l.get(nodePath)
	report("/buildingSoftwareRelease")
	told("none", "waiting: waits for "+sr+" (building)")
	report("/softwareReleaseError", "error_log", "Failed to run buildout profile in directory '/sr':\nError: Couldn't find x")
	told("red", "#error waiting: waits for "+sr+", which failed: Error: Couldn't find x")
	report("/availableSoftwareRelease")
	l.get(nodePath)
	told("none", "deploying")
	report("/softwareInstanceError", "error_log", "OSError: no port")
	told("red", "#error failed: OSError: no port")
	report("/startedComputerPartition")
	told("green", "#access running")
	request("child", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.get(nodePath)
	told("green", "#access running", "deploying")
	l.post("/softwareInstanceError", "computer_id", "local_computer", "computer_partition_id", "slappart1", "error_log", "broken")
	told("orange", "#access running", "#error failed: broken")

	output, err := exec.CommandContext(t.Context(), python, "-c", newsScript, rest, sr).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := `["#access up", "#access running", "#error no data found", "#access available", "#access available", ` +
		`[["i", "Software Instance", "#access running"], ["child", "Software Instance", "#error failed: broken"]]]`
	if got := strings.TrimSpace(string(output)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	request("s", "shared_xml", marshal(t, true))
	if got := run("service", "info", "s", "--news"); !strings.Contains(got, `"waiting: its host: requested"`) {
		t.Errorf("shared: %s", got)
	}
	for _, c := range []struct{ want, group, command string }{
		{"\"i\": \"" + sr + "\"", "service", "list"}, {"local_computer local_computer", "computer", "list"},
	} {
		if got := run(c.group, c.command); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s", c.group, c.command, got)
		}
	}
	if got := run("computer", "info", "local_computer"); !strings.Contains(got, "Computer Reference: local_computer") {
		t.Error(got)
	}
	ours, err := hateoas.Computer(t.Context(), "local_computer")
	if err != nil || ours.News != "#access up" || ours.PartitionNews["slappart1"] != "#error failed: broken" {
		t.Errorf("%+v, %v", ours, err)
	}
	for _, call := range []func() (string, error){
		func() (string, error) { return hateoas.InstallationNews(t.Context(), "local_computer", sr) },
		func() (string, error) {
			rows, err := hateoas.Instances(t.Context(), "nope")
			return fmt.Sprint("#access available"[len(rows):]), err
		},
	} {
		if text, err := call(); err != nil || text != "#access available" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if got := l.get("/hateoas/?mode=search&query=" + url.QueryEscape(`portal_type:("Software Instance", "Slave Instance") AND validation_state:validated`)); got.status != 400 {
		t.Errorf("another query: %s", got)
	}
}

// TestStatusMethods goes through PROXY-194, and the metrics of conditions.
func TestStatusMethods(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.request("i")
	l.request("shr", "shared_xml", marshal(t, true))
	l.get(nodePath)
	l.post("/softwareReleaseError", "computer_id", "local_computer", "url", release, "error_log", "Building\nError: no <x>")
	if got := l.request("lost", "filter_xml", marshal(t, slap.Dict{"computer_guid": "nope"})); got.status != 404 {
		t.Fatal(got)
	}
	decode := func(a answer, into any) {
		t.Helper()
		if a.status != 200 {
			t.Fatal(a)
		}
		if err := json.Unmarshal([]byte(a.body), into); err != nil {
			t.Fatal(err)
		}
	}
	type actual struct {
		Condition, Message string
		Since, Event       int64
	}
	var status struct {
		Counts        map[string]map[string]int
		NodeList      []struct{ Actual actual } `json:"node_list"`
		AttentionList []struct {
			Kind, Subject, Title string
			Actual               actual
		} `json:"attention_list"`
		LastEvent int64 `json:"last_event"`
	}
	decode(l.rpc("slapos.get.v1.status", `{}`), &status)
	if status.Counts["instances"]["waiting"] != 2 || status.Counts["releases"]["failed"] != 1 || status.Counts["nodes"]["up"] != 1 || len(status.NodeList) != 1 {
		t.Errorf("%+v", status)
	}
	var attention []string
	for _, a := range status.AttentionList {
		attention = append(attention, a.Kind+" "+a.Subject+a.Title+" "+a.Actual.Condition+" "+a.Actual.Message)
	}
	const failed = "waits for " + release + ", which failed: Error: no <x>"
	if got, want := strings.Join(attention, "|"), "release "+release+" failed Error: no <x>|instance slappart0i waiting "+failed+
		"|instance lost requested there is no computer nope: No free computer partition found for: lost"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var instance struct {
		Wanted string
		Actual actual
	}
	decode(l.rpc("slapos.get.v1.software_instance_status", `{"instance_guid": "i______0"}`), &instance)
	if instance.Wanted != "started" || instance.Actual.Condition != "waiting" || instance.Actual.Message != failed || instance.Actual.Since == 0 {
		t.Errorf("%+v", instance)
	}
	decode(l.rpc("slapos.get.v1.software_installation_status", `{"computer_guid": "local_computer", "software_release_uri": "`+release+`"}`), &instance)
	if instance.Wanted != "available" || instance.Actual.Condition != "failed" || instance.Actual.Event == 0 {
		t.Errorf("%+v", instance)
	}
	l.expect(l.rpc("slapos.get.v1.event_log", fmt.Sprintf(`{"event": %d}`, instance.Actual.Event)), 200,
		fmt.Sprintf(`{"event": %d, "text": "Building\nError: no <x>"}`, instance.Actual.Event))
	var events struct {
		List []struct {
			ID             int64
			Event, Message string
			HasLog         bool `json:"has_log"`
		} `json:"result_list"`
	}
	decode(l.rpc("slapos.allDocs.v1.event_list", `{"kind": "release", "limit": 2}`), &events)
	if len(events.List) != 2 || events.List[1].ID != instance.Actual.Event || !events.List[1].HasLog {
		t.Errorf("%+v", events)
	}
	decode(l.rpc("slapos.allDocs.v1.event_list", fmt.Sprintf(`{"after": %d}`, status.LastEvent-1)), &events)
	if len(events.List) != 1 || events.List[0].Event != store.EventRefused {
		t.Errorf("%+v", events)
	}
	forbidden := func(title string) string { return `{"status": 403, "type": "Forbidden", "title": "` + title + `"}` }
	l.expect(l.rpc("slapos.get.v1.event_log", `{"event": 12345}`), 403, forbidden("No log of event 12345 found."))
	l.expect(l.rpc("slapos.get.v1.software_instance_status", `{"instance_guid": "x______0"}`), 403, forbidden("No software instance x______0 found."))
	l.expect(l.rpc("slapos.get.v1.software_installation_status", `{"computer_guid": "c", "software_release_uri": "u"}`), 403, forbidden("u is not supplied to c."))
	l.expect(l.rpc("slapos.allDocs.v1.event_list", `{"limit": 1001}`), 400, `{"status": 400, "type": "Bad Request", "title": "1001 is greater than the maximum of 1000"}`)
	metrics := l.get("/metrics").body
	for _, want := range []string{
		`slapos_proxy_instances{condition="waiting"} 2`, `slapos_proxy_instances{condition="failed"} 0`, `slapos_proxy_releases{condition="failed"} 1`,
		`slapos_proxy_nodes{condition="up"} 1`, `slapos_proxy_attention 3`, `slapos_proxy_node_heard_seconds{computer="local_computer"} `, `slapos_proxy_events_total{event="reported"} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// call is a request to the original: GET without a form.
type call struct {
	Path string            `json:"path"`
	Form map[string]string `json:"form"`
}

const originalScript = `
import json, logging, sys, types
# Only the cache needs it.
sys.modules['slapos.libnetworkcache'] = types.SimpleNamespace(NetworkcacheClient=None)
from slapos.proxy import ProxyConfig, setupFlaskConfiguration
from slapos.proxy.views import app
configuration = ProxyConfig(logging.getLogger())
configuration.computer_id = 'local_computer'
configuration.database_uri = sys.argv[1]
setupFlaskConfiguration(configuration)
client = app.test_client()
answers = []
for call in json.load(sys.stdin):
    try:
        if call['form'] is None:
            answer = client.get(call['path'])
        else:
            answer = client.post(call['path'], data=call['form'])
    except Exception as failure: # where a server answers 500
        answers.append('500 %s' % failure)
        continue
    answers.append('%d %s' % (answer.status_code, answer.get_data(as_text=True)))
json.dump(answers, sys.stdout)
`

// original has the original answer on a database.
func original(t *testing.T, uri string, calls ...call) []string {
	t.Helper()
	input, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), testkit.Python(t), "-c", originalScript, uri)
	command.Stdin = strings.NewReader(string(input))
	var complaints strings.Builder
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	var answers []string
	if err := json.Unmarshal(output, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

const nodePath = "/getFullComputerInformation?computer_id=local_computer"

func requestForm(t *testing.T, title string) map[string]string {
	return map[string]string{"software_release": release, "software_type": "default", "partition_reference": title,
		"state": marshal(t, nil), "shared_xml": marshal(t, false), "filter_xml": marshal(t, slap.Dict{}),
		"partition_parameter_xml": marshal(t, slap.Dict{"a": "é", "b": []any{int64(1), nil}})}
}

// TestOriginalOpensOurs hands a database that we made to the original, and
// back: tables and columns are its own (PROXY-20, PROXY-21).
// D-9: both programs open the file.
func TestOriginalOpensOurs(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(4)
	l.request("ours", "partition_parameter_xml", marshal(t, slap.Dict{"a": "é", "n": 1.5}))
	l.request("shared", "shared_xml", marshal(t, true), "partition_parameter_xml", marshal(t, slap.Dict{"k": int64(1)}))
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	// Tables that the original doesn't know.
	l.post("/useComputer", "computer_id", "local_computer", "use_string", "<journal/>")
	for _, report := range []store.Report{
		{Computer: "local_computer", Kind: store.KindRelease, Subject: release, State: store.ReportError, Log: "broken"},
		{Computer: "local_computer", Kind: store.KindInstance, Subject: "slappart0", State: store.ReportStarted},
	} {
		if err := l.Report(t.Context(), report); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Promises(t.Context(), store.PromiseReport{PartitionID: slap.PartitionID{Computer: "local_computer", Partition: "slappart0"}, Failing: []store.FailingPromise{{Name: "up"}}}); err != nil {
		t.Fatal(err)
	}
	before := l.get(nodePath).String()

	// Once while we have it open, too.
	answers := original(t, l.uri, call{nodePath, nil}, call{"/requestComputerPartition", requestForm(t, "theirs")}, call{nodePath, nil})
	if answers[0] != before {
		t.Errorf("the original says\n%s\nwe said\n%s", answers[0], before)
	}
	if !strings.HasPrefix(answers[1], "200 ") {
		t.Errorf("the original can't write: %s", answers[1])
	}
	if after := l.get(nodePath).String(); after != answers[2] {
		t.Errorf("we say\n%s\nthe original said\n%s", after, answers[2])
	}
	l.server.Close()
	l.Store.Close()
	if again := original(t, l.uri, call{nodePath, nil}); again[0] != answers[2] {
		t.Errorf("after our end the original says\n%s\nbefore\n%s", again[0], answers[2])
	}
}

// TestWeOpenOriginals takes over a database that the original made.
func TestWeOpenOriginals(t *testing.T) {
	uri := filepath.Join(t.TempDir(), "proxy.db")
	description := marshal(t, slap.Dict{"reference": "local_computer", "address": "10.0.0.254", "netmask": "255.0.0.0", "partition_list": []any{
		slap.Dict{"reference": "p0", "tap": slap.Dict{"name": "tap0"}, "address_list": []any{slap.Dict{"addr": "10.0.0.1", "netmask": "n"}}},
		slap.Dict{"reference": "p1", "tap": slap.Dict{"name": ""}, "address_list": []any{slap.Dict{"addr": "10.0.0.2", "netmask": "n"}}},
	}})
	child := requestForm(t, "child")
	child["computer_id"], child["computer_partition_id"] = "local_computer", "p0"
	answers := original(t, uri,
		call{"/loadComputerConfigurationFromXML", map[string]string{"xml": description}},
		call{"/requestComputerPartition", requestForm(t, "root")},
		call{"/requestComputerPartition", child},
		call{"/setComputerPartitionConnectionXml", map[string]string{"computer_id": "local_computer", "computer_partition_id": "p1",
			"connection_xml": marshal(t, slap.Dict{"url": "http://é"})}},
		call{nodePath, nil})
	l := newLabOn(t, uri, proxy.Options{}, time.Now)
	if got := l.get(nodePath).String(); got != answers[4] {
		t.Errorf("we say\n%s\nthe original said\n%s", got, answers[4])
	}
	// Asked once more, nothing changes: we wrote what the original would.
	form := []string{}
	for name, value := range requestForm(t, "root") {
		form = append(form, name, value)
	}
	if got := l.post("/requestComputerPartition", form...).String(); timestamps.ReplaceAllString(got, "T") != timestamps.ReplaceAllString(answers[1], "T") {
		t.Errorf("we say\n%s\nthe original said\n%s", got, answers[1])
	}
	if got := l.get(nodePath).String(); got != answers[4] {
		t.Errorf("a request that changes nothing changed the node:\n%s\n%s", got, answers[4])
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// document reads a document captured from the original.
func document(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}

const (
	exampleURL = "http://example.com/sr.cfg"
	forwarded  = "http://example.com/forwarded/software.cfg"
)

// captured are documents from the original and the entities in them.
var captured = map[string]any{
	"computer.xml": &Computer{ // SLAP-30, SLAP-35
		Reference: "c4",
		Partitions: []*Partition{{
			Computer: "c4", Reference: "q0", InstanceGUID: "c4-q0", RequestedState: StateDestroyed,
		}},
		SoftwareReleases: []*SoftwareRelease{},
	},
	"partition.xml": &Partition{ // SLAP-32, SLAP-33, SLAP-36
		Computer: "local_computer", Reference: "slappart1", InstanceGUID: "local_computer-slappart1",
		RequestedState: StateStarted, NeedModification: true,
		SoftwareRelease:      &SoftwareRelease{URL: exampleURL, Computer: "local_computer"},
		ConnectionParameters: Dict{},
		Parameters: Dict{
			"full_address_list":          []any{},
			"instance_title":             "child1",
			"ip_list":                    []any{Tuple{"tap1", "10.0.0.2"}, Tuple{"tap1", "fd00::2"}},
			"root_instance_title":        "inst1",
			"slap_computer_id":           "local_computer",
			"slap_computer_partition_id": "slappart1",
			"slap_software_release_url":  exampleURL,
			"slap_software_type":         "default",
			"slave_instance_list":        []any{},
			"timestamp":                  "1795225139.1787672",
		},
	},
	"host.xml": &Partition{ // a partition that hosts a shared instance
		Computer: "local_computer", Reference: "slappart0", InstanceGUID: "local_computer-slappart0",
		RequestedState: StateStarted, NeedModification: true,
		SoftwareRelease:      &SoftwareRelease{URL: exampleURL, Computer: "local_computer"},
		ConnectionParameters: Dict{},
		Parameters: Dict{
			"a":                          "b",
			"full_address_list":          []any{},
			"instance_title":             "inst1",
			"ip_list":                    []any{Tuple{"tap0", "10.0.0.1"}},
			"root_instance_title":        "inst1",
			"slap_computer_id":           "local_computer",
			"slap_computer_partition_id": "slappart0",
			"slap_software_release_url":  exampleURL,
			"slap_software_type":         "default",
			"slave_instance_list": []any{Dict{
				"k": "v", "slap_software_type": "default",
				"slave_reference": "inst1_sl1", "slave_title": "inst1_sl1",
			}},
			"timestamp": "1795226462.685679",
		},
	},
	"instance.xml": &Instance{ // SLAP-34, SLAP-38
		Computer: "local_computer", Partition: "slappart0",
		GUID: "local_computer-slappart0", RequestedState: StateStarted,
		ConnectionParameters: Dict{}, HasConnectionXML: true,
		Parameters: Dict{
			"a": "é", "b": "True", "l": "[1, 'z']", "n": "1", "timestamp": "1795225139.1531355", "x": "None",
		},
		IPList:             []Address{{"tap0", "10.0.0.1"}, {"tap0", "fd00::1"}},
		SoftwareReleaseURL: exampleURL, SoftwareType: "default", ServerURL: "slap_server_url",
	},
	"shared.xml": &Instance{ // the answer to a request for a shared instance
		Computer: "local_computer", Partition: "slappart0",
		ConnectionParameters: Dict{}, Parameters: Dict{"k": "v"},
		IPList:             []Address{{"tap0", "10.0.0.1"}},
		SoftwareReleaseURL: exampleURL, SoftwareType: "default", ServerURL: "slap_server_url",
	},
	"forwarded.xml": &Partition{ // PROXY-75
		Computer: "extcomp", Reference: "slappart0", InstanceGUID: "extcomp-slappart0",
		RequestedState: StateStarted, Partial: true, ConnectionParameters: Dict{},
		Parameters: Dict{"a": "1", "timestamp": "1795225274.7862897"},
		Extra: Dict{
			"_connection_helper": nil, "_hateoas_navigator": nil,
			"_master_url":                "http://127.0.0.1:15002/",
			"_software_release_document": forwarded,
			"connection_xml":             nil,
			"ip_list":                    []any{Tuple{"tap0", "10.0.0.1"}, Tuple{"tap0", "fd00::1"}},
			"slap_computer_id":           "extcomp", "slap_computer_partition_id": "slappart0",
			"slap_server_url": "slap_server_url", "slap_software_release_url": forwarded,
			"slap_software_type": "default",
		},
	},
	"frontend.xml": &Partition{ // PROXY-80
		Reference: "Fake frontend for http://127.0.0.1:8080/p?x=1#f", Partial: true,
		ConnectionParameters: Dict{
			"domain":        "h.example",
			"secure_access": "https://h.example/http_proxy/http/127.0.0.1:8080/p?x=1#f",
		},
		Parameters: Dict{},
		Extra:      Dict{"slap_computer_id": "", "slap_computer_partition_id": ""},
	},
}

func TestCapturedEntities(t *testing.T) {
	for name, want := range captured {
		t.Run(name, func(t *testing.T) {
			xml := document(t, name)
			got, err := Unmarshal([]byte(xml))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("Unmarshal: %v\n got %#v\nwant %#v", err, got, want)
			}
			again, err := Marshal(want)
			if err != nil || string(again) != xml {
				t.Fatalf("Marshal: %v\n got %s\nwant %s", err, again, xml)
			}
		})
	}
}

func TestEntityEncoding(t *testing.T) {
	const object = `<marshal><object id="i2" module="slapos.slap.slap" class="`
	for _, test := range []struct {
		name   string
		entity any
		xml    string
	}{
		{"computer", &Computer{Reference: "COMP-1"},
			`Computer"><tuple><string>COMP-1</string></tuple><dictionary id="i3"><string>_computer_id</string>` +
				`<string>COMP-1</string></dictionary>`},
		{"release", &SoftwareRelease{URL: "http://x/sr.cfg", Computer: "COMP-1"},
			`SoftwareRelease"><tuple><string>http://x/sr.cfg</string><string>COMP-1</string></tuple>` +
				`<dictionary id="i3"><string>_computer_guid</string><string>COMP-1</string>` +
				`<string>_software_instance_list</string><list id="i4"/><string>_software_release</string>` +
				`<string>http://x/sr.cfg</string></dictionary>`},
		{"release of a computer", // SLAP-31, SLAP-37
			&SoftwareRelease{URL: exampleURL, Computer: "local_computer", RequestedState: StateAvailable},
			`SoftwareRelease"><tuple><string>http://example.com/sr.cfg</string><string>local_computer</string></tuple>` +
				`<dictionary id="i3"><string>_computer_guid</string><string>local_computer</string>` +
				`<string>_requested_state</string><string>available</string><string>_software_instance_list</string>` +
				`<list id="i4"/><string>_software_release</string><string>http://example.com/sr.cfg</string></dictionary>`},
		{"partition", &Partition{Computer: "COMP-1", Reference: "part0", Partial: true},
			`ComputerPartition"><tuple><string>COMP-1</string><string>part0</string><none/></tuple>` +
				`<dictionary id="i3"><string>_computer_id</string><string>COMP-1</string><string>_partition_id</string>` +
				`<string>part0</string><string>_request_dict</string><none/></dictionary>`},
		{"instance", &Instance{Extra: Dict{"a": 1, "b": "x"}},
			`SoftwareInstance"><tuple/><dictionary id="i3"><string>a</string><int>1</int><string>b</string>` +
				`<string>x</string></dictionary>`},
		{"published instance", &Instance{HasConnectionXML: true, ConnectionXML: "<a>\n"},
			`SoftwareInstance"><tuple/><dictionary id="i3"><string>connection_xml</string>` +
				"<string>&amp;lt;a&amp;gt;\n</string></dictionary>"},
		{"extra on both ends", &Computer{Reference: "c", Extra: Dict{"A": nil, "z": true, "_computer_partition_list": "odd"}},
			`Computer"><tuple><string>c</string></tuple><dictionary id="i3"><string>A</string><none/>` +
				`<string>_computer_id</string><string>c</string><string>_computer_partition_list</string>` +
				`<string>odd</string><string>z</string><bool>1</bool></dictionary>`},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := object + test.xml + "</object></marshal>"
			got, err := Marshal(test.entity)
			if err != nil || string(got) != want {
				t.Fatalf("Marshal: %v\n got %s\nwant %s", err, got, want)
			}
			back, err := Unmarshal(got)
			if err != nil || !reflect.DeepEqual(back, test.entity) {
				t.Fatalf("Unmarshal: %v\n got %#v\nwant %#v", err, back, test.entity)
			}
		})
	}
}

// TestUnexpectedAttributes decodes values that don't fit the fields: nothing
// may be lost (SLAP-22).
func TestUnexpectedAttributes(t *testing.T) {
	for _, xml := range []string{
		`ComputerPartition"><tuple><none/><none/><dictionary id="i3"/></tuple><dictionary id="i4">` +
			`<string>_computer_id</string><none/><string>_partition_id</string><none/>` +
			`<string>_request_dict</string><reference id="i3"/></dictionary>`,
		`ComputerPartition"><tuple><string>c</string><string>p</string><none/></tuple><dictionary id="i3">` +
			`<string>_access_status</string><none/><string>_computer_id</string><string>c</string>` +
			`<string>_connection_dict</string><none/><string>_instance_guid</string><none/>` +
			`<string>_need_modification</string><int>7</int><string>_parameter_dict</string><list id="i4"/>` +
			`<string>_partition_id</string><string>p</string><string>_request_dict</string><none/>` +
			`<string>_requested_state</string><int>1</int><string>_software_release_document</string><none/></dictionary>`,
		`SoftwareRelease"><tuple><none/><none/></tuple><dictionary id="i3"><string>_computer_guid</string><none/>` +
			`<string>_software_instance_list</string><list id="i4"><int>1</int></list>` +
			`<string>_software_release</string><none/></dictionary>`,
		`SoftwareInstance"><tuple/><dictionary id="i3"><string>_requested_state</string><none/>` +
			`<string>connection_xml</string><string></string><string>ip_list</string><list id="i4">` +
			`<list id="i5"><string>a</string><string>b</string></list></list>` +
			`<string>slap_computer_id</string><string></string></dictionary>`,
		`Computer"><tuple><string>c</string></tuple><dictionary id="i3"><string>_computer_id</string><string>c</string>` +
			`<string>_computer_partition_list</string><list id="i4"><none/></list></dictionary>`,
	} {
		xml = `<marshal><object id="i2" module="slapos.slap.slap" class="` + xml + "</object></marshal>"
		v, err := Unmarshal([]byte(xml))
		if err != nil {
			t.Errorf("%v\n%s", err, xml)
			continue
		}
		again, err := Marshal(v)
		if err != nil || string(again) != xml {
			t.Errorf("%v\n got %s\nwant %s", err, again, xml)
		}
	}
}

func TestPartitionAccessors(t *testing.T) {
	p := captured["host.xml"].(*Partition)
	if got := p.ID(); got != (PartitionID{"local_computer", "slappart0"}) {
		t.Errorf("ID %v", got)
	}
	if p.SoftwareType() != "default" || p.Title() != "inst1" || p.RootTitle() != "inst1" {
		t.Errorf("names %q %q %q", p.SoftwareType(), p.Title(), p.RootTitle())
	}
	if stamp, ok := p.Timestamp(); stamp != "1795226462.685679" || !ok {
		t.Errorf("timestamp %q %v", stamp, ok)
	}
	if got := p.Addresses(); !reflect.DeepEqual(got, []Address{{"tap0", "10.0.0.1"}}) {
		t.Errorf("addresses %v", got)
	}
	if got := p.SharedInstances(); len(got) != 1 || got[0]["slave_title"] != "inst1_sl1" {
		t.Errorf("shared instances %v", got)
	}
	free := &Partition{}
	if _, ok := free.Timestamp(); ok || free.Addresses() != nil || free.SoftwareType() != "" {
		t.Error("a free partition has no parameters")
	}
	number := &Partition{Parameters: Dict{
		"timestamp":    1.5e9,
		"full_ip_list": []any{[]any{"route_x", "fd00::1", "more"}, Tuple{"short"}, Tuple{"x", 1}, nil},
	}}
	if stamp, ok := number.Timestamp(); stamp != "1500000000.0" || !ok {
		t.Errorf("timestamp %q %v", stamp, ok)
	}
	if got := number.FullAddresses(); !reflect.DeepEqual(got, []Address{{"route_x", "fd00::1"}}) {
		t.Errorf("full addresses %v", got)
	}
	// SLAP-31, SLAP-45
	if (&SoftwareRelease{}).State() != StateAvailable || (&SoftwareRelease{RequestedState: "destroyed"}).State() != StateDestroyed {
		t.Error("state of a release")
	}
}

func TestConnectionParameters(t *testing.T) {
	const xml = `<i><parameter id="url">u</parameter></i>`
	for name, connection := range map[string]interface {
		ConnectionParameter(string) (any, error)
	}{
		"instance":              &Instance{ConnectionParameters: Dict{"url": "u"}},
		"instance, only XML":    &Instance{ConnectionXML: xml},
		"partition":             &Partition{ConnectionParameters: Dict{"url": "u"}},
		"partition of old ones": &Partition{Extra: Dict{"connection_xml": xml}},
	} {
		if v, err := connection.ConnectionParameter("url"); v != "u" || err != nil {
			t.Errorf("%s: %v, %v", name, v, err)
		}
		if _, err := connection.ConnectionParameter("x"); !errors.Is(err, ErrNotFound) || err.Error() != "x not found" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&Instance{ConnectionXML: "<"}).ConnectionParameter("x"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("malformed: %v", err)
	}
	p := &Partition{Parameters: Dict{"a": nil}}
	if v, err := p.Parameter("a"); v != nil || err != nil {
		t.Errorf("nil parameter: %v, %v", v, err)
	}
	if _, err := p.Parameter("b"); !errors.Is(err, ErrNotFound) || err.Error() != "b not found" {
		t.Errorf("missing parameter: %v", err)
	}
	if d, err := (&Partition{}).Connection(); d == nil || err != nil {
		t.Errorf("free partition: %v, %v", d, err)
	}
}

// TestPassOn turns an answer into the partition that a proxy forwards, and back
// (PROXY-75).
func TestPassOn(t *testing.T) {
	want := captured["forwarded.xml"].(*Partition)
	answer := &Instance{
		Computer: "extcomp", Partition: "slappart0", GUID: "extcomp-slappart0", RequestedState: StateStarted,
		Parameters: want.Parameters, ConnectionParameters: Dict{}, HasConnectionXML: true,
		IPList:             []Address{{"tap0", "10.0.0.1"}, {"tap0", "fd00::1"}},
		SoftwareReleaseURL: forwarded, SoftwareType: "default", ServerURL: "slap_server_url",
	}
	p := answer.AsPartition()
	for _, key := range []string{"_connection_helper", "_hateoas_navigator", "_master_url", "_software_release_document"} {
		p.Extra[key] = want.Extra[key]
	}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("AsPartition\n got %#v\nwant %#v", p, want)
	}
	back := p.AsInstance()
	back.Extra = nil // what the proxy added
	if !reflect.DeepEqual(back, answer) {
		t.Errorf("AsInstance\n got %#v\nwant %#v", back, answer)
	}
}

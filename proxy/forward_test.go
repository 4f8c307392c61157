// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/serve"
)

// elsewhere is another master that notes what it is asked.
func elsewhere(t *testing.T, status int, reply string) (*httptest.Server, *[]string) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/requestComputerPartition" {
			text, _ := url.QueryUnescape(string(body))
			asked = append(asked, strings.TrimSpace(r.Header.Get("Authorization")+" "+text))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, reply)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

// TestForward puts a second master behind the first (PROXY-70 to 75).
func TestForward(t *testing.T) {
	behind := newLab(t, proxy.Options{})
	behind.load(3)
	front := newLab(t, proxy.Options{Masters: []proxy.Master{
		{URL: "https://nokey/", Releases: []string{"http://nokey"}},
		{URL: behind.server.URL + "/", Releases: []string{release}},
	}})
	front.load(1)
	got := front.request("fi", "partition_parameter_xml", marshal(t, slap.Dict{"a": "1"}))
	got.body = timestamps.ReplaceAllString(got.body, "${1}T")
	front.expect(got, 200, `<marshal><object id="i2" module="slapos.slap.slap" class="ComputerPartition"><tuple><string>local_computer</string><string>slappart0</string><none/></tuple>`+
		`<dictionary id="i3"><string>_computer_id</string><string>local_computer</string><string>_connection_dict</string><dictionary id="i4"/><string>_connection_helper</string><none/>`+
		`<string>_hateoas_navigator</string><none/><string>_instance_guid</string><string>local_computer-slappart0</string><string>_master_url</string><string>`+behind.server.URL+`/</string>`+
		`<string>_parameter_dict</string><dictionary id="i5"><string>a</string><string>1</string><string>timestamp</string><string>T</string></dictionary><string>_partition_id</string>`+
		`<string>slappart0</string><string>_request_dict</string><none/><string>_requested_state</string><string>started</string><string>_software_release_document</string><string>`+release+`</string>`+
		`<string>connection_xml</string><none/><string>ip_list</string><list id="i6"><tuple><string>tap0</string><string>10.0.0.1</string></tuple></list><string>slap_computer_id</string>`+
		`<string>local_computer</string><string>slap_computer_partition_id</string><string>slappart0</string><string>slap_server_url</string><string>slap_server_url</string>`+
		`<string>slap_software_release_url</string><string>`+release+`</string><string>slap_software_type</string><string>default</string></dictionary></object></marshal>`)
	p, err := behind.Instance(t.Context(), store.At{Computer: "local_computer", Partition: "slappart0"})
	if err != nil || p.Title != "user_fi" {
		t.Errorf("behind: %v, %v", p, err)
	}
	got = front.rpc("slapos.post.v0.software_instance", `{"title": "jt", "software_release_uri": "`+release+`", "software_type": "d", "parameters": {"a": "b"}}`)
	front.expect(got, 200, `{"title": "jt", "instance_guid": "jt______0", "software_release_uri": "`+release+`", "software_type": "d", "state": "started", `+
		`"connection_parameters": {}, "parameters": {"a": "b"}, "shared": false, "root_instance_title": "jt", "ip_list": [], "full_ip_list": [], "sla_parameters": {}, `+
		`"computer_guid": "local_computer", "compute_partition_id": "slappart1", "processing_timestamp": 0, "access_status_message": ""}`)

	filter := func(master string) []string {
		return []string{"filter_xml", marshal(t, slap.Dict{"master_url": master})}
	}
	other := func(title, release string, more ...string) answer {
		return front.post("/requestComputerPartition", append([]string{"software_release", release, "software_type", "t",
			"partition_reference", title, "state", marshal(t, nil)}, more...)...)
	}
	front.expect(other("x", "http://nokey"), 404, "External master https://nokey/ configuration did not specify key or certificate.")
	front.expect(other("x", "y", filter("http://127.0.0.1:1/")...), 404, "External SlapOS Master URL http://127.0.0.1:1/ is not listed in multimaster list.")
	// Our own address is not another master, however that is found out.
	if got := other("own", "y", filter(front.server.URL+"/")...); got.status != 200 {
		t.Errorf("ourselves: %s", got)
	}
	// What is allocated here stays here (PROXY-61).
	if got := front.request("own"); !strings.Contains(got.body, "SoftwareInstance") {
		t.Errorf("allocated: %s", got)
	}
}

// TestForwardedForm is what the other master sees (PROXY-73).
func TestForwardedForm(t *testing.T) {
	server, asked := elsewhere(t, 408, "")
	l := newLab(t, proxy.Options{Masters: []proxy.Master{
		{URL: server.URL, Releases: []string{"http://g"}, Computer: "X", Partition: "Y"},
		{URL: server.URL + "/", Releases: []string{"http://f"}},
	}})
	for _, release := range []string{"http://f", "http://g"} {
		l.expect(l.post("/requestComputerPartition", "software_release", release, "software_type", "t", "partition_reference", "n",
			"state", marshal(t, nil)), 408, "Resource not ready")
	}
	want := []string{
		`software_release=http://f&partition_reference=user_n&partition_parameter_xml=<marshal><dictionary id="i2"/></marshal>` +
			`&filter_xml=<marshal><dictionary id="i2"><string>source_instance_id</string><string>user_n</string></dictionary></marshal>` +
			`&software_type=t&state=<marshal><none/></marshal>&shared_xml=<marshal><bool>0</bool></marshal>`,
		`X-SlapPartition computer_id=X, computer_partition_id=Y computer_id=X&computer_partition_id=Y&software_release=http://g&software_type=t` +
			`&partition_reference=user_n&shared_xml=<marshal><bool>0</bool></marshal>&partition_parameter_xml=<marshal><dictionary id="i2"/></marshal>` +
			`&filter_xml=<marshal><dictionary id="i2"/></marshal>&state=<marshal><none/></marshal>`,
	}
	if strings.Join(*asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(*asked, "\n"), strings.Join(want, "\n"))
	}
	if got := l.rpc("slapos.post.v0.software_instance", `{"title": "n", "software_release_uri": "http://f", "software_type": "t"}`); got.status != 500 {
		t.Errorf("not ready by JSON-RPC: %s", got)
	}
}

func TestForwardFailures(t *testing.T) {
	server, _ := elsewhere(t, 404, "")
	l := newLab(t, proxy.Options{Masters: []proxy.Master{
		{URL: "http://127.0.0.1:1/", Releases: []string{"http://down"}},
		{URL: server.URL + "/", Releases: []string{"http://refuses"}},
	}})
	for release, status := range map[string]int{"http://down": 523, "http://refuses": 500} {
		got := l.post("/requestComputerPartition", "software_release", release, "software_type", "t", "partition_reference", "n", "state", marshal(t, nil))
		if got.status != status {
			t.Errorf("%s: %s", release, got)
		}
		if got := l.rpc("slapos.post.v0.software_instance", `{"title": "n", "software_release_uri": "`+release+`", "software_type": "t"}`); got.status != status {
			t.Errorf("%s by JSON-RPC: %s", release, got)
		}
	}
}

// TestFrontends goes through PROXY-80 to 82.
func TestFrontends(t *testing.T) {
	l := newLab(t, proxy.Options{Guard: serve.Guard{Names: []string{"h.example"}}})
	const apache = "http://git.erp5.org/gitweb/slapos.git/blob_plain/HEAD:/software/apache-frontend/software.cfg"
	const kvm = "http://git.erp5.org/gitweb/slapos.git/blob_plain/refs/tags/slapos-0.92:/software/kvm/software.cfg"
	ask := func(release, kind string, parameters slap.Dict) answer {
		return l.post("/requestComputerPartition", "software_release", release, "software_type", kind, "partition_reference", "f",
			"state", marshal(t, nil), "shared_xml", marshal(t, true), "partition_parameter_xml", marshal(t, parameters))
	}
	fake := func(name string, connection slap.Dict) string {
		return marshal(t, &slap.Partition{Reference: name, Partial: true, Parameters: slap.Dict{}, ConnectionParameters: connection,
			Extra: slap.Dict{"slap_computer_id": "", "slap_computer_partition_id": ""}})
	}
	const target = "http://127.0.0.1:8080/p%20q?x=1#f"
	for _, kind := range []string{"", "default", "RootSoftwareInstance"} {
		l.expect(ask(apache, kind, slap.Dict{"url": target}), 200,
			fake("Fake frontend for "+target, slap.Dict{"secure_access": target, "domain": "127.0.0.1:8080"}))
	}
	if got := ask(apache, "other", slap.Dict{"url": target}); got.status != 404 {
		t.Errorf("another type: %s", got)
	}
	if got := ask(apache, "", slap.Dict{}); got.status != 404 {
		t.Errorf("no url: %s", got)
	}
	l.expect(ask(kvm, "frontend", slap.Dict{"host": "fd00::1", "port": int64(443)}), 200, fake("Fake KVM VNC frontend for https://[fd00::1]:443/",
		slap.Dict{"url": "https://[fd00::1]:443/", "domainname": "[fd00::1]", "port": int64(443), "path": "/"}))
	if got := ask(kvm, "frontend", slap.Dict{"host": "h"}); got.status != 404 {
		t.Errorf("no port: %s", got)
	}
	l.header = http.Header{"Host": {"h.example"}, "X-Forwarded-Proto": {"https"}}
	l.expect(ask(apache, "", slap.Dict{"url": target}), 200, fake("Fake frontend for "+target,
		slap.Dict{"secure_access": "https://h.example/http_proxy/http/127.0.0.1:8080/p%2520q?x=1#f", "domain": "h.example"}))
	l.expect(ask(apache, "", slap.Dict{"url": "http://h/é b"}), 200, fake("Fake frontend for http://h/é b",
		slap.Dict{"secure_access": "https://h.example/http_proxy/http/h/%C3%A9%20b", "domain": "h.example"}))
}

// A request that was passed on is noted once, until the instance is destroyed
// (PROXY-74).
func TestForwardedRows(t *testing.T) {
	behind := newLab(t, proxy.Options{})
	behind.load(2)
	front := newLab(t, proxy.Options{Masters: []proxy.Master{{URL: behind.server.URL + "/", Releases: []string{release}}}})
	for i, c := range []struct{ title, state, want string }{
		{"a", "started", "user_a"}, {"a", "started", "user_a"}, {"a", "stopped", "user_a"}, {"b", "started", "user_a user_b"},
		{"a", "destroyed", "user_b"}, {"a", "destroyed", "user_b"},
	} {
		if got := front.request(c.title, "state", marshal(t, c.state)); got.status != 200 {
			t.Fatalf("%d: %s", i, got)
		}
		reader, err := store.OpenReader(t.Context(), front.uri)
		if err != nil {
			t.Fatal(err)
		}
		table, err := reader.Table(t.Context(), "forwarded_partition_request18", "")
		reader.Close()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, row := range table.Rows {
			names = append(names, table.Text(row, "partition_reference"))
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%d: rows of %q, want %q", i, got, c.want)
		}
	}
}

// Instances of one name under several others are several.
func TestSameNameInTwoTrees(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(4)
	l.request("one")
	l.request("two")
	child := func(requester string) string {
		l.header.Set("Authorization", "X-SlapPartition computer_id=local_computer, computer_partition_id="+requester)
		got := l.request("child")
		value, err := slap.Unmarshal([]byte(got.body))
		if err != nil {
			t.Fatal(got)
		}
		return value.(*slap.Instance).Partition
	}
	for range 2 {
		if one, two := child("slappart0"), child("slappart1"); one != "slappart2" || two != "slappart3" {
			t.Errorf("child of one in %s, of two in %s", one, two)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// TestRunID is the same as long as the server lives, and another one's is
// another (PROXY-4, PROXY-30).
func TestRunID(t *testing.T) {
	l := newLab(t, proxy.Options{})
	got := l.get("/getRunId")
	if got.status != 200 || !regexp.MustCompile(`^[A-Za-z0-9]{32}$`).MatchString(got.body) {
		t.Errorf("run id %s", got)
	}
	if kind, length := got.header.Get("Content-Type"), got.header.Get("Content-Length"); kind != "text/html; charset=utf-8" || length != "32" {
		t.Errorf("type %q, length %q", kind, length)
	}
	if again := l.get("/getRunId").body; again != got.body {
		t.Errorf("then %s", again)
	}
	if other := newLab(t, proxy.Options{}).get("/getRunId").body; other == got.body {
		t.Error("two servers have the same")
	}
}

// TestKinds has each face answer in its own form (PROXY-10).
func TestKinds(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	l.request("é")
	const text, data = "text/html; charset=utf-8", "application/json"
	for _, c := range []struct {
		got        answer
		kind, body string // the body's end
	}{
		{l.post("/supplySupply", "url", "u", "computer_id", "c", "state", "available"), text, "Supplied 'u' to be available"},
		{l.get("/getComputerPartitionStatus"), text, "<marshal><string>Not implemented.</string></marshal>"},
		{l.get("/hateoas/?mode=search&select_list=title&query=" + url.QueryEscape(`portal_type:"Instance Tree" AND validation_state:validated`)), data, `"xml":"<?xml version='1.0' encoding='utf-8'?>\n<instance/>\n"}]}}` + "\n"},
		{l.rpc("slapos.get.v0.software_instance", `{"instance_guid": "\u00e9______1"}`), data,
			`{"status": 403, "type": "Forbidden", "title": "No shared instance \u00e9______1 found."}`},
	} {
		if kind := c.got.header.Get("Content-Type"); kind != c.kind || !strings.HasSuffix(c.got.body, c.body) {
			t.Errorf("%q: %s", kind, c.got)
		}
	}
	// Compact with sorted keys, or with blanks and in the order of the rules.
	rest := l.get("/hateoas/").body
	var value any
	if err := json.Unmarshal([]byte(rest), &value); err != nil {
		t.Fatal(err)
	}
	if sorted, err := json.Marshal(value); err != nil || strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(sorted))+"\n" != rest {
		t.Errorf("%v: %s\n%s", err, sorted, rest)
	}
	instance := l.rpc("slapos.get.v0.software_instance", `{"instance_guid": "é______0"}`).body
	if !strings.HasPrefix(instance, `{"title": "\u00e9", "instance_guid": "\u00e9______0", "software_release_uri": `) || strings.HasSuffix(instance, "\n") {
		t.Errorf("instance %q", instance)
	}
}

// TestErrorPage is the original's, to the byte (PROXY-12).
func TestErrorPage(t *testing.T) {
	title := "it's <a> & \"b\"\nline"
	want := original(t, filepath.Join(t.TempDir(), "proxy.db"), call{"/requestComputerPartition", requestForm(t, title)},
		call{"/supplySupply", map[string]string{}}, call{"/nope", nil}, call{"/supplySupply", nil})
	l := newLab(t, proxy.Options{})
	l.load(0)
	form := []string{}
	for name, value := range requestForm(t, title) {
		form = append(form, name, value)
	}
	got := []string{l.post("/requestComputerPartition", form...).String(), l.post("/supplySupply").String(), l.get("/nope").String(), l.get("/supplySupply").String()}
	if !slices.Equal(got, want) {
		t.Errorf("we say\n%q\nthe original said\n%q", got, want)
	}
	if !strings.Contains(got[0], "<p>No free computer partition found for: it&#39;s &lt;a&gt; &amp; &#34;b&#34;<br>line</p>") {
		t.Errorf("escaped: %s", got[0])
	}
}

// TestAbsentCalls are those of the library that this master has none of, by
// any method (PROXY-31). Where HATEOAS is, nodes must be told (PROXY-135).
func TestAbsentCalls(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	for _, name := range []string{"getHateoasUrl", "getHostingSubscriptionIpList", "requestComputer", "getComputerStatus", "revokeComputerCertificate", "generateComputerCertificate"} {
		for _, got := range []answer{l.get("/" + name + "?computer_id=local_computer"), l.post("/"+name, "computer_id", "local_computer")} {
			if got.status != 404 || got.page() == "" {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
	if got := l.get("/hateoas/"); got.status != 200 || !strings.Contains(got.body, l.server.URL+"/hateoas/") {
		t.Errorf("hateoas: %s", got)
	}
}

// TestIgnored takes reports without a look, and keeps nothing (PROXY-38).
func TestIgnored(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	l.request("i")
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	before := l.get(nodePath).String()
	for _, name := range []string{"buildingSoftwareRelease", "availableSoftwareRelease", "softwareReleaseError", "softwareInstanceError",
		"startedComputerPartition", "stoppedComputerPartition", "useComputer"} {
		l.expect(l.post("/"+name), 200, "Ignored")
		l.expect(l.post("/"+name, "computer_id", "nope", "computer_partition_id", "nope", "url", "nope", "error_log", "log"), 200, "Ignored")
		l.expect(l.post("/"+name, "computer_id", "local_computer", "computer_partition_id", "slappart0", "url", release, "error_log", "log"), 200, "Ignored")
	}
	if after := l.get(nodePath).String(); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// TestProducts has one release of a product, or none (PROXY-40).
func TestProducts(t *testing.T) {
	l := newLab(t, proxy.Options{Products: map[string]string{"kvm": "http://example.com/kvm/software.cfg"}})
	const path = "/getSoftwareReleaseListFromSoftwareProduct"
	l.expect(l.get(path+"?software_product_reference=kvm"), 200, `<marshal><list id="i2"><string>http://example.com/kvm/software.cfg</string></list></marshal>`)
	l.expect(l.get(path+"?software_product_reference=zz"), 200, `<marshal><list id="i2"/></marshal>`)
	for _, query := range []string{"", "?software_release_url=http://example.com/kvm/software.cfg"} {
		if got := l.get(path + query); got.status != 500 {
			t.Errorf("%s: %s", query, got)
		}
	}
}

// TestRenameCall renames an instance, and what its children call their root;
// nothing else, and no one else (PROXY-43).
func TestRenameCall(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	l.request("root")
	l.request("child", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.request("shared", "shared_xml", marshal(t, true), "computer_id", "local_computer", "computer_partition_id", "slappart0")
	rename := func(partition, name string) answer {
		return l.post("/softwareInstanceRename", "computer_id", "local_computer", "computer_partition_id", partition, "new_name", name)
	}
	before := l.get(nodePath).body
	l.expect(rename("nope", "x"), 200, "Unknown partition 'nope' on 'local_computer'")
	if after := l.get(nodePath).body; after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	l.expect(rename("slappart0", "new"), 200, "done")
	after := l.get(nodePath).body
	want := strings.NewReplacer("instance_title</string><string>root<", "instance_title</string><string>new<",
		"root_instance_title</string><string>root<", "root_instance_title</string><string>new<").Replace(before)
	if after != want || strings.Count(after, "<string>new</string>") != 3 || !strings.Contains(after, "<string>root_shared</string>") {
		t.Errorf("got %s\nwant %s", after, want)
	}
}

// TestDecisions: what has a place stays there, whatever the filters say; then
// another master is asked, and only then a place is taken (PROXY-61). The
// short-cut for frontends comes after the question whether another master has
// them.
func TestDecisions(t *testing.T) {
	const apache = "http://git.erp5.org/gitweb/slapos.git/blob_plain/HEAD:/software/apache-frontend/software.cfg"
	server, asked := elsewhere(t, 408, "")
	l := newLab(t, proxy.Options{Masters: []proxy.Master{{URL: server.URL + "/", Releases: []string{apache}}}})
	l.load(1)
	if err := l.LoadComputer(t.Context(), store.ComputerDescription{Reference: "second",
		Partitions: []store.PartitionDescription{{Reference: "other0"}}}); err != nil {
		t.Fatal(err)
	}
	filter := func(key, value string) []string { return []string{"filter_xml", marshal(t, slap.Dict{key: value})} }
	at := func(got answer) string {
		for _, partition := range []string{"slappart0", "other0"} {
			if got.status == 200 && strings.Contains(got.body, "<string>slap_computer_partition_id</string><string>"+partition+"</string>") {
				return partition
			}
		}
		return got.String()
	}
	if got := at(l.request("a", filter("computer_guid", "second")...)); got != "other0" {
		t.Errorf("on the second computer: %s", got)
	}
	for _, more := range [][]string{nil, filter("computer_guid", "local_computer"), filter("master_url", server.URL+"/")} {
		if got := at(l.request("a", more...)); got != "other0" {
			t.Errorf("again, with %q: %s", more, got)
		}
	}
	l.expect(l.request("b", filter("master_url", server.URL+"/")...), 408, "Resource not ready")
	if got := at(l.request("b")); got != "slappart0" {
		t.Errorf("here: %s", got)
	}
	former := len(*asked)
	l.expect(l.post("/requestComputerPartition", "software_release", apache, "software_type", "default", "partition_reference", "f", "state", marshal(t, nil),
		"shared_xml", marshal(t, true), "partition_parameter_xml", marshal(t, slap.Dict{"url": "http://h/"})), 408, "Resource not ready")
	if len(*asked) == former {
		t.Error("the other master was not asked for the frontend")
	}
}

// TestOldNode sends what a node of 1.11 sends: the requester in the form, its
// own type, and a reference that isn't one (PROXY-170).
func TestOldNode(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	ask := func(title string, more ...string) answer {
		return l.request(title, append([]string{"software_type", "RootSoftwareInstance", "filter_xml", marshal(t, slap.Dict{}),
			"partition_parameter_xml", marshal(t, slap.Dict{}), "shared_xml", marshal(t, false)}, more...)...)
	}
	child := []string{"computer_id", "local_computer", "computer_partition_id", "slappart0"}
	l.expectStatus(ask("root"), 200)
	l.expectStatus(ask("child", child...), 200)
	l.expectStatus(l.request("new"), 200) // of type default
	l.expect(l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart1",
		"connection_xml", marshal(t, slap.Dict{"url": "u"}), "slave_reference", "None"), 200, "done")
	p, err := l.Instance(t.Context(), store.At{Computer: "local_computer", Partition: "slappart1"})
	if err != nil || p.Title != "child" || p.Root != "root" || p.SoftwareType != "RootSoftwareInstance" || !strings.Contains(*p.ConnectionXML, ">u<") {
		t.Errorf("child: %+v, %v", p, err)
	}
	// Hosts are of the type that is asked for, to the letter.
	shared := []string{"shared_xml", marshal(t, true)}
	for kind, host := range map[string]string{"RootSoftwareInstance": "slappart0", "default": "slappart2", "": "slappart0"} {
		got := ask("s"+kind, append(slices.Clone(shared), "software_type", kind)...)
		if got.status != 200 || !strings.Contains(got.body, "<string>slap_computer_partition_id</string><string>"+host+"</string>") {
			t.Errorf("shared of type %q: %s", kind, got)
		}
	}
	l.expectStatus(ask("none", append(slices.Clone(shared), "software_type", "rootsoftwareinstance")...), 404)
}

func (l *lab) expectStatus(got answer, status int) {
	l.Helper()
	if got.status != status {
		l.Errorf("want %d, got %s", status, got)
	}
}

// TestRPCErrors have the status's own name, or none that is known (PROXY-91).
func TestRPCErrors(t *testing.T) {
	l := newLab(t, proxy.Options{Masters: []proxy.Master{{URL: "http://127.0.0.1:1/", Releases: []string{"http://down"}}}})
	got := l.rpc("slapos.post.v0.software_instance", `{"title": "n", "software_release_uri": "http://down", "software_type": "t"}`)
	if got.status != 523 || !strings.HasPrefix(got.body, `{"status": 523, "type": "Unknown Error", "title": "`) {
		t.Errorf("unreachable: %s", got)
	}
	l.expect(l.rpc("slapos.get.v0.instance_tree", `{"title": "nope"}`), 403, `{"status": 403, "type": "Forbidden", "title": "No instance tree nope found."}`)
	for path, status := range map[string]int{"/slapos.get.v0.nope": 404, "/slapos.get.v0.instance_tree": 405} {
		if got := l.get(path); path != "/slapos.get.v0.nope" && (got.status != status || got.page() == "") {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := l.rpc("slapos.get.v0.nope", "{}"); got.status != 404 || got.page() == "" {
		t.Errorf("unknown method: %s", got)
	}
	l.Store.Close()
	l.expect(l.rpc("slapos.get.v0.instance_tree", `{"title": "nope"}`), 500, `{"status": 500, "type": "Internal Server Error", "title": "Internal server error"}`)
}

// TestPanelFiles can be asked for in part and again, and stand below any
// prefix (PROXY-140).
func TestPanelFiles(t *testing.T) {
	l := newLab(t, proxy.Options{})
	whole := l.get("/panel/panel.js")
	for name, want := range map[string]string{"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "Accept-Ranges": "bytes"} {
		if got := whole.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, value := range map[string]string{"If-None-Match": whole.header.Get("Etag"), "If-Modified-Since": whole.header.Get("Last-Modified")} {
		l.header = http.Header{name: {value}}
		if got := l.get("/panel/panel.js"); value == "" || got.status != 304 || got.body != "" {
			t.Errorf("%s %q: %s", name, value, got)
		}
	}
	l.header = http.Header{"Range": {"bytes=0-9"}}
	l.expect(l.get("/panel/panel.js"), 206, whole.body[:10])
	l.header = http.Header{"X-Forwarded-Prefix": {"/sub"}}
	page := l.get("/panel/").body
	if links := regexp.MustCompile(`(?:href|src|action)="(?:/|[a-z]+:)[^"]*"`).FindAllString(page, -1); len(links) != 0 || !strings.Contains(page, `src="panel.js"`) {
		t.Errorf("links %q in\n%s", links, page)
	}
}

// rows are what the tables of a database hold, one a line, without times.
func rows(t *testing.T, uri string) map[string][]string {
	t.Helper()
	reader, err := store.OpenReader(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	found := map[string][]string{}
	for _, name := range []string{"software18", "computer18", "partition18", "slave18", "partition_network18", "forwarded_partition_request18"} {
		table, err := reader.Table(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range table.Rows {
			var cells []string
			for i, column := range table.Columns {
				value, _ := json.Marshal(row[i])
				if column == "timestamp" && row[i] != nil {
					value = []byte("T")
				}
				cells = append(cells, column+"="+string(value))
			}
			found[name] = append(found[name], strings.Join(cells, " "))
		}
	}
	return found
}

// TestRowsAsOriginal makes the same calls to the original and to us, and
// finds the same in both databases: what the columns mean (PROXY-21), and
// what formatting again does to instances, shared ones and addresses
// (PROXY-35).
func TestRowsAsOriginal(t *testing.T) {
	partition := func(reference, tap string, addresses ...string) slap.Dict {
		list := []any{}
		for _, address := range addresses {
			list = append(list, slap.Dict{"addr": address, "netmask": "n"})
		}
		return slap.Dict{"reference": reference, "tap": slap.Dict{"name": tap}, "address_list": list}
	}
	format := func(address string, partitions ...any) call {
		return call{"/loadComputerConfigurationFromXML", map[string]string{"xml": marshal(t, slap.Dict{"reference": "local_computer",
			"address": address, "netmask": "255.0.0.0", "partition_list": partitions})}}
	}
	request := func(title string, change map[string]string) call {
		form := requestForm(t, title)
		for name, value := range change {
			form[name] = value
		}
		return call{"/requestComputerPartition", form}
	}
	by := func(partition string) map[string]string {
		return map[string]string{"computer_id": "local_computer", "computer_partition_id": partition}
	}
	calls := []call{
		format("10.0.0.254", partition("p0", "tap0", "10.0.0.1", "fd00::1"), partition("p1", "", "10.0.0.2"), partition("p2", "tap2"), partition("p3", "tap3", "10.0.0.4")),
		request("root", nil),
		request("child", by("p0")),
		request("grandchild", by("p1")),
		request("_shared", map[string]string{"shared_xml": marshal(t, true)}),
		request("onp2", map[string]string{"shared_xml": marshal(t, true), "computer_id": "local_computer", "computer_partition_id": "p0",
			"filter_xml": marshal(t, slap.Dict{"instance_guid": "local_computer-p2"})}),
		{"/setComputerPartitionConnectionXml", map[string]string{"computer_id": "local_computer", "computer_partition_id": "p1", "connection_xml": marshal(t, slap.Dict{"url": "http://é"})}},
		{"/setComputerPartitionConnectionXml", map[string]string{"computer_id": "local_computer", "computer_partition_id": "p0", "slave_reference": "__shared", "connection_xml": marshal(t, slap.Dict{"a": "b"})}},
		{"/supplySupply", map[string]string{"url": "u1", "computer_id": "local_computer", "state": "available"}},
		{"/supplySupply", map[string]string{"url": "u2", "computer_id": "other", "state": "destroyed"}},
		{"/softwareInstanceRename", map[string]string{"computer_id": "local_computer", "computer_partition_id": "p0", "new_name": "renamed"}},
	}
	smaller := append(slices.Clone(calls), format("10.1.0.254", partition("p0", "tap9", "10.9.0.1"), partition("p1", "tap1"), partition("p4", "")))
	for name, calls := range map[string][]call{"whole": calls, "formatted again": smaller} {
		t.Run(name, func(t *testing.T) {
			theirs := filepath.Join(t.TempDir(), "theirs.db")
			answers := original(t, theirs, calls...)
			l := newLabOn(t, filepath.Join(t.TempDir(), "ours.db"), proxy.Options{}, time.Now)
			for i, c := range calls {
				form := []string{}
				for name, value := range c.Form {
					form = append(form, name, value)
				}
				got := timestamps.ReplaceAllString(l.post(c.Path, form...).String(), "${1}T")
				if want := timestamps.ReplaceAllString(answers[i], "${1}T"); got != want || !strings.HasPrefix(got, "200 ") {
					t.Errorf("call %d: we say\n%s\nthe original said\n%s", i, got, want)
				}
			}
			want, got := rows(t, theirs), rows(t, l.uri)
			for table := range want {
				if !slices.Equal(got[table], want[table]) {
					t.Errorf("%s: we have\n%s\nthe original has\n%s", table, strings.Join(got[table], "\n"), strings.Join(want[table], "\n"))
				}
			}
			for table := range got {
				if want[table] == nil {
					t.Errorf("%s: only we have %s", table, got[table])
				}
			}
			if len(got["partition18"]) < 3 || len(got["slave18"]) < 1 {
				t.Errorf("too few rows: %v", got)
			}
		})
	}
}

// TestHalfARequest: the original commits each statement, and keeps half of
// what fails; we keep nothing of it (PROXY-6).
func TestHalfARequest(t *testing.T) {
	half := call{"/loadComputerConfigurationFromXML", map[string]string{"xml": marshal(t, slap.Dict{"reference": "local_computer",
		"address": "a", "netmask": "n", "partition_list": []any{
			slap.Dict{"reference": "p0", "tap": slap.Dict{"name": "tap0"}, "address_list": []any{slap.Dict{"addr": "10.0.0.1", "netmask": "n"}}},
			slap.Dict{"reference": "p1", "tap": slap.Dict{"name": "tap1"}, "address_list": []any{slap.Dict{"addr": slap.Dict{}, "netmask": "n"}}},
		}})}}
	theirs := filepath.Join(t.TempDir(), "theirs.db")
	if answers := original(t, theirs, half); !strings.HasPrefix(answers[0], "500 ") {
		t.Fatalf("the original: %s", answers[0])
	}
	if found := rows(t, theirs); len(found["computer18"]) != 1 || len(found["partition18"]) != 2 {
		t.Errorf("the original keeps %v", found)
	}
	l := newLab(t, proxy.Options{})
	l.expectStatus(l.post(half.Path, "xml", half.Form["xml"]), 500)
	if found := rows(t, l.uri); len(found["computer18"])+len(found["partition18"])+len(found["partition_network18"]) != 0 {
		t.Errorf("we keep %v", found)
	}
}

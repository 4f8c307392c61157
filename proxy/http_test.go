// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/serve"
)

// TestMethods goes through PROXY-11.
func TestMethods(t *testing.T) {
	l := newLab(t, proxy.Options{})
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"HEAD", "/getRunId", 200, ""},
		{"OPTIONS", "/getRunId", 200, "GET, HEAD, OPTIONS"},
		{"POST", "/getRunId", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/supplySupply", 405, "OPTIONS, POST"},
		{"GET", "/slapos.get.v0.hateoas_url", 405, "OPTIONS, POST"},
		{"POST", "/supplySupply/", 404, ""},
		{"GET", "/getHateoasUrl", 404, ""},                // PROXY-31, PROXY-135
		{"GET", "/getHostingSubscriptionIpList", 404, ""}, // PROXY-31
		{"POST", "/slapos.get.v0.unknown", 404, ""},
		{"POST", "/http_proxy/http/x", 405, "GET, HEAD, OPTIONS"},
		{"DELETE", "/shacache/cache/x", 405, "GET, HEAD, OPTIONS, POST, PUT"},
		{"POST", "/panel/public/a.json", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/panel/panel.css", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/panel/state", 405, "OPTIONS, POST"},
		{"GET", "/panel", 308, ""},
		{"GET", "/hateoas", 308, ""},
		{"GET", "//panel/", 404, ""},
	} {
		got := l.do(c.method, c.path, "", "")
		if got.status != c.status || got.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, got.status, got.header.Get("Allow"))
		}
	}
	// PROXY-30.
	if id := l.get("/getRunId").body; len(id) != 32 {
		t.Errorf("run id %q", id)
	}
}

// TestOrigin goes through PROXY-7 and PROXY-100.
func TestOrigin(t *testing.T) {
	l := newLab(t, proxy.Options{Guard: serve.Guard{Names: []string{"cdn.example.com"}}})
	l.header = http.Header{"Host": {"cdn.example.com"}, "X-Forwarded-Proto": {"http, https"}, "X-Forwarded-Prefix": {"/a, /sub"},
		"X-Forwarded-Host": {"ignored"}, "X-Forwarded-Port": {"1"}}
	l.expect(l.rpc("slapos.get.v0.hateoas_url", "{}"), 200, `{"hateoas_url": "https://cdn.example.com/sub/hateoas/"}`)
	if got := l.get("/").header.Get("Location"); got != "/sub/panel/" {
		t.Errorf("index goes to %s", got)
	}
	if got := l.get("/panel?x=1").header.Get("Location"); got != "https://cdn.example.com/sub/panel/?x=1" {
		t.Errorf("panel goes to %s", got)
	}
	if got := l.get("/hateoas/").body; !strings.Contains(got, `"https://cdn.example.com/sub/hateoas/?mode=search&query={query}&select_list={select_list}"`) {
		t.Errorf("hateoas: %s", got)
	}
}

// TestForms goes through PROXY-13 and PROXY-36.
func TestForms(t *testing.T) {
	l := newLab(t, proxy.Options{MaximumBody: 5 << 20})
	l.load(1)
	l.expect(l.post("/supplySupply", "url", "u", "computer_id", "c"), 400, "The browser (or proxy) sent a request that this server could not understand.")
	l.expect(l.post("/supplySupply", "url", "it's", "computer_id", "c", "state", "available"), 200, `Supplied "it's" to be available`)
	if got := l.post("/supplySupply", "url", "u", "computer_id", "c", "state", "bogus"); got.status != 500 {
		t.Errorf("bogus state: %s", got)
	}
	const kind = "application/x-www-form-urlencoded"
	l.expect(l.do("POST", "/supplySupply", kind, "url=a;b%zz%41+&computer_id=c&state=destroyed&"), 200, "Supplied 'a;b%zzA ' to be destroyed")
	l.expect(l.do("POST", "/supplySupply", kind, "url=%E9t%C3%A9%FF&computer_id=c&state=destroyed"), 200, "Supplied '%E9té%FF' to be destroyed")
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"url": "é", "computer_id": "c", "state": "available"} {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	form.Close()
	l.expect(l.do("POST", "/supplySupply", form.FormDataContentType(), body.String()), 200, "Supplied 'é' to be available")
	large := strings.Repeat("x", 4<<20)
	if got := l.request("i", "partition_parameter_xml", marshal(t, slap.Dict{"a": large})); got.status != 200 {
		t.Errorf("4 MB: %.200s", got)
	}
	if got := l.post("/softwareInstanceError", "error_log", large+large); got.status != 200 {
		t.Errorf("an ignored body: %d", got.status)
	}
	if got := l.post("/useComputer", "computer_id", "c", "use_string", large+large); got.status != 413 {
		t.Errorf("a body over the limit: %d", got.status)
	}
	// PROXY-35.
	for _, xml := range []string{"", "<", "<marshal/>", marshal(t, slap.Dict{"reference": "x"}), marshal(t, "x"),
		marshal(t, slap.Dict{"reference": "x", "address": "a", "netmask": "n", "partition_list": []any{slap.Dict{"reference": "p"}}})} {
		if got := l.post("/loadComputerConfigurationFromXML", "xml", xml); got.status != 500 {
			t.Errorf("%s: %d", xml, got.status)
		}
	}
}

// TestAuthorization goes through PROXY-14.
func TestAuthorization(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(4)
	l.request("root")
	root := func(title string) string {
		roots, err := l.List(t.Context(), store.Roots())
		if err != nil {
			t.Fatal(err)
		}
		for _, root := range roots {
			if root.Title == title {
				return "root"
			}
		}
		return "child"
	}
	for i, header := range []string{"", "Basic dXNlcjpwdw==", "X-SlapPartition", "X-SlapPartition computer_partition_id=slappart0"} {
		l.header.Set("Authorization", header)
		if got := l.request("alone"); got.status != 200 || root("alone") != "root" {
			t.Errorf("%d: %s, %s", i, got, root("alone"))
		}
	}
	for i, header := range []string{"x-slappartition  computer_id = local_computer ,computer_partition_id= slappart0 ", "X-SlapPartition computer_partition_id=slappart0,computer_id=local_computer"} {
		l.header.Set("Authorization", header)
		title := "child" + strconv.Itoa(i)
		if got := l.request(title, "computer_id", "local_computer", "computer_partition_id", "nope"); got.status != 200 || root(title) != "child" {
			t.Errorf("%s: %s", header, got)
		}
	}
	for header, shown := range map[string]string{
		"X-SlapPartition computer_id=local_computer":                                      "local_computer / None",
		"X-SlapPartition computer_id=local_computer, computer_partition_id=nope":          "local_computer / nope",
		`X-SlapPartition computer_id="local_computer", computer_partition_id="slappart0"`: `&#34;local_computer&#34; / &#34;slappart0&#34;`,
	} {
		l.header.Set("Authorization", header)
		l.expect(l.request("x"), 400, "No partition matching the authorization header: ("+shown+")")
	}
	l.header.Set("Authorization", "X-SlapPartition computer_id=x, computer_partition_id=y")
	l.expect(l.post("/softwareInstanceBang", "computer_id", "x", "computer_partition_id", "y"), 200, "OK")
}

// What a deployment no longer requests is asked to go (PROXY-187).
func TestRelatedInstances(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	tell := func(titles ...any) answer {
		document, err := slap.Marshal(titles)
		if err != nil {
			t.Fatal(err)
		}
		return l.post("/updateComputerPartitionRelatedInstanceList", "computer_id", "local_computer",
			"computer_partition_id", "slappart0", "instance_reference_xml", string(document))
	}
	for _, title := range []string{"root", "a", "b"} {
		l.request(title)
		l.header.Set("Authorization", "X-SlapPartition computer_id=local_computer, computer_partition_id=slappart0")
	}
	l.expect(tell("a", "b"), 200, "OK")
	l.expect(tell("b"), 200, "OK")
	l.expect(tell("b", 1), 400, "instance_reference_xml is not a list of names")
	l.expect(l.post("/updateComputerPartitionRelatedInstanceList", "computer_id", "local_computer",
		"computer_partition_id", "slappart0", "instance_reference_xml", "<marshal>"), 400, "instance_reference_xml is not a list of names")
	l.expect(l.post("/updateComputerPartitionRelatedInstanceList", "computer_id", "local_computer",
		"computer_partition_id", "nope", "instance_reference_xml", "<marshal><list id='i1'/></marshal>"), 200, "OK")
	for title, state := range map[string]string{"a": "destroyed", "b": "started"} {
		instance, err := l.Instance(t.Context(), store.Name{Title: title, Root: "root"})
		if err != nil || instance.State != state {
			t.Errorf("%s: %+v, %v", title, instance, err)
		}
	}
}

// TestDefaults fills in what a request may leave out (PROXY-60).
func TestDefaults(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	if got := l.request("a"); got.status != 200 {
		t.Errorf("no optional field: %s", got)
	}
	for shared, want := range map[string]string{"<marshal><int>1</int></marshal>": "_b", `<marshal><dictionary id="i2"/></marshal>`: ""} {
		got := l.request("b", "shared_xml", shared)
		if is := got.status == 200; is != (want != "") {
			t.Errorf("shared %s: %s", shared, got)
		}
	}
	l.expect(l.request("c"), 404, "No free computer partition found for: c")
}

// TestNodeAnswers goes through PROXY-32.
func TestNodeAnswers(t *testing.T) {
	l := newLab(t, proxy.Options{})
	const path = "/getFullComputerInformation?computer_id="
	empty := l.get(path + "local_computer").body
	if want := `<marshal><object id="i2" module="slapos.slap.slap" class="Computer"><tuple><string>local_computer</string></tuple>` +
		`<dictionary id="i3"><string>_computer_id</string><string>local_computer</string><string>_computer_partition_list</string><list id="i4"/>` +
		`<string>_software_release_list</string><list id="i5"/></dictionary></object></marshal>`; empty != want {
		t.Errorf("not formatted yet: %s", empty)
	}
	if got := l.get(path + "unknown").status; got != 500 {
		t.Errorf("unknown: %d", got)
	}
	if got := l.get("/getFullComputerInformation").status; got != 400 {
		t.Errorf("none: %d", got)
	}
	// Every change is visible at once.
	l.load(2)
	former := l.get(path + "local_computer").body
	if again := l.get(path + "local_computer").body; again != former {
		t.Error("the answer changes by itself")
	}
	for _, change := range []struct {
		name string
		make func()
	}{
		{"request", func() { l.request("i") }},
		{"publish", func() {
			l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0",
				"connection_xml", marshal(t, slap.Dict{"a": "b"}))
		}},
		{"supply", func() { l.post("/supplySupply", "url", "u", "computer_id", "local_computer", "state", "available") }},
		{"bang", func() {
			l.post("/softwareInstanceBang", "computer_id", "local_computer", "computer_partition_id", "slappart0")
		}},
	} {
		change.make()
		current := l.get(path + "local_computer").body
		if current == former {
			t.Errorf("%s is not seen", change.name)
		}
		former = current
	}
}

// D-13: metrics for Prometheus.
func TestMetricsAndAccessLog(t *testing.T) {
	var log bytes.Buffer
	l := newLab(t, proxy.Options{AccessLog: &log})
	l.load(3)
	l.request("i")
	l.request("j", "state", "<marshal><string>odd</string></marshal>")
	l.get("/no/such/page")
	text := l.get("/metrics").body
	for _, line := range []string{
		`slapos_proxy_partitions{computer="local_computer",state="free"} 1`,
		`slapos_proxy_partitions{computer="local_computer",state="started"} 1`,
		`slapos_proxy_partitions{computer="local_computer",state="other"} 1`,
		`slapos_proxy_requests_total{method="POST",path="/requestComputerPartition",status="200"} 2`,
		`slapos_proxy_requests_total{method="GET",path="other",status="404"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s:\n%s", line, text)
		}
	}
	if !strings.Contains(log.String(), `"POST /requestComputerPartition HTTP/1.1" 200 `) {
		t.Errorf("access log:\n%s", &log)
	}
}

// TestUsage keeps what the original drops (PROXY-38, PROXY-104).
func TestUsage(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.expect(l.post("/useComputer", "computer_id", "c", "use_string", "<journal/>"), 200, "Ignored")
	l.expect(l.post("/useComputer"), 200, "Ignored")
	l.expect(l.rpc("slapos.post.v0.compute_node_usage", `{"computer_guid": "c", "tioxml": "<j2/>"}`), 200, `{"type": "success", "title": "Ignored"}`)
	reports, err := l.Usage(t.Context(), "c", 10)
	if err != nil || len(reports) != 2 || reports[1].Report != "<journal/>" {
		t.Errorf("%v, %v", reports, err)
	}
}

// fullStore has no room left: store.TestFullDatabase has the real one.
type fullStore struct{ store.Store }

func (fullStore) Supply(context.Context, store.Software) error {
	return fmt.Errorf("write to the database: %w", store.ErrFull)
}

// TestFullDisk answers what clients take for a master that can't be reached, and says
// why in the answer and in the log (PROXY-11).
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	l := newLab(t, proxy.Options{})
	l.server.Config.Handler = proxy.New(proxy.Options{
		Store: fullStore{l.Store}, Computer: "local_computer", Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	got := l.do("POST", "/supplySupply", "application/x-www-form-urlencoded", "url=u&computer_id=c&state=available")
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "The disk of the master&#39;s database is full. Nothing was changed.") {
		t.Error(got)
	}
	got = l.rpc("slapos.post.v0.software_installation", `{"computer_guid": "c", "software_release_uri": "u"}`)
	l.expect(got, 503, `{"status": 503, "type": "Service Unavailable", "title": "The disk of the master's database is full. Nothing was changed."}`)
	if lines := strings.Count(log.String(), "the disk is full"); lines != 2 {
		t.Errorf("%d lines of the log: %s", lines, &log)
	}
}

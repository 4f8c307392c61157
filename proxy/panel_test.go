// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/serve"
)

// writeRelease makes a release with a schema of its parameters.
func writeRelease(t *testing.T, serialisation string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"software.cfg": "",
		"software.cfg.json": `{"name": "Hello", "description": "A web server that greets.", "serialisation": "` + serialisation + `", "software-type": {
			"default": {"title": "One greeter", "description": "One web server that greets.", "request": "input.json", "index": 0},
			"cluster": {"title": "Many greeters", "description": "As many as are needed.", "request": "input.json", "index": 1}}}`,
		"input.json": `{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "required": ["name"], "properties": {
			"name": {"title": "Name", "description": "Whom the page greets.", "type": "string"},
			"port": {"title": "Port", "description": "Where it listens.", "type": "integer", "default": 8080, "minimum": 1024},
			"tls": {"title": "Encrypted", "type": "boolean", "default": true},
			"hosts": {"title": "Host names", "type": "array", "items": {"type": "string"}},
			"limits": {"title": "Limits", "type": "object", "properties": {
				"memory": {"title": "Memory", "enum": ["256M", "1G"]}, "threads": {"title": "Threads", "type": "integer"}}}}}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "software.cfg")
}

// named returns an instance.
func (l *lab) named(name store.Name) *store.Instance {
	l.Helper()
	instance, err := l.Instance(l.Context(), name)
	if err != nil {
		l.Fatalf("%v: %v", name, err)
	}
	return instance
}

// expectPage checks a page for its status and for texts.
func (l *lab) expectPage(got answer, status int, texts ...string) {
	l.Helper()
	if got.status != status {
		l.Errorf("status %d, want %d: %s", got.status, status, got)
	}
	for _, text := range texts {
		if !strings.Contains(got.body, text) {
			l.Errorf("the page lacks %q:\n%s", text, got.body)
		}
	}
}

// expectGoesTo checks a redirect, which must work behind any prefix.
func (l *lab) expectGoesTo(got answer, want string) {
	l.Helper()
	if location := got.header.Get("Location"); got.status != http.StatusSeeOther || location != want {
		l.Errorf("%d to %q, want %q: %s", got.status, location, want, got.body)
	}
}

// TestPanelRequest goes through the forms of a request by both serialisations.
// D-17.
func TestPanelRequest(t *testing.T) {
	for serialisation, want := range map[string]slap.Dict{
		"xml":         {"name": "you", "port": "9090", "tls": "False"},
		"json-in-xml": {"_": `{"name":"you","port":9090,"tls":false}`},
	} {
		l := newLab(t, proxy.Options{})
		l.load(1)
		url := writeRelease(t, serialisation)
		l.expectGoesTo(l.post("/panel/supply", "url", " "+url, "computer", "local_computer"), "node?done=supplied&id=local_computer")
		l.expectPage(l.get("/panel/request"), 200, url)
		l.expectPage(l.get("/panel/request?release="+url), 200, "One web server that greets.", `name="s/name"`, `Whom the page greets.`, "Many greeters")
		l.expectPage(l.get("/panel/request?type=cluster&release="+url), 200, "As many as are needed.")

		form := []string{"release", url, "type", "default", "title", "hello", "computer", "local_computer", "state", "started"}
		fill := func(more ...string) answer { return l.post("/panel/request", append(form, more...)...) }
		got := fill("s/name", "you", "n/port", "80", "j/limits", "{", "l/hosts", "kept")
		l.expectPage(got, 422, "Some parameters can&#39;t be read.", "invalid JSON (line 1: the text ends too soon)", ">\n{</textarea>", ">\nkept</textarea>")
		got = fill("s/name", "you", "n/port", "80")
		l.expectPage(got, 422, "1 value doesn&#39;t match the schema of the release.", "port must be at least 1024", `value="80"`, "Request anyway")
		l.expectGoesTo(fill("s/name", "you", "n/port", "9090", "j/tls", "false"), "instance?done=requested&title=hello")
		instance := l.named(store.Name{Title: "hello"})
		if text := slap.PythonRepr(instance.Parameters); text != slap.PythonRepr(want) {
			t.Errorf("%s: parameters %s", serialisation, text)
		}
		l.expectPage(l.get("/panel/request?title=hello"), 200, `value="9090"`, ">\nyou</textarea>", `<option value="false" selected>no</option>`)
		got = fill("title", "second", "s/name", "you")
		l.expectPage(got, 409, "No free computer partition found for: second.", `value="second"`)
		l.expectPage(fill("s/name", "other"), 409, "An instance with this name exists.", ">\nother</textarea>", `value="hello"`)
		l.expectGoesTo(fill("change", "1", "n/port", "80", "s/name", "you", "insist", "1"), "instance?done=requested&title=hello")

		l.expectGoesTo(l.post("/panel/state", "title", "hello", "state", "stopped"), "instance?done=stopped&title=hello")
		l.expectPage(l.get("/panel/instance?title=hello&done=stopped"), 200, "Stop requested", `class="state stopped"`)
		l.expectPage(l.get("/panel/destroy?title=hello"), 200, "will be deleted")
		l.expectGoesTo(l.post("/panel/destroy", "title", "hello"), "instance?done=destroyed&title=hello")
		if state := l.named(store.Name{Title: "hello"}).State; state != "destroyed" {
			t.Error(state)
		}
		l.expectPage(l.get("/panel/remove?computer=local_computer&url="+url), 200, "1 instance on this computer")
		l.expectGoesTo(l.post("/panel/remove", "computer", "local_computer", "url", url), "node?done=removed&id=local_computer")
	}
}

// TestPanelChangeShowsMismatches: what is stored is compared with the schema
// when the form is opened, not only when it comes back.
func TestPanelChangeShowsMismatches(t *testing.T) {
	for _, serialisation := range []string{"xml", "json-in-xml"} {
		l := newLab(t, proxy.Options{})
		l.load(1)
		url := writeRelease(t, serialisation)
		store := func(parameters slap.Dict) {
			l.post("/requestComputerPartition", "software_release", url, "software_type", "default", "partition_reference", "old",
				"state", "<marshal><none/></marshal>", "partition_parameter_xml", marshal(t, parameters))
		}
		wrong, mended := slap.Dict{"port": "80", "tls": "maybe"}, slap.Dict{"name": "you", "port": "8080"}
		if serialisation == "json-in-xml" {
			wrong, mended = slap.Dict{"_": `{"port": 80, "tls": "maybe"}`}, slap.Dict{"_": `{"name": "you", "port": 8080}`}
		}
		store(wrong)
		got := l.get("/panel/request?title=old")
		l.expectPage(got, 200, "3 stored values don&#39;t match the schema of the release.", `<span class="wrong">port must be at least 1024</span>`,
			`<span class="wrong">tls must be true or false</span>`, `<span class="wrong">name is required</span>`, `value="80"`, `aria-invalid="true"`)
		if strings.Contains(got.body, "Request anyway") {
			t.Error("nothing was refused yet")
		}
		store(mended)
		if got := l.get("/panel/request?title=old"); strings.Contains(got.body, "schema of the release") || strings.Contains(got.body, "aria-invalid") {
			t.Errorf("%s: problems of values that fit:\n%s", serialisation, got.body)
		}
	}
}

// TestPanelWithoutSchema takes parameters as JSON from a release that says
// nothing, and shared instances.
func TestPanelWithoutSchema(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.expectPage(l.post("/panel/request", "look", "1", "release", "/none.cfg"), 200, "doesn't list the parameters it accepts", `name="serialisation"`)
	l.expectGoesTo(l.post("/panel/request", "release", "/none.cfg", "title", "host", "j", `{"a": 1.5, "b": "é"}`), "instance?done=requested&title=host")
	l.expectGoesTo(l.post("/panel/request", "release", "/none.cfg", "title", "guest", "shared", "1", "serialisation", "json-in-xml", "j", `{"c": [1]}`),
		"instance?done=requested&shared=1&title=guest")
	if got := slap.PythonRepr(l.named(store.Name{Title: "host"}).Parameters); got != `{'a': '1.5', 'b': 'é'}` {
		t.Error(got)
	}
	l.expectPage(l.get("/panel/instance?title=guest&shared=1"), 200, "<dt>c</dt>", "shared")
	l.expectPage(l.get("/panel/request?title=guest&shared=1"), 200, "Change instance guest", "&#34;c&#34;: [")
	l.expectGoesTo(l.post("/panel/request", "title", "guest", "shared", "1", "change", "1", "release", "/none.cfg", "type", "default", "j", `{"d": true}`),
		"instance?done=requested&shared=1&title=guest")
	if got := slap.PythonRepr(l.named(store.Name{Title: "guest", Shared: true}).Parameters); got != `{'_': '{"d":true}'}` {
		t.Error(got)
	}
	l.expectPage(l.get("/panel/instance?title=host"), 200, `<a href="instance?shared=1&amp;title=guest">guest</a>`, "<dt>b</dt>")
	if got := l.post("/panel/state", "title", "guest", "shared", "1", "state", "stopped"); got.status != 404 {
		t.Errorf("a shared instance is stopped: %s", got)
	}
	l.expectPage(l.get("/panel/instances"), 200, "guest", "host")
	l.expectGoesTo(l.post("/panel/destroy", "title", "guest", "shared", "1"), "instances?done=destroyed")
	if got := l.get("/panel/instances"); strings.Contains(got.body, "guest") {
		t.Error("a destroyed shared instance is shown")
	}
}

// TestPanelChildren shows a tree, and leaves children to their requester.
func TestPanelChildren(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.request("root")
	l.request("child", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0",
		"connection_xml", marshal(t, slap.Dict{"url": "https://[fd00::1]:8443/", "bad": "javascript:alert(1)"}))
	l.expectPage(l.get("/panel/instance?title=root"), 200, `<a href="instance?root=root&amp;title=child">child</a>`,
		`<a href="https://[fd00::1]:8443/" rel="noreferrer">`, "<dd>javascript:alert(1)</dd>")
	got := l.get("/panel/instance?title=child&root=root")
	l.expectPage(got, 200, "Another instance requested this one", `<a href="instance?title=root">`)
	if strings.Contains(got.body, `method="post"`) {
		t.Error("a child can be changed")
	}
	for _, path := range []string{"state", "destroy"} {
		if got := l.post("/panel/"+path, "title", "child", "root", "root", "state", "stopped"); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := l.post("/panel/request", "title", "child", "root", "root", "change", "1", "release", release); got.status != 403 {
		t.Errorf("request: %s", got)
	}
	l.expectPage(l.get("/panel/node?id=local_computer&q=chi+slappart1"), 200, "child", `value="chi slappart1"`)
	if got := l.get("/panel/instances?q=nothing"); strings.Contains(got.body, "slappart0") || !strings.Contains(got.body, "No instance matches “nothing”") {
		t.Error(got)
	}
}

// sendUsage sends a usage report of the default computer, as node collect does.
func (l *lab) sendUsage(title, movements string) {
	l.Helper()
	l.post("/useComputer", "computer_id", "local_computer", "use_string", `<?xml version='1.0' encoding='utf-8'?><journal><transaction type="Sale Packing List"><title>`+title+
		`</title><start_date>2026-11-20 00:00:00</start_date><stop_date>2026-11-20 23:59:59</stop_date>`+movements+`</transaction></journal>`)
}

const ecoMovements = `<movement><resource>service_module/cpu_load_percent</resource><title>CPU Load Percent Average for slapuser0</title><reference>slapuser0</reference><quantity>0.4000001</quantity></movement>` +
	`<movement><resource>service_module/memory_used</resource><title>Used Memory</title><reference>local_computer</reference><quantity>5996757099.7</quantity></movement>`

func TestPanelUsage(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	l.sendUsage("Resource consumptions", `<movement><resource>requests</resource><title>Requests served</title><reference>slappart0</reference><quantity>77</quantity></movement>`)
	l.expectPage(l.get("/panel/node?id=local_computer"), 200, "<details open>", "Requests served", `data-label="Quantity" class="number">77</td>`)
	l.sendUsage("Eco Information for local_computer ", ecoMovements)
	l.expectPage(l.get("/panel/node?id=local_computer"), 200, "<summary>2026-11-20 ", `data-label="CPU" class="number">0.4 %</td>`, `data-label="Memory" class="number">5.6 GiB</td>`, "Requests served")
}

// TestPanelRefuses what is unknown, malformed or made by a page of another
// site.
func TestPanelRefuses(t *testing.T) {
	l := newLab(t, proxy.Options{Guard: serve.Guard{Names: []string{"panel.example"}}})
	l.load(1)
	l.request("i")
	for _, path := range []string{"instance?title=nope", "instance", "node?id=nope", "destroy?title=nope", "remove?computer=nope", "frame.html", "pages/frame.html", "external/renderjs.js"} {
		if got := l.get("/panel/" + path); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := l.get("/panel/state"); got.status != 405 {
		t.Errorf("state by GET: %s", got)
	}
	for _, path := range []string{"", "instance", "panel.js", "public/x"} {
		if got := l.post("/panel/" + path); got.status != 405 {
			t.Errorf("%s by POST: %s", path, got)
		}
	}
	l.expectPage(l.post("/panel/supply", "url", " "), 422, "Name a software release")
	l.expectPage(l.post("/panel/request", "title", "x"), 422, "needs a name and a software release")
	for fields, want := range map[string]string{"title=a%00b": "must be a single line", "title=x&s/a=%00": "These parameters can&#39;t be sent", "title=x&s/a=%ff&state=started": ""} {
		got := l.do(http.MethodPost, "/panel/request", "application/x-www-form-urlencoded", "release=r&"+fields)
		if want == "" {
			l.expectPage(got, 409, "No free computer partition") // taken, but for the room
			continue
		}
		l.expectPage(got, 422, want)
	}
	// PROXY-140.
	got := l.get("/panel/panel.js")
	if !strings.HasPrefix(got.header.Get("Content-Type"), "text/javascript") || got.header.Get("Last-Modified") == "" {
		t.Errorf("script: %v", got.header)
	}
	l.header = http.Header{"If-None-Match": {got.header.Get("Etag")}}
	if got := l.get("/panel/panel.js"); got.status != 304 {
		t.Errorf("script again: %s", got)
	}
	// A name that isn't ours may be made to lead here by whoever owns it.
	l.header = http.Header{"Host": {"evil.example"}, "Origin": {"http://evil.example"}}
	l.expectPage(l.post("/supplySupply", "url", "u", "computer_id", "c", "state", "available"), 403, "evil.example is not a name of this server")
	// Nor does it read, anything; only whether this is the master that it takes it for.
	for _, path := range []string{"/getFullComputerInformation?computer_id=local_computer", "/panel/", "/hateoas/", "/metrics", "/http_proxy/127.0.0.1:1/", "/nothing"} {
		l.header = http.Header{"Host": {"evil.example:5000"}}
		if got := l.get(path); got.status != 403 {
			t.Errorf("%s for a name that isn't ours: %s", path, got)
		}
	}
	if got := l.get("/getRunId"); got.status != 200 {
		t.Errorf("getRunId: %s", got)
	}
	l.header = http.Header{"Host": {"panel.example:81"}, "Origin": {"http://panel.example:81"}}
	l.expectGoesTo(l.post("/panel/supply", "url", "u", "computer", "local_computer"), "node?done=supplied&id=local_computer")
	l.header = http.Header{}
	// A request from another site, to the panel or to SLAP; one from our site;
	// one from a client, which names no site.
	ours, _ := url.Parse(l.server.URL)
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Origin", "http://evil.example", 403}, {"Origin", "null", 403},
		{"Sec-Fetch-Site", "same-origin", 0}, {"Origin", "http://" + ours.Host, 0}, {"X-Nothing", "x", 0},
	} {
		l.header = http.Header{c.header: {c.value}}
		for path, status := range map[string]int{"/panel/destroy": 303, "/supplySupply": 200} {
			if c.status != 0 {
				status = c.status
			}
			if got := l.post(path, "title", "i", "url", "u", "computer_id", "local_computer", "state", "available"); got.status != status {
				t.Errorf("%s: %s, %s: %s", c.header, c.value, path, got)
			}
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// writeRich writes a release whose parameters are of every shape.
func writeRich(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"software.cfg":      "",
		"software.cfg.json": `{"serialisation": "json-in-xml", "software-type": {"default": {"title": "Web server", "request": "input.json", "index": 0}}}`,
		"input.json": `{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false, "required": ["name"], "properties": {
			"name": {"title": "Name", "description": "Whom the page greets.", "type": "string", "examples": ["world", "everybody"]},
			"admin-password": {"title": "Password of the administrator", "type": "string", "format": "password"},
			"log-level": {"title": "Log level", "default": "info", "oneOf": [{"const": "info", "title": "all requests"}, {"const": "error", "title": "errors only"}]},
			"ports": {"title": "Ports", "type": "array", "items": {"type": "integer", "minimum": 1024}},
			"sites": {"title": "Sites", "description": "What is served.", "type": "array", "items": {"title": "Site", "type": "object", "required": ["host"], "properties": {
				"host": {"title": "Host name", "type": "string"}, "tls": {"title": "Encrypted", "type": "boolean", "default": true}}}},
			"headers": {"title": "Headers", "description": "Added to each answer.", "type": "object", "additionalProperties": {"type": "string"}},
			"storage": {"title": "Storage", "oneOf": [
				{"title": "A directory", "type": "object", "required": ["kind", "path"], "properties": {"kind": {"const": "directory"}, "path": {"title": "Path", "type": "string"}}},
				{"title": "A bucket", "type": "object", "required": ["kind", "url"], "properties": {"kind": {"const": "bucket"}, "url": {"title": "Address", "type": "string", "format": "uri"}}}]},
			"lost": {"$ref": "#/definitions/nowhere"}}}`,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "software.cfg")
}

// TestFormsInBrowser requests an instance whose parameters are lists, tables,
// and of several forms.
func TestFormsInBrowser(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	url := writeRich(t)
	l.post("/supplySupply", "url", url, "computer_id", "local_computer", "state", "available")
	b := newBrowser(t, l)
	b.open("request?release=" + url)
	b.expect("/definitions/nowhere")
	b.run(write(`[name="s/name"]`, "you"), choose(`[name="j/log-level"]`, `"error"`), choose(`[name="i/ports"]`, "8080\n9090"))
	b.follow(`button[name="o/sites/~30"]`)
	b.run(write(`[name="s/sites/~30/host"]`, "one.example"))
	b.follow(`button[name="o/sites/~31"]`)
	b.run(write(`[name="s/sites/~31/host"]`, "two.example"), choose(`[name="j/sites/~31/tls"]`, "false"))
	b.follow(`button[name="x/sites/~30"]`)
	b.run(write(`[name="k/headers/~20"]`, "X-From"), write(`[name="s/headers/~20"]`, "here"))
	b.leave(func() { b.run(choose(`[name="c/storage/~40"]`, "1")) })
	b.run(write(`[name="s/storage/url"]`, "http://bucket.example/"))
	for _, width := range []int64{320, 1300} {
		b.run(chromedp.EmulateViewport(width, 800))
		for _, fault := range evaluate[[]string](b, audit) {
			t.Errorf("%d pixels: %s", width, fault)
		}
	}
	b.run(write("#title", "hello"))
	b.follow("button.main")
	b.expect("Instance requested.")
	want := `{'_': '{"headers":{"X-From":"here"},"log-level":"error","name":"you","ports":[8080,9090],` +
		`"sites":[{"host":"two.example","tls":false}],"storage":{"kind":"bucket","url":"http://bucket.example/"}}'}`
	if got := slap.PythonRepr(l.named(store.Name{Title: "hello"}).Parameters); got != want {
		t.Errorf("parameters %s, want %s", got, want)
	}
	// What was requested shows again, and comes back unchanged.
	b.open("request?title=hello")
	b.follow("button.main")
	b.expect("Instance requested.")
	if got := slap.PythonRepr(l.named(store.Name{Title: "hello"}).Parameters); got != want {
		t.Errorf("parameters %s, want %s", got, want)
	}
	// What was stored by others and doesn't fit is told at once, and has the focus.
	l.request("hello", "software_release", url, "partition_parameter_xml", marshal(t, slap.Dict{"_": `{"name": "you", "ports": [8080, 80]}`}))
	b.open("request?title=hello")
	b.expect("1 stored value doesn't match the schema of the release.")
	b.expect("ports[1] must be at least 1024")
	if text := evaluate[string](b, "document.activeElement.innerText"); text != "1 stored value doesn't match the schema of the release." {
		t.Errorf("the focus is on %q", text)
	}
}

// TestFormsWithoutScript chooses and adds by the buttons alone.
func TestFormsWithoutScript(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	url := writeRich(t)
	l.post("/supplySupply", "url", url, "computer_id", "local_computer", "state", "available")
	got := l.post("/panel/request?more=1", "release", url, "s/name", "you", "c/storage/~40", "0", "o/sites/~30", "1")
	l.expectPage(got, 200, `name="j/storage/kind" value="&#34;directory&#34;"`, `name="s/storage/path"`, `name="s/sites/~30/host"`, `name="o/sites/~31"`)
	if strings.Contains(got.body, "class=\"problems\"") {
		t.Errorf("problems before anything was requested:\n%s", got.body)
	}
	got = l.post("/panel/request?more=1", "release", url, "s/name", "you", "k/headers/~20", "", "s/headers/~20", "x", "o/sites/~30", "1")
	if strings.Contains(got.body, "has no name") {
		t.Errorf("a name is missed while fields are added:\n%s", got.body)
	}
	got = l.post("/panel/request", "release", url, "title", "hello", "s/name", "you", "k/headers/~20", "", "s/headers/~20", "x")
	l.expectPage(got, 422, "headers: a value has no name")
	got = l.post("/panel/request", "release", url, "title", "hello", "s/name", "you", "i/ports", "80", "s/sites/~30/tls", "")
	l.expectPage(got, 422, "ports[0] must be at least 1024")
}

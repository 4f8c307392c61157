// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"slapos/proxy"
)

// TestRPCInput goes through PROXY-90, PROXY-91, PROXY-94 and the refusals of
// PROXY-92 and PROXY-127.
// SLAP-80, SLAP-81.
// D-18: each request is held to its schema.
func TestRPCInput(t *testing.T) {
	l := newLab(t, proxy.Options{})
	refused := func(status int, kind, title string) string {
		return `{"status": ` + map[int]string{400: "400", 403: "403"}[status] + `, "type": "` + kind + `", "title": "` + title + `"}`
	}
	const get, bang, supply, order = "slapos.get.v0.software_instance", "slapos.put.v0.software_instance_bang",
		"slapos.post.v0.software_installation", "slapos.post.v0.software_instance"
	for _, c := range []struct{ method, body, title string }{
		{get, `{}`, `'instance_guid' is a required property`},
		{get, `{"x": 1}`, `'instance_guid' is a required property`},
		{get, `{"instance_guid": "a", "x": 1}`, `Additional properties are not allowed ('x' was unexpected)`},
		{get, `{"instance_guid": "a", "y": 1, "x": 1}`, `Additional properties are not allowed ('x', 'y' were unexpected)`},
		{get, `{"instance_guid": 1}`, `1 is not of type 'string'`},
		{get, `{"instance_guid": [null, true, 1.5, {"a": "b"}]}`, `[None, True, 1.5, {'a': 'b'}] is not of type 'string'`},
		{get, `[]`, `[] is not of type 'object'`},
		{bang, `{"message": "m"}`, `'instance_guid' is a required property`},
		{supply, `{"computer_guid": "c", "software_release_uri": "u", "state": "bad"}`, `'bad' is not one of ['available', 'destroyed']`},
		{supply, `{"computer_guid": "c", "software_release_uri": "u", "state": 1}`, `1 is not one of ['available', 'destroyed']`},
		{order, `{"title": "` + strings.Repeat("i", 201) + `", "software_release_uri": "u", "software_type": "t"}`, `'` + strings.Repeat("i", 201) + `' is too long`},
		{order, `{"title": "t", "software_release_uri": "u", "software_type": "t", "sla_parameters": {"x": 1}}`, `1 is not of type 'string'`},
		{order, `{"title": "t", "software_release_uri": "u", "software_type": "t", "sla_parameters": {"retention_delay": "1"}}`, `'1' is not of type 'number'`},
		{order, `{"title": "t", "software_release_uri": "u", "software_type": "t", "shared": "yes"}`, `'yes' is not of type 'boolean'`},
		{"slapos.put.v0.compute_node_format", `{"computer_guid": "c", "compute_partition_list": [{}]}`, `'partition_id' is a required property`},
		{get, `{`, `The browser (or proxy) sent a request that this server could not understand.`},
		{get, ``, `The browser (or proxy) sent a request that this server could not understand.`},
	} {
		l.expect(l.rpc(c.method, c.body), 400, refused(400, "Bad Request", c.title))
	}
	l.expect(l.rpc(get, `{"instance_guid": "bad"}`), 403, refused(403, "Forbidden", "instance_guid bad not handled."))
	l.expect(l.rpc(get, `{"instance_guid": "a___b___x"}`), 403, refused(403, "Forbidden", "instance_guid a___b___x not handled."))
	l.expect(l.do("POST", "/"+get, "text/plain", "{}"), 415,
		`{"status": 415, "type": "Unsupported Media Type", "title": "Did not attempt to load JSON data because the request Content-Type was not 'application/json'."}`)
	if got := l.do("POST", "/slapos.get.v0.hateoas_url", "application/vnd.x+json; charset=utf-8", "{}"); got.status != 200 {
		t.Errorf("another JSON: %s", got)
	}
	for accept, status := range map[string]int{
		"application/json": 200, "*/*": 200, "application/*;q=0.1": 200, "text/html": 406, "application/json;q=0": 406,
		"text/html, application/json;q=0.5": 200, "": 200,
		"application/json;q=0, */*": 406, "*/*, application/json;q=0": 406, "application/json, */*;q=0": 200,
		"application/json;q=x": 200, "application/json;q=": 200, ",": 200,
	} {
		l.header = http.Header{"Accept": {accept}}
		if got := l.rpc("slapos.get.v0.hateoas_url", "{}"); got.status != status {
			t.Errorf("Accept %q: %s", accept, got)
		}
	}
}

// TestRPCOutput refuses to answer what the schema forbids: a state is kept as
// it was asked for (PROXY-45).
// D-18: so is each answer.
func TestRPCOutput(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	l.request("i", "state", "<marshal><string>foo</string></marshal>")
	const title = `{"status": 500, "type": "Internal Server Error", "title": "'foo' is not one of ['started', 'stopped', 'destroyed']"}`
	l.expect(l.rpc("slapos.get.v0.instance_tree", `{"title": "i"}`), 500, title)
	l.expect(l.rpc("slapos.allDocs.v0.compute_node_instance_list", `{"computer_guid": "local_computer"}`), 500, title)
}

// TestRPCNodes goes through the methods on computers, PROXY-105 to PROXY-126.
func TestRPCNodes(t *testing.T) {
	l := newLab(t, proxy.Options{})
	const unknown = `{"status": 403, "type": "Forbidden", "title": "local_computer is not registered."}`
	for _, c := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"slapos.allDocs.WIP.compute_node_list", `{}`, 200, `{"result_list": []}`},
		{"slapos.allDocs.v0.compute_node_software_installation_list", `{"computer_guid": "local_computer"}`, 403, unknown},
		{"slapos.allDocs.v0.compute_node_instance_list", `{"computer_guid": "local_computer"}`, 403, unknown},
		{"slapos.put.v0.compute_node_format", `{"computer_guid": "local_computer", "compute_partition_list": [
			{"partition_id": "p0", "ip_list": [{"ip-address": "10.0.0.1", "network-interface": "tap0", "more": 1}]}, {"partition_id": "p1"}]}`,
			200, `{"type": "success", "title": "Formatted"}`},
		{"slapos.allDocs.WIP.compute_node_list", `{}`, 200, `{"result_list": [{"computer_guid": "local_computer"}]}`},
		{"slapos.post.v0.software_installation", `{"computer_guid": "local_computer", "software_release_uri": "u"}`, 200, `{"type": "success", "title": "Supplied u to be available"}`},
		{"slapos.put.v0.software_installation_reported_state", `{"computer_guid": "local_computer", "software_release_uri": "u", "reported_state": "building"}`, 200, `{"type": "success", "title": "Ignored"}`},
		{"slapos.allDocs.v0.compute_node_software_installation_list", `{"computer_guid": "local_computer"}`, 200, `{"result_list": [{"software_release_uri": "u", "state": "available"}]}`}, // PROXY-127
		{"slapos.put.v0.software_installation_reported_state", `{"computer_guid": "local_computer", "software_release_uri": "u", "reported_state": "destroyed"}`, 200, `{"type": "success", "title": "Destroyed"}`},
		{"slapos.allDocs.v0.compute_node_software_installation_list", `{"computer_guid": "local_computer"}`, 200, `{"result_list": []}`},
		{"slapos.get.v0.compute_node_status", `{"computer_guid": "x"}`, 200, `{"text": "Unknown (not implemented)"}`},
		{"slapos.post.v0.compute_node_certificate", `{"computer_guid": "x"}`, 200, `{"key": "", "certificate": ""}`},            // PROXY-101
		{"slapos.remove.v0.compute_node_certificate", `{"computer_guid": "x"}`, 200, `{"type": "success", "title": "Ignored"}`}, // PROXY-102
		{"slapos.get.v0.software_instance_certificate", `{"instance_guid": "x"}`, 200, `{"key": "", "certificate": ""}`},        // PROXY-103
		{"slapos.put.v0.compute_node_bang", `{"computer_guid": "x", "message": "m"}`, 200, `{"type": "success", "title": "Ignored"}`},
		{"slapos.put.v0.software_instance_error", `{"instance_guid": "x", "message": "m"}`, 200, `{"type": "success", "title": "Ignored"}`},
		{"slapos.put.v0.software_installation_error", `{"computer_guid": "x", "software_release_uri": "u", "message": "m"}`, 200, `{"type": "success", "title": "Ignored"}`},
		{"slapos.get.v0.compute_partition", `{"computer_guid": "local_computer", "compute_partition_id": "p0"}`, 403, `{"status": 403, "type": "Forbidden", "title": "No instance on partition p0 found."}`},
	} {
		l.expect(l.rpc(c.method, c.body), c.status, c.want)
	}
}

// TestRPCInstances goes through the methods on instances, PROXY-111 to PROXY-123,
// with the names and documents of PROXY-92 and PROXY-93, the answers of PROXY-94
// and PROXY-127, and the JSON of PROXY-10.
func TestRPCInstances(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	instance := func(more string) string {
		return `{"software_release_uri": "` + release + `", "software_type": "default"` + more + `}`
	}
	forbidden := func(title string) string { return `{"status": 403, "type": "Forbidden", "title": "` + title + `"}` }
	done := func(title string) string { return `{"type": "success", "title": "` + title + `"}` }
	fresh := func(state, connection, parameters, time string) string {
		return `{"title": "fresh", "instance_guid": "fresh______0", "software_release_uri": "` + release + `", "software_type": "default", "state": "` + state +
			`", "connection_parameters": ` + connection + `, "parameters": ` + parameters + `, "shared": false, "root_instance_title": "fresh", ` +
			`"ip_list": [["tap0", "10.0.0.1"]], "full_ip_list": [], "sla_parameters": {}, "computer_guid": "local_computer", ` +
			`"compute_partition_id": "slappart0", "processing_timestamp": ` + time + `, "access_status_message": ""}`
	}
	shared := func(addresses string) string {
		return `{"title": "shr", "instance_guid": "shr______1", "software_release_uri": "` + release + `", "software_type": "default", "state": "started", ` +
			`"connection_parameters": {}, "parameters": {"z": "1"}, "shared": true, "root_instance_title": "shr", "ip_list": ` + addresses +
			`, "full_ip_list": [], "sla_parameters": {}, "computer_guid": "local_computer", "compute_partition_id": "slappart0", "processing_timestamp": T, "access_status_message": ""}`
	}
	for _, c := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"slapos.post.v0.software_instance", instance(`, "title": "fresh", "parameters": {"n": 1, "f": 1.0, "e": "\u00e9"}`), 200,
			fresh("started", "{}", `{"e": "\u00e9", "f": "1.0", "n": "1"}`, "T")},
		{"slapos.get.v0.instance_tree", `{"title": "fresh"}`, 200, fresh("started", "{}", `{"e": "\u00e9", "f": "1.0", "n": "1"}`, "T")},
		{"slapos.get.v0.instance_tree", `{"title": "nope"}`, 403, forbidden("No instance tree nope found.")},
		{"slapos.put.v0.software_instance_connection_parameter", `{"instance_guid": "fresh______0", "connection_parameter_dict": {"url": "u"}}`, 200, done("Updated")},
		{"slapos.put.v0.software_instance_connection_parameter", `{"instance_guid": "nope______0", "connection_parameter_dict": {}}`, 200, done("Updated")},
		{"slapos.post.v0.software_instance", instance(`, "title": "fresh", "state": "destroyed"`), 200, fresh("destroyed", `{"url": "u"}`, "{}", "T")},
		{"slapos.get.v0.software_instance", `{"instance_guid": "fresh______0"}`, 200, fresh("destroyed", `{"url": "u"}`, "{}", "T")},
		{"slapos.post.v0.software_instance", instance(`, "title": "shr", "shared": true, "parameters": {"z": "1"}`), 200, shared(`[["tap0", "10.0.0.1"]]`)},
		{"slapos.get.v0.software_instance", `{"instance_guid": "shr______1"}`, 200, shared("[]")},
		{"slapos.get.v0.instance_tree", `{"title": "shr"}`, 200, shared("[]")},
		{"slapos.get.v0.software_instance", `{"instance_guid": "nope______1"}`, 403, forbidden("No shared instance nope______1 found.")},
		{"slapos.get.v0.software_instance", `{"instance_guid": "nope______0"}`, 403, forbidden("No software instance nope______0 found.")},
		{"slapos.allDocs.v0.instance_node_instance_list", `{"instance_guid": "fresh______0"}`, 200,
			`{"result_list": [{"title": "shr", "instance_guid": "shr______1", "software_type": "default", "state": "started", "parameters": {"z": "1"}, "compute_partition_id": "slappart0"}]}`},
		{"slapos.allDocs.v0.instance_node_instance_list", `{"instance_guid": "shr______1"}`, 403, forbidden("No software instance shr______1 found.")},
		{"slapos.allDocs.v0.instance_tree_list", `{}`, 200, `{"result_list": [{"title": "fresh"}, {"title": "shr"}]}`},
		{"slapos.allDocs.v0.compute_node_instance_list", `{"computer_guid": "local_computer"}`, 200,
			`{"result_list": [{"title": "fresh", "instance_guid": "fresh______0", "state": "destroyed", "compute_partition_id": "slappart0", "software_release_uri": "` + release + `"}]}`},
		{"slapos.put.v0.software_instance_title", `{"instance_guid": "shr______1", "title": "x"}`, 403, forbidden("NotImplemented")},
		{"slapos.put.v0.software_instance_bang", `{"instance_guid": "shr______1", "message": "m"}`, 403, forbidden("NotImplemented")},
		{"slapos.put.v0.software_instance_bang", `{"instance_guid": "fresh______0", "message": "m"}`, 200, done("Bang handled")},
		{"slapos.put.v0.software_instance_title", `{"instance_guid": "nope______0", "title": "x"}`, 200, done("Renamed")},
		{"slapos.put.v0.software_instance_reported_state", `{"instance_guid": "shr______1", "reported_state": "destroyed"}`, 200, done("Ignored")},
		{"slapos.put.v0.software_instance_reported_state", `{"instance_guid": "fresh______0", "reported_state": "stopped"}`, 200, done("Ignored")},
		{"slapos.put.v0.software_instance_reported_state", `{"instance_guid": "nope______0", "reported_state": "destroyed"}`, 403, forbidden("No software instance nope______0 found.")},
		{"slapos.put.v0.software_instance_reported_state", `{"instance_guid": "fresh______0", "reported_state": "destroyed"}`, 200, done("Destroyed")},
		{"slapos.post.v0.software_instance", instance(`, "title": "js", "sla_parameters": {"computer_guid": "elsewhere"}`), 403, forbidden("No free computer partition found for: js")},
	} {
		got := l.rpc(c.method, c.body)
		got.body = timestamps.ReplaceAllString(got.body, "${1}T")
		l.expect(got, c.status, c.want)
	}
}

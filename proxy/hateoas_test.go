// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// TestHateoas goes through PROXY-130 to 134, and the JSON of PROXY-10.
func TestHateoas(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.header = http.Header{"Host": {"127.0.0.1:15001"}}
	address, netmask := "12.34.56.78", "255.255.255.255"
	if err := l.LoadComputer(t.Context(), store.ComputerDescription{Reference: "local_computer", Address: &address, Netmask: &netmask,
		Partitions: []store.PartitionDescription{{Reference: "slappart0"}, {Reference: "slappart1"}}}); err != nil {
		t.Fatal(err)
	}
	l.request("fr/e sh", "state", marshal(t, "destroyed"))
	l.request("shr", "shared_xml", marshal(t, true), "partition_parameter_xml", marshal(t, slap.Dict{"k": "v"}))
	times := regexp.MustCompile(`"timestamp":[0-9.]+`)
	const (
		services = `portal_type:"Instance Tree" AND validation_state:validated`
		nodes    = `portal_type:"Compute Node" AND validation_state:validated`
		fresh    = `{"computer_reference":"local_computer","connection_xml":null,"partition_reference":"fr/e sh","reference":"slappart0",` +
			`"relative_url":"/hateoas/partitions/fr/e%20sh","requested_by":"","requested_state":"destroyed","requester_id":"user","slap_state":"busy",` +
			`"slave_instance_list":"<marshal><list id=\"i2\"><dictionary id=\"i3\"><string>k</string><string>v</string><string>slap_software_type</string><string>default</string>` +
			`<string>slave_reference</string><string>_shr</string><string>slave_title</string><string>_shr</string></dictionary></list></marshal>",` +
			`"software_release":"` + release + `","software_type":"default","timestamp":T,"title":"fr/e sh","url_string":"` + release + `",` +
			`"xml":"<?xml version='1.0' encoding='utf-8'?>\n<instance/>\n"}`
		shared = `{"relative_url":"/hateoas/shared/shr","title":"shr","url_string":"` + release + `"}`
		node   = `{"address":"12.34.56.78","netmask":"255.255.255.255","reference":"local_computer","relative_url":"/hateoas/computers/local_computer","title":"local_computer"}`
	)
	contents := func(rows string) string { return `{"_embedded":{"contents":[` + rows + `]}}` + "\n" }
	for _, c := range []struct{ query, want string }{
		{services, contents(fresh + "," + shared)},
		{services + ` AND title:="fr/e sh"`, contents(fresh)},
		{services + ` AND title:="shr"`, contents(shared)},
		{services + ` AND title:="nope"`, contents("")},
		{nodes, contents(node)},
		{nodes + ` AND reference:="local_computer"`, contents(node)},
		{nodes + ` AND reference:="nope"`, contents("")},
	} {
		got := l.get("/hateoas/?mode=search&select_list=title&query=" + url.QueryEscape(c.query))
		got.body = times.ReplaceAllString(got.body, `"timestamp":T`)
		l.expect(got, 200, c.want)
	}
	for _, query := range []string{"bad", services + ` AND title:=x`, services + ` AND title:="x"y"`, nodes + ` AND reference:="x`} {
		if got := l.get("/hateoas/?mode=search&query=" + url.QueryEscape(query)); got.status != 400 {
			t.Errorf("%s: %s", query, got)
		}
	}
	l.expect(l.get("/hateoas/?mode=search"), 400, "The browser (or proxy) sent a request that this server could not understand.")
	l.expect(l.get("/hateoas/?mode=zz"), 400, "Unhandled mode: zz")
	l.expect(l.get("/hateoas/"), 200, `{"_links":{"raw_search":{"href":"http://127.0.0.1:15001/hateoas/?mode=search&query={query}&select_list={select_list}"},`+
		`"traverse":{"href":"http://127.0.0.1:15001/hateoas/?mode=traverse&relative_url={relative_url}&view={view}"}}}`+"\n")

	view := func(title, state, parameters, kind, shared string) string {
		field := func(kind, name, value string) string {
			return `"my_` + name + `":{"default":` + value + `,"key":"field_my_` + name + `","type":"` + kind + `Field"}`
		}
		return `{"_embedded":{"_view":{"form_id":{"default":"InstanceTree_viewAsHateoas","key":"form_id","type":"StringField"},` +
			field("String", "connection_parameter_list", "null") + "," + field("String", "reference", `"`+title+`"`) + "," +
			field("Integer", "root_slave", shared) + "," + field("String", "slap_state", `"`+state+`"`) + "," +
			field("String", "source_reference", `"`+kind+`"`) + "," + field("String", "text_content", `"`+parameters+`"`) + "," +
			field("String", "url_string", `"`+release+`"`) + `}},"_links":{"type":{"name":"Instance Tree"}}}` + "\n"
	}
	const declaration = `<?xml version='1.0' encoding='utf-8'?>\n`
	// What the original doesn't have stands in a field of its own.
	news := regexp.MustCompile(`"my_news":\{"default":.*?"type":"StringField"\},`)
	look := func(path string) answer {
		t.Helper()
		got := l.get(path)
		if !news.MatchString(got.body) {
			t.Errorf("%s has no news: %s", path, got)
		}
		got.body = news.ReplaceAllString(got.body, "")
		return got
	}
	l.expect(look("/hateoas/partitions/fr/e%20sh"), 200, view("fr/e sh", "destroyed", declaration+`<instance/>\n`, "default", "0"))
	l.expect(look("/hateoas/shared/shr"), 200, view("shr", "unused", declaration+`<instance>\n  <parameter id=\"k\">v</parameter>\n</instance>\n`, "default", "1"))
	l.expect(look("/hateoas/computers/local_computer"), 200, `{"_embedded":{"_view":{"form_id":{"default":"local_computer","key":"computer","type":"StringField"},`+
		`"my_reference":{"default":"local_computer","key":"reference","type":"StringField"},"my_title":{"default":"local_computer","key":"reference","type":"StringField"}}},`+
		`"_links":{"type":{"name":"Computer"}}}`+"\n")
	for _, path := range []string{"partitions/nope", "shared/nope", "computers/nope", "partitions/", "partitions", "other/x"} {
		if got := l.get("/hateoas/" + path); got.status != 404 {
			t.Errorf("%s: %s", path, got)
		}
	}
	for target, location := range map[string]string{
		"/hateoas/partitions/fresh": "/hateoas/partitions/fresh", "a b": "a%20b", "é?x=%26": "%C3%A9?x=%26", "/a\r\nX: y": "/a%0D%0AX:%20y",
	} {
		got := l.get("/hateoas/?mode=traverse&relative_url=" + url.QueryEscape(target))
		if got.status != 302 || got.header.Get("Location") != location {
			t.Errorf("traverse %q: %d %q", target, got.status, got.header.Get("Location"))
		}
	}
	// A shared instance that is gone doesn't spoil the list.
	l.request("shr", "shared_xml", marshal(t, true), "state", marshal(t, "destroyed"))
	if got := l.get("/hateoas/shared/shr"); got.status != 404 {
		t.Errorf("destroyed: %s", got)
	}
	l.expect(l.get("/hateoas/?mode=search&query="+url.QueryEscape(services+` AND title:="shr"`)), 200, contents(""))
}

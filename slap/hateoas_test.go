// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

const (
	fresh = `{"_embedded":{"_view":{"form_id":{"default":"InstanceTree_viewAsHateoas","key":"form_id","type":"StringField"},` +
		`"my_connection_parameter_list":{"default":%s,"key":"k","type":"StringField"},` +
		`"my_reference":{"default":"fresh","key":"k","type":"StringField"},` +
		`"my_root_slave":{"default":0,"key":"k","type":"IntegerField"},` +
		`"my_slap_state":{"default":"destroyed","key":"k","type":"StringField"},` +
		`"my_source_reference":{"default":"default","key":"k","type":"StringField"},` +
		`"your_text_content":{"default":"<instance><parameter id=\"_\">{&quot;a&quot;: [1]}</parameter></instance>","key":"k","type":"TextAreaField"},` +
		`"my_url_string":{"default":"http://example.com/sr.cfg","key":"k","type":"StringField"},` +
		`"my_news":{"default":{"instance":[{"text":"#access ok"}]},"key":"k","type":"StringField"},` +
		`"my_list":{"default":[],"key":"k","type":"ListBox"},"other":{"type":"StringField"}}},` +
		`"_links":{"type":{"name":"Instance Tree"},"parent":{"href":"urn:x/a/b/c"}}}`
	localComputer = `{"_embedded":{"_view":{"form_id":{"default":"local_computer","key":"computer","type":"StringField"},` +
		`"my_reference":{"default":"local_computer","key":"reference","type":"StringField"},` +
		`"my_title":{"default":"My Computer","key":"title","type":"StringField"},` +
		`"my_news":{"key":"news","type":"StringField","default":{"computer":{"text":"#access fine"},"partition":{"p0":{"text":"#error bad"}}}}}},` +
		`"_links":{"type":{"name":"Computer"}}}`
)

// hateoasServer is a Master with the given templates appended to its address.
func hateoasServer(t *testing.T, search, traverse, more string) (*httptest.Server, *[]string) {
	var asked []string
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		query := r.URL.Query()
		switch {
		case r.URL.Path == "/getHateoasUrl":
			_, _ = io.WriteString(w, server.URL+"/hateoas/\n")
		case query.Get("mode") == "search":
			_, _ = io.WriteString(w, searchAnswer(query.Get("query")))
		case query.Get("mode") == "traverse":
			http.Redirect(w, r, query.Get("relative_url"), http.StatusFound)
		case r.URL.Path == "/hateoas/partitions/fresh":
			_, _ = fmt.Fprintf(w, fresh, "null")
		case r.URL.Path == "/hateoas/partitions/listed":
			_, _ = fmt.Fprintf(w, fresh, `[{"connection_key":"url","connection_value":"http://u"}]`)
		case r.URL.Path == "/hateoas/partitions/stored":
			_, _ = fmt.Fprintf(w, fresh, `"<instance><parameter id=\"url\">http://s</parameter></instance>"`)
		case r.URL.Path == "/hateoas/computers/local_computer":
			_, _ = io.WriteString(w, localComputer)
		case r.URL.Path == "/hateoas/computer_module/Base_getComputerToken":
			_, _ = io.WriteString(w, `{"access_token": "T"}`)
		case r.URL.Path == "/hateoas/" && r.Header.Get("Cache-Control") == "no-cache":
			_, _ = fmt.Fprintf(w, `{"_links":{"raw_search":{"href":"%[1]s%[2]s"},"traverse":{"href":"%[1]s%[3]s"}%[4]s}}`,
				server.URL, search, traverse, strings.ReplaceAll(more, "@", server.URL))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server, &asked
}

func searchAnswer(query string) string {
	rows := map[string]string{
		queryServices: `{"title":"fresh","url_string":"http://example.com/sr.cfg"},{"title":"shr","url_string":"http://o"},` +
			`{"title":"fresh","url_string":"http://new"}`,
		queryServices + ` AND title:="fresh"`:                                     `{"title":"fresh","relative_url":"/hateoas/partitions/fresh"}`,
		queryServices + ` AND title:="listed"`:                                    `{"title":"listed","relative_url":"/hateoas/partitions/listed"}`,
		queryServices + ` AND title:="stored"`:                                    `{"title":"stored","relative_url":"/hateoas/partitions/stored"}`,
		queryServices + ` AND title:="two"`:                                       `{"title":"two"},{"title":"two"}`,
		queryServices + ` AND title:="like"`:                                      `{"title":"alike"}`,
		queryComputers:                                                            `{"title":"My Computer","reference":"local_computer"}`,
		queryComputers + ` AND reference:="COMP"`:                                 `{"title":"x","reference":"COMP","relative_url":"/hateoas/computers/local_computer"}`,
		queryInstallations:                                                        `{"uid":1,"url_string":"u","SoftwareInstallation_getNewsDict":{"text":"#access built"}}`,
		queryInstances + ` AND default_specialise_title:="fresh"`:                 `{"uid":1,"title":"root"}`,
		queryInstallations + ` AND default_aggregate_reference:="local_computer"`: `{"url_string":"other"}`,
	}
	return `{"_embedded":{"contents":[` + rows[query] + `]}}`
}

const (
	proxySearch    = "/hateoas/?mode=search&query={query}&select_list={select_list}"
	proxyTraverse  = "/hateoas/?mode=traverse&relative_url={relative_url}&view={view}"
	masterSearch   = "/hateoas/?mode=search{&query,select_list*,limit*,group_by*,sort_on*,local_roles*,selection_domain*}"
	masterTraverse = "/hateoas/?mode=traverse{&relative_url,view}"
)

// SLAP-72, SLAP-74, SLAP-75; the root document is requested with the header of
// SLAP-3.
func TestHateoas(t *testing.T) {
	server, asked := hateoasServer(t, proxySearch, proxyTraverse, "")
	c := newTestClient(t, ClientConfig{MasterURL: "http://127.0.0.1:1", RESTURL: server.URL + "/hateoas"})
	h, err := c.Hateoas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(*asked) != 0 {
		t.Errorf("asked too early: %v", *asked)
	}
	services, err := h.Services(t.Context())
	if want := []Service{{"fresh", "http://new"}, {"shr", "http://o"}}; err != nil || !reflect.DeepEqual(services, want) {
		t.Errorf("services %v, %v, want %v", services, err, want)
	}
	info, err := h.Service(t.Context(), "fresh")
	if err != nil {
		t.Fatal(err)
	}
	if info.SoftwareReleaseURL != exampleURL || info.SoftwareType != "default" || info.Shared || info.RequestedState != "destroyed" ||
		!reflect.DeepEqual(info.Parameters, Dict{"_": map[string]any{"a": []any{1.0}}}) || len(info.ConnectionParameters) != 0 ||
		string(info.News) != `[{"text":"#access ok"}]` {
		t.Errorf("service %#v", info)
	}
	if info.PortalType != "Instance Tree" || info.ParentURL != "b/c" || info.FormID != "InstanceTree_viewAsHateoas" || len(info.Fields) != 8 {
		t.Errorf("document %#v", info.Document)
	}
	want := []string{ // SLAP-70, SLAP-73
		"/hateoas/",
		"/hateoas/?mode=search&query=portal_type%3A%22Instance%20Tree%22%20AND%20validation_state%3Avalidated&select_list=title,url_string",
		"/hateoas/?mode=search&query=portal_type%3A%22Instance%20Tree%22%20AND%20validation_state%3Avalidated%20AND%20title%3A%3D%22fresh%22&select_list=title,relative_url",
		"/hateoas/?mode=traverse&relative_url=%2Fhateoas%2Fpartitions%2Ffresh&view=slaposjs_view",
		"/hateoas/partitions/fresh",
	}
	if !reflect.DeepEqual(*asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(*asked, "\n"), strings.Join(want, "\n"))
	}
	for title, url := range map[string]string{"listed": "http://u", "stored": "http://s"} {
		if info, err := h.Service(t.Context(), title); err != nil || info.ConnectionParameters["url"] != url {
			t.Errorf("%s: %v, %v", title, info, err)
		}
	}
	for _, title := range []string{"none", "like"} {
		if _, err := h.Service(t.Context(), title); !errors.Is(err, ErrNotFound) || err.Error() != "This document does not exist." {
			t.Errorf("%s: %v", title, err)
		}
	}
	if _, err := h.Service(t.Context(), "two"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("two of them: %v", err)
	}
	if _, err := h.Token(t.Context()); err == nil { // SLAP-76
		t.Error("a proxy gave a token")
	}
	if _, err := h.Me(t.Context()); err == nil {
		t.Error("a proxy knows who we are")
	}
}

// SLAP-74, SLAP-77.
func TestHateoasOfMaster(t *testing.T) {
	ctx := t.Context()
	server, asked := hateoasServer(t, masterSearch, masterTraverse,
		`,"self":{"href":"@/hateoas"},"me":{"href":"urn:jio:get:/hateoas/computers/local_computer"}`)
	c := newTestClient(t, ClientConfig{MasterURL: server.URL}) // SLAP-40: the Master says where
	h, err := c.Hateoas(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Hateoas(ctx); again != h || err != nil {
		t.Errorf("asked again: %v", err)
	}
	computers, err := h.Computers(ctx)
	if want := []ComputerSummary{{"My Computer", "local_computer"}}; err != nil || !reflect.DeepEqual(computers, want) {
		t.Errorf("computers %v, %v", computers, err)
	}
	if search := (*asked)[len(*asked)-1]; !strings.HasSuffix(search, "&select_list=title&select_list=reference&limit=40") {
		t.Errorf("search %s", search)
	}
	info, err := h.Computer(ctx, "COMP")
	if err != nil || info.Title != "My Computer" || info.Reference != "local_computer" {
		t.Errorf("computer %#v, %v", info, err)
	}
	if _, err := h.Computer(ctx, "x"); !errors.Is(err, ErrNotFound) || err.Error() != "This computer does not exist." {
		t.Errorf("unknown computer: %v", err)
	}
	if token, err := h.Token(ctx); token != "T" || err != nil {
		t.Errorf("token %q, %v", token, err)
	}
	if me, err := h.Me(ctx); err != nil || me.Text("title") != "My Computer" {
		t.Errorf("me %v, %v", me, err)
	}
	if rows, err := h.Instances(ctx, "fresh"); err != nil || len(rows) != 1 || rows[0].Text("title") != "root" {
		t.Errorf("instances %v, %v", rows, err)
	}
	for _, test := range []struct {
		call func() (string, error)
		want string
	}{
		{func() (string, error) { return h.ComputerNews(ctx, "COMP") }, "#access fine"},
		{func() (string, error) { return h.PartitionNews(ctx, PartitionID{"COMP", "p0"}) }, "#error bad"},
		{func() (string, error) { return h.PartitionNews(ctx, PartitionID{"COMP", "p1"}) }, noNews},
		{func() (string, error) { return h.InstallationNews(ctx, "", "u") }, "#access built"},
		{func() (string, error) { return h.InstallationNews(ctx, "local_computer", "u") }, noNews},
	} {
		if got, err := test.call(); err != nil || got != test.want {
			t.Errorf("news %q, %v, want %q", got, err, test.want)
		}
	}
}

func TestNoHateoas(t *testing.T) {
	server := newRecorder(t, map[string]string{"empty/getHateoasUrl": "", "html/getHateoasUrl": "<html>"})
	for _, base := range []string{server.URL, server.URL + "/empty", server.URL + "/html"} {
		c := newTestClient(t, ClientConfig{MasterURL: base})
		_, err := c.Hateoas(t.Context())
		if !errors.Is(err, ErrNoHateoas) || err.Error() != "SlapOS Master Hateoas API required for this operation is not available." {
			t.Errorf("%s: %v", base, err)
		}
	}
	away := newTestClient(t, ClientConfig{MasterURL: "http://127.0.0.1:1", Origin: "the key"})
	if _, err := away.Hateoas(t.Context()); !errors.Is(err, ErrConnection) || !strings.Contains(err.Error(), "(the key)") {
		t.Errorf("a master that is away: %v", err)
	}
	broken := newTestClient(t, ClientConfig{MasterURL: server.URL, RESTURL: server.URL})
	h, err := broken.Hateoas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Services(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("no root document: %v", err)
	}
}

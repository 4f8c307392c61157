// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"errors"
	"net/http"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// The queries that clients make, word for word (SLAP-73).
const (
	queryServices = `portal_type:"Instance Tree" AND validation_state:validated`
	queryService  = queryServices + ` AND title:=`
	queryNodes    = `portal_type:"Compute Node" AND validation_state:validated`
	queryNode     = queryNodes + ` AND reference:=`
)

// hateoas answers what "slapos service" and "slapos computer" ask.
func (p *Proxy) hateoas(w http.ResponseWriter, r *http.Request) error {
	path := strings.TrimPrefix(r.URL.Path, "/hateoas/")
	kind, name, _ := strings.Cut(path, "/")
	switch {
	case path == "":
		return p.hateoasRoot(w, r)
	case name == "":
		return errNoPage
	case kind == "partitions":
		return p.hateoasPartition(w, r, name)
	case kind == "shared":
		return p.hateoasShared(w, r, name)
	case kind == "computers":
		return p.hateoasComputer(w, r, name)
	}
	return errNoPage
}

func writeHateoas(w http.ResponseWriter, value any) error {
	body, err := pyjson.Compact.Append(nil, value)
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, append(body, '\n'))
	return nil
}

func (p *Proxy) hateoasRoot(w http.ResponseWriter, r *http.Request) error {
	query := queryOf(r)
	if !query.has("mode") {
		base := originOf(r).url("/hateoas/")
		return writeHateoas(w, slap.Dict{"_links": slap.Dict{
			"raw_search": slap.Dict{"href": base + "?mode=search&query={query}&select_list={select_list}"},
			"traverse":   slap.Dict{"href": base + "?mode=traverse&relative_url={relative_url}&view={view}"},
		}})
	}
	switch mode := query.get("mode"); mode {
	case "search":
		return p.hateoasSearch(w, r, query)
	case "traverse":
		var target string
		if err := query.mandatory("relative_url", &target); err != nil {
			return err
		}
		// A header is ASCII, without blanks in an address.
		redirect(w, http.StatusFound, escape(target, func(i int) bool { return target[i] > ' ' && target[i] < 0x7F }))
		return nil
	default:
		return refuse(http.StatusBadRequest, "Unhandled mode: %s", mode)
	}
}

func (p *Proxy) hateoasSearch(w http.ResponseWriter, r *http.Request, query fields) error {
	var text string
	if err := query.mandatory("query", &text); err != nil {
		return err
	}
	contents, err := p.search(r, text)
	if err != nil {
		return err
	}
	return writeHateoas(w, slap.Dict{"_embedded": slap.Dict{"contents": contents}})
}

// search runs one of the known queries (PROXY-131).
func (p *Proxy) search(r *http.Request, query string) ([]any, error) {
	prefix := originOf(r).prefix
	if query == queryServices {
		roots, err := p.store.List(r.Context(), store.Roots())
		if err != nil {
			return nil, err
		}
		return append(partitionRows(prefix, roots), sharedRows(prefix, roots)...), nil
	}
	if value, ok := strings.CutPrefix(query, queryService); ok && isQuoted(value) {
		title := strings.Trim(value, `"`)
		selection := store.RootsTitled(title)
		if title == "" {
			selection = store.Roots()
		}
		roots, err := p.store.List(r.Context(), selection)
		if err != nil {
			return nil, err
		}
		if rows := partitionRows(prefix, roots); len(rows) > 0 {
			return rows, nil
		}
		return sharedRows(prefix, roots), nil
	}
	if query == queryNodes {
		return p.computerRows(r, prefix, func(store.Computer) bool { return true })
	}
	if value, ok := strings.CutPrefix(query, queryNode); ok && isQuoted(value) {
		wanted := strings.Trim(value, `"`)
		return p.computerRows(r, prefix, func(c store.Computer) bool { return wanted == "" || c.Reference == wanted })
	}
	if rows, known, err := p.searchNews(r, prefix, query); known {
		return rows, err
	}
	return nil, refuse(http.StatusBadRequest, "Unhandled query: %s", query)
}

// isQuoted reports whether a value is a single text in double quotes.
func isQuoted(value string) bool {
	inner, ok := strings.CutPrefix(value, `"`)
	if inner, ok2 := strings.CutSuffix(inner, `"`); ok && ok2 {
		return !strings.Contains(inner, `"`)
	}
	return false
}

func partitionRows(prefix string, roots []*store.Instance) []any {
	rows := []any{}
	for _, i := range roots {
		if i.Shared {
			continue
		}
		p := i.Partition
		rows = append(rows, slap.Dict{
			"reference": p.ID.Partition, "computer_reference": p.ID.Computer, "slap_state": "busy",
			"software_release": p.SoftwareRelease, "software_type": p.SoftwareType,
			"xml": p.Parameters, "connection_xml": p.Connection, "slave_instance_list": p.Shared,
			"partition_reference": p.Title, "requested_by": p.Root, "requester_id": p.Requester,
			"requested_state": p.State, "timestamp": p.Timestamp,
			"title": p.Title, "url_string": p.SoftwareRelease,
			"relative_url": prefix + "/hateoas/partitions/" + quote(p.Title),
		})
	}
	return rows
}

func sharedRows(prefix string, roots []*store.Instance) []any {
	rows := []any{}
	for _, i := range roots {
		if !i.Shared || !i.Hosted() {
			continue
		}
		rows = append(rows, slap.Dict{
			"title": i.Title, "url_string": i.Partition.SoftwareRelease,
			"relative_url": prefix + "/hateoas/shared/" + quote(i.Title),
		})
	}
	return rows
}

func (p *Proxy) computerRows(r *http.Request, prefix string, wanted func(store.Computer) bool) ([]any, error) {
	computers, err := p.store.Computers(r.Context())
	rows := []any{}
	for _, c := range computers {
		if !wanted(c) {
			continue
		}
		rows = append(rows, slap.Dict{
			"address": c.Address, "netmask": c.Netmask, "reference": c.Reference, "title": c.Reference,
			"relative_url": prefix + "/hateoas/computers/" + quote(c.Reference),
		})
	}
	return rows, err
}

func (p *Proxy) hateoasPartition(w http.ResponseWriter, r *http.Request, title string) error {
	instances, err := p.store.List(r.Context(), store.Titled(title))
	if err != nil {
		return err
	}
	if len(instances) == 0 {
		return errNoPage
	}
	partition := instances[0].Partition
	tree := instances[:1]
	if partition.Root == "" {
		below, err := p.store.List(r.Context(), store.InTree(title))
		if err != nil {
			return err
		}
		tree = append(tree, below...)
	}
	news, err := p.serviceNews(r, title, tree)
	if err != nil {
		return err
	}
	return writeService(w, partition, service{
		title: title, state: partition.State, kind: partition.SoftwareType,
		parameters: partition.Parameters, connection: partition.Connection, news: news,
	})
}

func (p *Proxy) hateoasShared(w http.ResponseWriter, r *http.Request, title string) error {
	instance, err := p.store.Instance(r.Context(), store.Name{Title: title, Shared: true})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoHost) {
		return errNoPage
	}
	if err != nil {
		return err
	}
	parameters, err := slap.EncodeInstance(instance.Parameters)
	if err != nil {
		return err
	}
	news, err := p.serviceNews(r, title, []*store.Instance{instance})
	if err != nil {
		return err
	}
	text := string(parameters)
	return writeService(w, instance.Partition, service{
		title: title, state: "unused", kind: instance.SoftwareType,
		parameters: &text, connection: instance.ConnectionXML, shared: 1, news: news,
	})
}

// service is an instance tree as HATEOAS shows it (PROXY-133).
type service struct {
	title, state, kind     string
	parameters, connection *string
	shared                 int
	news                   slap.Dict
}

func writeService(w http.ResponseWriter, partition *store.Partition, s service) error {
	view := slap.Dict{"form_id": formField("StringField", "form_id", "InstanceTree_viewAsHateoas")}
	text := func(name string, value any) { view["my_"+name] = formField("StringField", "field_my_"+name, value) }
	text("reference", s.title)
	text("slap_state", s.state)
	text("text_content", s.parameters)
	text("connection_parameter_list", s.connection)
	text("url_string", partition.SoftwareRelease)
	text("source_reference", s.kind)
	text("news", s.news)
	view["my_root_slave"] = formField("IntegerField", "field_my_root_slave", s.shared)
	return writeView(w, view, "Instance Tree")
}

func formField(kind, key string, value any) slap.Dict {
	return slap.Dict{"type": kind, "key": key, "default": value}
}

func writeView(w http.ResponseWriter, view slap.Dict, kind string) error {
	return writeHateoas(w, slap.Dict{
		"_embedded": slap.Dict{"_view": view},
		"_links":    slap.Dict{"type": slap.Dict{"name": kind}},
	})
}

func (p *Proxy) hateoasComputer(w http.ResponseWriter, r *http.Request, reference string) error {
	found, err := p.computerRows(r, "", func(c store.Computer) bool { return c.Reference == reference })
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errNoPage
	}
	news, err := p.computerNews(r, reference)
	if err != nil {
		return err
	}
	return writeView(w, slap.Dict{
		"my_news":      formField("StringField", "news", news),
		"form_id":      formField("StringField", "computer", reference),
		"my_reference": formField("StringField", "reference", reference),
		"my_title":     formField("StringField", "reference", reference),
	}, "Computer")
}

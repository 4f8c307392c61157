// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"net/http"
	"strings"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

// The further queries that clients make, which slapproxy has no answer for
// (SLAP-73).
const (
	queryInstances     = `portal_type:("Software Instance", "Slave Instance") AND validation_state:validated AND default_specialise_title:=`
	queryInstallations = `portal_type:"Software Installation" AND validation_state:validated`
	queryInstallation  = queryInstallations + ` AND default_aggregate_reference:=`
)

// newsOf is what clients are told about something, in the form of a SlapOS Master:
// they look at the beginning of its text, "#access" for what is as it should be and
// "#error" for what isn't (PROXY-193).
func newsOf(kind, reference, title string, a store.Actual) slap.Dict {
	text, none := string(a.Condition), 0
	switch a.Condition {
	case slap.ConditionRunning, slap.ConditionStopped, slap.ConditionAvailable, slap.ConditionUp:
		text = "#access " + text
	}
	if a.NeedsAttention() {
		text = "#error " + text
	}
	if a.Message != "" {
		text += ": " + a.Message
	}
	if a.Reported == 0 {
		none = 1
	}
	return slap.Dict{
		"portal_type": kind, "reference": reference, "title": title, "text": text, "state": string(a.Condition),
		"created_at": newsTime(a.Reported), "since": newsTime(a.Since), "user": reference, "no_data": none,
	}
}

// newsTime is a time as Masters write it, "" for an unknown one.
func newsTime(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(int64(seconds), 0).UTC().Format(http.TimeFormat)
}

// treeInstances are the root with that title and all below it; shared ones only as
// roots.
func (p *Proxy) treeInstances(r *http.Request, title string) ([]*store.Instance, error) {
	roots, err := p.store.List(r.Context(), store.RootsTitled(title))
	if err != nil {
		return nil, err
	}
	below, err := p.store.List(r.Context(), store.InTree(title))
	if err != nil {
		return nil, err
	}
	var list []*store.Instance
	for _, i := range append(roots, below...) {
		if i.Partition != nil {
			list = append(list, i)
		}
	}
	return list, nil
}

// instanceNews has the news of each instance, in their order.
func (p *Proxy) instanceNews(r *http.Request, list []*store.Instance) ([]slap.Dict, error) {
	news := []slap.Dict{}
	if len(list) == 0 {
		return news, nil
	}
	var computers []string
	for _, i := range list {
		computers = append(computers, i.Partition.ID.Computer)
	}
	c, err := p.store.Conditions(r.Context(), computers...)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		kind, reference := "Software Instance", i.Partition.ID.Computer+"-"+i.Partition.ID.Partition
		if i.Shared {
			kind, reference = "Slave Instance", i.Reference()
		}
		news = append(news, newsOf(kind, reference, i.Title, c.Of(i)))
	}
	return news, nil
}

// serviceNews is the field news of an instance tree.
func (p *Proxy) serviceNews(r *http.Request, title string, list []*store.Instance) (slap.Dict, error) {
	news, err := p.instanceNews(r, list)
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, item := range news {
		items = append(items, item)
	}
	return slap.Dict{"portal_type": "Instance Tree", "title": title, "reference": title, "instance": items}, nil
}

// computerNews is the field news of a computer.
func (p *Proxy) computerNews(r *http.Request, reference string) (slap.Dict, error) {
	node, err := p.store.Node(r.Context(), reference)
	if err != nil {
		return nil, err
	}
	c, err := p.store.Conditions(r.Context(), reference)
	if err != nil {
		return nil, err
	}
	partitions := slap.Dict{}
	for _, partition := range node.Partitions {
		if partition.Busy {
			partitions[partition.ID.Partition] = newsOf("Software Instance", reference+"-"+partition.ID.Partition, partition.Title, c.Instance(partition))
		}
	}
	return slap.Dict{
		"portal_type": "Compute Node", "title": reference, "reference": reference,
		"computer": newsOf("Compute Node", reference, reference, c.Node(reference)), "partition": partitions,
	}, nil
}

// instanceRows are the instances of a tree.
func (p *Proxy) instanceRows(r *http.Request, prefix, title string) ([]any, error) {
	list, err := p.treeInstances(r, title)
	if err != nil {
		return nil, err
	}
	news, err := p.instanceNews(r, list)
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for n, i := range list {
		kind, at, parameters, connection := "Software Instance", "partitions", i.Parameters, i.Connection
		if i.Shared {
			kind, at = "Slave Instance", "shared"
		} else {
			// A list has the documents alone.
			if parameters, err = i.Partition.ParameterDict(); err != nil {
				return nil, err
			}
			if connection, err = i.Partition.ConnectionDict(); err != nil {
				return nil, err
			}
		}
		document, err := slap.EncodeInstance(parameters)
		if err != nil {
			return nil, err
		}
		rows = append(rows, slap.Dict{
			"uid": rpcGUID(i.Name), "title": i.Title, "relative_url": prefix + "/hateoas/" + at + "/" + quote(i.Title), "portal_type": kind,
			"url_string": i.Partition.SoftwareRelease, "text_content": string(document), "getConnectionXmlAsDict": connection,
			"SoftwareInstance_getNewsDict": news[n],
		})
	}
	return rows, nil
}

// installationRows are the releases of a computer, of all computers without one.
func (p *Proxy) installationRows(r *http.Request, computer string) ([]any, error) {
	o, err := p.store.Overview(r.Context())
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for _, release := range o.Releases {
		if computer != "" && release.Computer != computer {
			continue
		}
		rows = append(rows, slap.Dict{
			"uid": release.Computer + " " + release.URL, "relative_url": "", "url_string": release.URL,
			"SoftwareInstallation_getNewsDict": newsOf("Software Installation", release.Computer, release.URL, release.Actual),
		})
	}
	return rows, nil
}

// searchNews runs the queries whose rows have news; false for others.
func (p *Proxy) searchNews(r *http.Request, prefix, query string) ([]any, bool, error) {
	if value, ok := strings.CutPrefix(query, queryInstances); ok && isQuoted(value) {
		rows, err := p.instanceRows(r, prefix, strings.Trim(value, `"`))
		return rows, true, err
	}
	if value, ok := strings.CutPrefix(query, queryInstallation); ok && isQuoted(value) {
		rows, err := p.installationRows(r, strings.Trim(value, `"`))
		return rows, true, err
	}
	if query == queryInstallations {
		rows, err := p.installationRows(r, "")
		return rows, true, err
	}
	return nil, false, nil
}

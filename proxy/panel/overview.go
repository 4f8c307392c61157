// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"net/http"
	"net/url"
	"slices"

	"slapos/proxy/store"
	"slapos/slap"
)

// shownAttention is how much of each kind the first page shows, shownEvents how
// many events a page does.
const (
	shownAttention = 10
	shownEvents    = 30
)

// overviewPage is the first page: what needs attention, how much there is, and what
// happened.
type overviewPage struct {
	Instances *store.Page[store.InstanceOverview]
	Releases  *store.Page[store.ReleaseOverview]
	Nodes     *store.Page[store.NodeOverview]
	Refused   []store.Event
	// Counts are those of all nodes, releases and instances.
	Counts []count
	Events []store.Event
	// Empty is true before there is any instance, NoNodes before there is a node.
	Empty, NoNodes bool
}

// Calm reports whether nothing needs attention.
func (p overviewPage) Calm() bool {
	return p.Instances.Total+p.Releases.Total+p.Nodes.Total+len(p.Refused) == 0
}

// count is how much there is of a kind, by condition.
type count struct {
	Section, Of string
	Total       int
	By          []conditionChoice
}

func countOf(section, of string, counts map[slap.Condition]int, conditions []slap.Condition) count {
	c := count{Section: section, Of: of}
	for _, condition := range conditions {
		c.Total += counts[condition]
		if counts[condition] > 0 {
			c.By = append(c.By, conditionChoice{Value: string(condition), Label: word(condition), Count: counts[condition]})
		}
	}
	return c
}

func (p *Panel) overview(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("q") != "" {
		return moved(w, "instances", r.URL.Query()) // where this page had them
	}
	ctx := r.Context()
	page := overviewPage{}
	worst := store.Window{Order: store.ByCondition, Limit: shownAttention}
	var err error
	if page.Instances, err = p.store.FindInstances(ctx, store.InstanceFilter{Attention: true, Window: worst}); err != nil {
		return err
	}
	if page.Releases, err = p.store.FindReleases(ctx, store.ReleaseFilter{Attention: true, Window: worst}); err != nil {
		return err
	}
	if page.Nodes, err = p.store.FindNodes(ctx, store.NodeFilter{Conditions: []slap.Condition{slap.ConditionUnknown}, Window: worst}); err != nil {
		return err
	}
	all, err := p.store.Overview(ctx)
	if err != nil {
		return err
	}
	page.Refused = all.Refused[:min(len(all.Refused), shownAttention)]
	page.Counts = []count{
		countOf("nodes", "node", page.Nodes.Counts, slap.NodeConditions()),
		countOf("instances", "instance", page.Instances.Counts, slap.InstanceConditions()),
		countOf("software", "installation", page.Releases.Counts, slap.ReleaseConditions()),
	}
	page.NoNodes, page.Empty = page.Counts[0].Total == 0, page.Counts[1].Total == 0
	if page.Events, err = p.events(r, store.EventFilter{Limit: shownEvents}); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "overview.html", view{Title: "Overview", Section: "overview", Page: page})
}

// events returns events, the newest first.
func (p *Panel) events(r *http.Request, filter store.EventFilter) ([]store.Event, error) {
	events, err := p.store.Events(r.Context(), filter)
	slices.Reverse(events)
	return events, err
}

// moved leads from an old address.
func moved(w http.ResponseWriter, name string, values url.Values) error {
	w.Header().Set("Location", name+"?"+values.Encode())
	w.WriteHeader(http.StatusMovedPermanently)
	return nil
}

// nodesPage lists nodes.
type nodesPage struct {
	listing
	Rows []store.NodeOverview
}

func (p *Panel) nodes(w http.ResponseWriter, r *http.Request) error {
	page := nodesPage{listing: listingOf("node", r.URL.Query())}
	filter := store.NodeFilter{Search: page.Get("q"), Window: page.window()}
	filter.Conditions, filter.Attention = page.chosen()
	found, err := p.store.FindNodes(r.Context(), filter)
	if err != nil {
		return err
	}
	page.Rows = found.Rows
	page.found(found.Total, found.Offset, len(found.Rows), found.Counts, slap.NodeConditions())
	return p.show(w, r, http.StatusOK, "nodes.html", view{Title: "Nodes", Section: "nodes", Page: page})
}

// instancesPage lists instances.
type instancesPage struct {
	listing
	Rows []store.InstanceOverview
}

// findInstances finds the instances of a listing.
func (p *Panel) findInstances(r *http.Request, l *listing, filter store.InstanceFilter) ([]store.InstanceOverview, error) {
	filter.Search, filter.Window = l.Get("q"), l.window()
	filter.Conditions, filter.Attention = l.chosen()
	found, err := p.store.FindInstances(r.Context(), filter)
	if err != nil {
		return nil, err
	}
	l.found(found.Total, found.Offset, len(found.Rows), found.Counts, slap.InstanceConditions())
	return found.Rows, nil
}

func (p *Panel) instances(w http.ResponseWriter, r *http.Request) error {
	page := instancesPage{listing: listingOf("instance", r.URL.Query(), "node", "release")}
	var err error
	page.Rows, err = p.findInstances(r, &page.listing, store.InstanceFilter{Node: page.Get("node"), Release: page.Get("release")})
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "instances.html", view{Title: "Instances", Section: "instances", Page: page})
}

// softwarePage lists releases.
type softwarePage struct {
	listing
	Rows []store.ReleaseSum
}

func (p *Panel) software(w http.ResponseWriter, r *http.Request) error {
	page := softwarePage{listing: listingOf("release", r.URL.Query())}
	filter := store.ReleaseFilter{Search: page.Get("q"), Window: page.window()}
	filter.Conditions, filter.Attention = page.chosen()
	found, err := p.store.SumReleases(r.Context(), filter)
	if err != nil {
		return err
	}
	page.Rows = found.Rows
	page.found(found.Total, found.Offset, len(found.Rows), found.Counts, slap.ReleaseConditions())
	return p.show(w, r, http.StatusOK, "software.html", view{Title: "Software", Section: "software", Page: page})
}

// releasePage is a release on all nodes.
type releasePage struct {
	listing
	URL       string
	Instances int
	Rows      []store.ReleaseOverview
}

func (p *Panel) release(w http.ResponseWriter, r *http.Request) error {
	page := releasePage{listing: listingOf("node", r.URL.Query(), "url"), URL: r.URL.Query().Get("url")}
	filter := store.ReleaseFilter{URL: page.URL, Search: page.Get("q"), Window: page.window()}
	filter.Conditions, filter.Attention = page.chosen()
	found, err := p.store.FindReleases(r.Context(), filter)
	if err != nil {
		return err
	}
	used, err := p.store.FindInstances(r.Context(), store.InstanceFilter{Release: page.URL, Window: store.Window{Limit: 1}})
	if err != nil {
		return err
	}
	if page.URL == "" || used.Total == 0 && len(found.Counts) == 0 && page.Get("q") == "" {
		return ErrNoPage
	}
	page.Instances, page.Rows = used.Total, found.Rows
	page.found(found.Total, found.Offset, len(found.Rows), found.Counts, slap.ReleaseConditions())
	return p.show(w, r, http.StatusOK, "release.html", view{Title: "Software release", Section: "software", Page: page})
}

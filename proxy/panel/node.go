// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"net/http"

	"slapos/proxy/store"
)

// nodePage is all of a node.
type nodePage struct {
	listing   // of its instances
	Computer  string
	Known     bool
	Address   string
	Actual    store.Actual
	Heard     store.Heard
	Busy      int
	Free      []string // its free partitions
	Software  []store.ReleaseOverview
	Rows      []store.InstanceOverview
	Events    []store.Event
	Usage     []usageReport
	Charts    []chart
	Partition int
}

// oldNode leads from the address that the page of a node had.
func (p *Panel) oldNode(w http.ResponseWriter, r *http.Request) error {
	return moved(w, "node", r.URL.Query())
}

func (p *Panel) node(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	reference := r.URL.Query().Get("id")
	node, err := p.store.Node(ctx, reference)
	if err != nil {
		return missing(err)
	}
	conditions, err := p.store.Conditions(ctx, reference)
	if err != nil {
		return err
	}
	page := nodePage{listing: listingOf("instance", r.URL.Query(), "id"), Computer: reference, Known: node.Known,
		Actual: conditions.Node(reference), Heard: conditions.Heard(reference), Partition: len(node.Partitions)}
	for _, partition := range node.Partitions {
		if partition.Busy {
			page.Busy++
		} else {
			page.Free = append(page.Free, partition.ID.Partition)
		}
	}
	for _, software := range node.Software {
		page.Software = append(page.Software, store.ReleaseOverview{Actual: conditions.Release(software), Software: software})
	}
	if node.Address != nil {
		page.Address = *node.Address
	}
	if page.Rows, err = p.findInstances(r, &page.listing, store.InstanceFilter{Node: reference}); err != nil {
		return err
	}
	if page.Events, err = p.events(r, store.EventFilter{Computer: reference, Limit: shownEvents}); err != nil {
		return err
	}
	reports, err := p.store.Usage(ctx, reference, chartedReports)
	if err != nil {
		return err
	}
	for i, report := range reports {
		if i < shownReports {
			page.Usage = append(page.Usage, usageOf(report))
		}
	}
	page.Charts = chartsOf(reference, reports)
	return p.show(w, r, http.StatusOK, "node.html", view{Title: "Node " + reference, Section: "nodes", Page: page})
}

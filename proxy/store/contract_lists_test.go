// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"fmt"
	"strings"
	"testing"

	"slapos/proxy/store"
	"slapos/slap"
)

func (l *lab) found(f store.InstanceFilter) string {
	l.Helper()
	page, err := l.FindInstances(l.ctx, f)
	l.must(err)
	var lines []string
	for _, i := range page.Rows {
		lines = append(lines, fmt.Sprint(i.Name, "@", i.Computer, "=", i.Condition))
	}
	return fmt.Sprint(page.Total, "+", page.Offset, " ", strings.Join(lines, " "))
}

// testLists finds what is there, page by page, and at once what changed.
func testLists(t *testing.T, at place) {
	for what, renewed := range map[string]bool{"made anew": false, "renewed": true} {
		t.Run(what, func(t *testing.T) { lists(t, at, renewed) })
	}
}

// lists goes through them, each overview made anew or the first one renewed.
func lists(t *testing.T, at place, renewed bool) {
	l := newLab(t, at, 4)
	l.load("d", 2)
	l.load("Edge", 0)
	const other = "http://example.com/other.cfg"
	on := func(computer string) func(*store.Order) {
		return func(o *store.Order) { o.Filter = slap.Dict{"computer_guid": computer} }
	}
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "d", State: "available"}))
	l.must(l.Supply(l.ctx, store.Software{URL: other, Computer: "c", State: "destroyed"}))
	l.request(order("b"))
	l.request(order("a"))
	l.request(order("Web", on("d")))
	l.requestShared(order("s"))
	find := func(want string, f store.InstanceFilter) {
		t.Helper()
		l.equal(fmt.Sprintf("%+v", f), l.found(f), want)
	}
	find("4+0 a@c=waiting b@c=waiting _s@c=waiting Web@d=waiting", store.InstanceFilter{Window: store.Window{Order: store.ByNode}})
	if renewed {
		store.KeepOverview(l.Store.(*store.Database))
	}
	find("4+0 Web@d=waiting a@c=waiting", store.InstanceFilter{Window: store.Window{Limit: 2}})
	find("4+2 b@c=waiting _s@c=waiting", store.InstanceFilter{Window: store.Window{Offset: 2, Limit: 2}})
	find("4+3 _s@c=waiting", store.InstanceFilter{Window: store.Window{Offset: 99, Limit: 3}})
	find("0+0 ", store.InstanceFilter{Search: "nothing", Window: store.Window{Offset: 99}})
	find("1+0 Web@d=waiting", store.InstanceFilter{Search: " wEB d"})
	find("1+0 Web@d=waiting", store.InstanceFilter{Node: "d", Release: release})
	find("0+0 ", store.InstanceFilter{Release: other})

	// What a node reports is seen by the next page.
	l.report(release, store.ReportAvailable)
	l.Polled("c")
	l.report("slappart0", store.ReportError, "OSError: disk")
	l.report("slappart1", store.ReportStarted)
	find("1+0 b@c=failed", store.InstanceFilter{Conditions: []slap.Condition{slap.ConditionFailed}})
	find("4+0 b@c=failed Web@d=waiting _s@c=waiting a@c=running", store.InstanceFilter{Window: store.Window{Order: store.ByCondition}})
	find("1+0 b@c=failed", store.InstanceFilter{Attention: true})
	page, err := l.FindInstances(l.ctx, store.InstanceFilter{Conditions: []slap.Condition{slap.ConditionFailed}})
	l.must(err)
	l.equal("counts", page.Counts[slap.ConditionRunning], 1)
	nodes, err := l.FindNodes(l.ctx, store.NodeFilter{Window: store.Window{Order: store.ByInstances, Descending: true}})
	l.must(err)
	var lines []string
	for _, n := range nodes.Rows {
		lines = append(lines, fmt.Sprint(n.Computer, " ", n.Busy, " ", n.Attention))
	}
	l.equal("nodes", lines, []string{"c 2 1", "d 1 0", "Edge 0 0"})
	for want, f := range map[string]store.NodeFilter{
		"Edge": {Search: "edge"}, "c": {Attention: true}, "d": {Conditions: []slap.Condition{slap.ConditionNever}, Search: "d", Window: store.Window{Offset: 1}},
	} {
		nodes, err := l.FindNodes(l.ctx, f)
		l.must(err)
		l.equal(fmt.Sprintf("%+v", f), nodes.Rows[len(nodes.Rows)-1].Computer, want)
	}
	sums, err := l.SumReleases(l.ctx, store.ReleaseFilter{})
	l.must(err)
	l.equal("releases", fmt.Sprint(sums.Rows), fmt.Sprintf("[{%s 0 map[destroying:1] 1 0} {%s 2 map[available:1 requested:1] 0 4}]", other, release))
	releases, err := l.FindReleases(l.ctx, store.ReleaseFilter{URL: release, Conditions: []slap.Condition{slap.ConditionAvailable}})
	l.must(err)
	l.equal("release", fmt.Sprint(releases.Total, " ", releases.Rows[0].Computer), "1 c")

	// So is what is gone, renamed or asked for elsewhere.
	l.must(l.Destroy2("slappart0"))
	l.must(l.Rename(l.ctx, in("slappart1"), "z", store.Alone))
	find("2+0 Web@d=waiting z@c=running", store.InstanceFilter{})
	l.must(l.LoadComputer(l.ctx, description("d", 0)))
	l.must(l.RemoveSoftware(l.ctx, "d", release))
	find("1+0 z@c=running", store.InstanceFilter{})
	sums, err = l.SumReleases(l.ctx, store.ReleaseFilter{Search: "sr.cfg"})
	l.must(err)
	l.equal("releases left", sums.Rows[0].Nodes, 1)
}

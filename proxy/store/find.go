// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"slapos/slap"
)

// Page is a part of a list, with what the whole list has.
type Page[T any] struct {
	Rows []T
	// Total counts the rows of all pages, Offset those before this page.
	Total, Offset int
	// Counts are those by condition, whatever condition the page is limited to.
	Counts map[slap.Condition]int
	// Now is the moment of the conditions.
	Now float64
}

// Window says which part of a list is wanted, and in what order: one of the
// constants that begin with By.
type Window struct {
	Order      string
	Descending bool
	// An Offset after the end gives the last page. Limit is 50 when zero.
	Offset, Limit int
}

// The orders of lists. What is equal follows in the order of names.
const (
	ByName      = "" // title, reference of a node, or URL
	ByCondition = "condition"
	BySince     = "since" // of the condition; of nodes, when they were heard of
	ByNode      = "node"
	ByRelease   = "release"
	ByInstances = "instances" // how many there are
)

// InstanceFilter selects instances; empty fields select all.
type InstanceFilter struct {
	// Search has words which must all be somewhere in the title, that of the root,
	// the node, the partition, the type and the release.
	Search     string
	Node       string
	Release    string
	Root       string
	Conditions []slap.Condition
	// Attention selects those that need it.
	Attention bool
	Window
}

// NodeFilter selects nodes: by words in their references, by condition, or those
// on which something needs attention.
type NodeFilter struct {
	Search     string
	Conditions []slap.Condition
	Attention  bool
	Window
}

// ReleaseFilter selects releases on nodes: by words in the URL and the reference of the
// node, by the URL, the node or the condition.
type ReleaseFilter struct {
	Search     string
	URL        string
	Node       string
	Conditions []slap.Condition
	// Attention selects those that need it.
	Attention bool
	Window
}

// ReleaseSum is a release on all nodes.
type ReleaseSum struct {
	URL string
	// Nodes is how many should have it, Counts their conditions, Removed those that
	// should have it no longer.
	Nodes   int
	Counts  map[slap.Condition]int
	Removed int
	// Instances use it, whether it was supplied or not.
	Instances int
}

// Lists are the parts of lists that people look at. The first call reads the master's
// tables; others read what changed since, by few statements, whatever the length of a
// list. What no event tells may be older, as with [History.Overview].
type Lists interface {
	FindInstances(ctx context.Context, filter InstanceFilter) (*Page[InstanceOverview], error)
	FindNodes(ctx context.Context, filter NodeFilter) (*Page[NodeOverview], error)
	FindReleases(ctx context.Context, filter ReleaseFilter) (*Page[ReleaseOverview], error)
	// SumReleases lists each release once: on all nodes, or on those and with
	// the conditions that the filter names.
	SumReleases(ctx context.Context, filter ReleaseFilter) (*Page[ReleaseSum], error)
}

// ranks are the places of conditions in an order: what needs attention first.
var ranks = func() map[slap.Condition]float64 {
	ranks := map[slap.Condition]float64{}
	for _, list := range [][]slap.Condition{slap.InstanceConditions(), slap.ReleaseConditions(), slap.NodeConditions()} {
		for i, condition := range list {
			if _, known := ranks[condition]; !known {
				ranks[condition] = float64(-i)
			}
		}
	}
	return ranks
}()

// words are those of a search.
func words(search string) []string { return strings.Fields(strings.ToLower(search)) }

func holds(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// selected reports whether a condition is one of those, of which none means all.
func selected(condition slap.Condition, of []slap.Condition) bool {
	return len(of) == 0 || slices.Contains(of, condition)
}

// cut makes a page of the indexes of rows, which are in the order of names.
func cut[T any](w Window, rows []T, indexes []int32, key func(*T) float64) *Page[T] {
	if key != nil {
		type keyed struct {
			key       float64
			at, index int32 // before and in the rows
		}
		list := make([]keyed, len(indexes))
		for i, index := range indexes {
			list[i] = keyed{key(&rows[index]), int32(i), index} //nolint:gosec // far fewer
		}
		slices.SortFunc(list, func(a, b keyed) int {
			if c := cmp.Compare(a.key, b.key); c != 0 {
				return c
			}
			return cmp.Compare(a.at, b.at)
		})
		for i, k := range list {
			indexes[i] = k.index
		}
	}
	if w.Descending {
		slices.Reverse(indexes)
	}
	if w.Limit <= 0 {
		w.Limit = 50
	}
	page := &Page[T]{Total: len(indexes), Offset: max(w.Offset, 0)}
	if page.Offset >= page.Total {
		page.Offset = max(page.Total-1, 0) / w.Limit * w.Limit
	}
	for _, index := range indexes[page.Offset:min(page.Offset+w.Limit, page.Total)] {
		page.Rows = append(page.Rows, rows[index])
	}
	return page
}

// placesOf gives texts numbers in their order.
func placesOf(texts map[string]float64) map[string]float64 {
	sorted := make([]string, 0, len(texts))
	for text := range texts {
		sorted = append(sorted, text)
	}
	slices.Sort(sorted)
	for i, text := range sorted {
		texts[text] = float64(i)
	}
	return texts
}

// FindInstances implements [Lists].
func (d *Database) FindInstances(ctx context.Context, f InstanceFilter) (*Page[InstanceOverview], error) {
	o, err := d.Overview(ctx)
	if err != nil {
		return nil, err
	}
	words := words(f.Search)
	counts := map[slap.Condition]int{}
	var indexes []int32
	for _, index := range o.byTitle {
		i := &o.Instances[index]
		if f.Node != "" && i.Computer != f.Node || f.Release != "" && i.SoftwareRelease != f.Release || f.Root != "" && i.Root != f.Root ||
			!holds(i.text, words) {
			continue
		}
		counts[i.Condition]++
		if selected(i.Condition, f.Conditions) && (!f.Attention || i.NeedsAttention()) {
			indexes = append(indexes, index)
		}
	}
	var key func(*InstanceOverview) float64
	switch f.Order {
	case ByCondition:
		key = func(i *InstanceOverview) float64 { return ranks[i.Condition] }
	case BySince:
		key = func(i *InstanceOverview) float64 { return i.Since }
	case ByNode, ByRelease:
		texts := map[string]float64{}
		text := func(i *InstanceOverview) string { return i.Computer }
		if f.Order == ByRelease {
			text = func(i *InstanceOverview) string { return i.SoftwareRelease }
		}
		for _, index := range indexes {
			texts[text(&o.Instances[index])] = 0
		}
		places := placesOf(texts)
		key = func(i *InstanceOverview) float64 { return places[text(i)] }
	}
	page := cut(f.Window, o.Instances, indexes, key)
	page.Counts, page.Now = counts, o.Now
	return page, nil
}

// FindNodes implements [Lists].
func (d *Database) FindNodes(ctx context.Context, f NodeFilter) (*Page[NodeOverview], error) {
	o, err := d.Overview(ctx)
	if err != nil {
		return nil, err
	}
	words := words(f.Search)
	counts := map[slap.Condition]int{}
	var indexes []int32
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if !holds(strings.ToLower(n.Computer), words) || f.Attention && n.Attention == 0 {
			continue
		}
		counts[n.Condition]++
		if selected(n.Condition, f.Conditions) {
			indexes = append(indexes, int32(i)) //nolint:gosec // far fewer
		}
	}
	slices.SortFunc(indexes, func(i, j int32) int { return cmp.Compare(o.Nodes[i].Computer, o.Nodes[j].Computer) })
	var key func(*NodeOverview) float64
	switch f.Order {
	case ByCondition:
		key = func(n *NodeOverview) float64 { return ranks[n.Condition]*1e6 - float64(n.Attention) }
	case BySince:
		key = func(n *NodeOverview) float64 { return n.Reported }
	case ByInstances:
		key = func(n *NodeOverview) float64 { return float64(n.Busy) }
	}
	page := cut(f.Window, o.Nodes, indexes, key)
	page.Counts, page.Now = counts, o.Now
	return page, nil
}

// releases selects releases; counts are those by condition.
func (f *ReleaseFilter) releases(o *Overview) (indexes []int32, counts map[slap.Condition]int) {
	words := words(f.Search)
	counts = map[slap.Condition]int{}
	for i := range o.Releases {
		r := &o.Releases[i]
		if f.URL != "" && r.URL != f.URL || f.Node != "" && r.Computer != f.Node ||
			len(words) > 0 && !holds(strings.ToLower(r.URL+"\n"+r.Computer), words) {
			continue
		}
		counts[r.Condition]++
		if selected(r.Condition, f.Conditions) && (!f.Attention || r.NeedsAttention()) {
			indexes = append(indexes, int32(i)) //nolint:gosec // far fewer
		}
	}
	return indexes, counts
}

// FindReleases implements [Lists].
func (d *Database) FindReleases(ctx context.Context, f ReleaseFilter) (*Page[ReleaseOverview], error) {
	o, err := d.Overview(ctx)
	if err != nil {
		return nil, err
	}
	indexes, counts := f.releases(o)
	slices.SortFunc(indexes, func(i, j int32) int {
		a, b := &o.Releases[i], &o.Releases[j]
		if f.Order == ByNode {
			return cmp.Or(cmp.Compare(a.Computer, b.Computer), cmp.Compare(a.URL, b.URL))
		}
		return cmp.Or(cmp.Compare(a.URL, b.URL), cmp.Compare(a.Computer, b.Computer))
	})
	var key func(*ReleaseOverview) float64
	switch f.Order {
	case ByCondition:
		key = func(r *ReleaseOverview) float64 { return ranks[r.Condition] }
	case BySince:
		key = func(r *ReleaseOverview) float64 { return r.Since }
	}
	page := cut(f.Window, o.Releases, indexes, key)
	page.Counts, page.Now = counts, o.Now
	return page, nil
}

// SumReleases implements [Lists].
func (d *Database) SumReleases(ctx context.Context, f ReleaseFilter) (*Page[ReleaseSum], error) {
	o, err := d.Overview(ctx)
	if err != nil {
		return nil, err
	}
	selected, counts := f.releases(o)
	places := map[string]int{}
	var sums []ReleaseSum
	at := func(url string) *ReleaseSum {
		i, known := places[url]
		if !known {
			i = len(sums)
			places[url] = i
			sums = append(sums, ReleaseSum{URL: url, Counts: map[slap.Condition]int{}})
		}
		return &sums[i]
	}
	for _, index := range selected {
		r := &o.Releases[index]
		sum := at(r.URL)
		sum.Counts[r.Condition]++
		if r.State == slap.StateDestroyed {
			sum.Removed++
		} else {
			sum.Nodes++
		}
	}
	words := words(f.Search)
	for i := range o.Instances {
		instance := &o.Instances[i]
		if _, known := places[instance.SoftwareRelease]; !known && (f.Attention || len(f.Conditions) > 0 || f.URL != "" && instance.SoftwareRelease != f.URL ||
			!holds(strings.ToLower(instance.SoftwareRelease), words)) {
			continue
		}
		if f.Node == "" || instance.Computer == f.Node {
			at(instance.SoftwareRelease).Instances++
		}
	}
	indexes := make([]int32, len(sums))
	for i := range sums {
		indexes[i] = int32(i) //nolint:gosec // far fewer
	}
	slices.SortFunc(indexes, func(i, j int32) int { return cmp.Compare(sums[i].URL, sums[j].URL) })
	var key func(*ReleaseSum) float64
	switch f.Order {
	case ByCondition:
		key = func(s *ReleaseSum) float64 {
			return -float64(s.Counts[slap.ConditionFailed])*1e6 - float64(s.Counts[slap.ConditionUnknown])
		}
	case ByInstances:
		key = func(s *ReleaseSum) float64 { return float64(s.Instances) }
	}
	page := cut(f.Window, sums, indexes, key)
	page.Counts, page.Now = counts, o.Now
	return page, nil
}

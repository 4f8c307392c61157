// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// pageSize is how many rows a page of a list has.
const pageSize = 50

// attention is the filter for what needs it, beside the conditions.
const attention = "attention"

// listing is a part of a list, with links to the others. Its whole state is in
// the address of its page.
type listing struct {
	// Of names what is listed, in the singular.
	Of     string
	values url.Values

	Total, First, Last, Page, Pages int
	Conditions                      []conditionChoice
}

// conditionChoice is a condition to choose by, and how many rows have it.
type conditionChoice struct {
	Value, Label string
	Count        int
	Chosen       bool
}

// listingOf reads the state of a list from the address of its page.
func listingOf(of string, values url.Values, keys ...string) listing {
	l := listing{Of: of, values: url.Values{}, Page: 1}
	for _, key := range append(keys, "q", "state", "sort", "page") {
		if value := strings.ToValidUTF8(values.Get(key), "\uFFFD"); value != "" {
			l.values.Set(key, value)
		}
	}
	if page, err := strconv.Atoi(l.values.Get("page")); err == nil && page > 0 && page < 1<<24 {
		l.Page = page
	}
	return l
}

// Get is a part of the state.
func (l listing) Get(key string) string { return l.values.Get(key) }

// Filtered reports whether the list may lack something that there is.
func (l listing) Filtered() bool {
	return l.Get("q") != "" || l.Get("state") != "" || l.Get("node") != "" || l.Get("release") != ""
}

// With is the address of the list in another state; another part of it than the
// page begins with the first one.
func (l listing) With(pairs ...string) template.URL {
	values := maps.Clone(l.values)
	values.Del("page")
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	return template.URL("?" + values.Encode()) //nolint:gosec // it is encoded
}

// Hidden are the parts of the state that the search form keeps, beside its fields.
func (l listing) Hidden() map[string]string {
	hidden := map[string]string{}
	for key := range l.values {
		if key != "q" && key != "state" && key != "page" {
			hidden[key] = l.values.Get(key)
		}
	}
	return hidden
}

// Sorted is "ascending", "descending" or "" for an order.
func (l listing) Sorted(order string) string {
	switch l.Get("sort") {
	case order:
		return "ascending"
	case "-" + order:
		return "descending"
	}
	return ""
}

// Sort is the address of the list in an order, or in the opposite of it.
func (l listing) Sort(order string) template.URL {
	if l.Sorted(order) == "ascending" {
		return l.With("sort", "-"+order)
	}
	return l.With("sort", order)
}

// Previous and Next are the addresses of other pages.
func (l listing) Previous() template.URL { return l.With("page", strconv.Itoa(l.Page-1)) }
func (l listing) Next() template.URL     { return l.With("page", strconv.Itoa(l.Page+1)) }

// window is what the store is asked for.
func (l listing) window() store.Window {
	order, descending := strings.CutPrefix(l.Get("sort"), "-")
	if order == "name" {
		order = store.ByName
	}
	return store.Window{Order: order, Descending: descending, Offset: (l.Page - 1) * pageSize, Limit: pageSize}
}

// chosen is the filter by condition.
func (l listing) chosen() (conditions []slap.Condition, needsAttention bool) {
	switch state := l.Get("state"); state {
	case "":
		return nil, false
	case attention:
		return nil, true
	default:
		return []slap.Condition{slap.Condition(state)}, false
	}
}

// found completes a listing by what the store found.
func (l *listing) found(total, offset, rows int, counts map[slap.Condition]int, conditions []slap.Condition) {
	l.Total, l.First, l.Last = total, offset+1, offset+rows
	l.Page, l.Pages = offset/pageSize+1, max(1, (total+pageSize-1)/pageSize)
	state := l.Get("state")
	l.Conditions = []conditionChoice{{Label: "any state", Chosen: state == ""}, {Value: attention, Label: "needs attention", Chosen: state == attention}}
	for _, condition := range slices.Backward(conditions) {
		if counts[condition] > 0 || string(condition) == state {
			l.Conditions = append(l.Conditions, conditionChoice{string(condition), word(condition), counts[condition], string(condition) == state})
		}
	}
}

// word is a condition as people read it.
func word(condition slap.Condition) string { return strings.ReplaceAll(string(condition), "-", " ") }

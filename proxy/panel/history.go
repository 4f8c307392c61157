// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"slapos/proxy/store"
)

// historyPage lists what happened, and who asked for it.
type historyPage struct {
	Search, Node, Event, Kind string
	Events, Kinds             []string // to choose from
	Rows                      []store.Event
	// Older and Newest are addresses of other parts, "" for none.
	Older, Newest template.URL
}

// Filtered reports whether the page may lack something that there is.
func (p historyPage) Filtered() bool { return p.Search+p.Node+p.Event+p.Kind != "" }

func (p *Panel) history(w http.ResponseWriter, r *http.Request) error {
	values := r.URL.Query()
	get := func(key string) string { return strings.ToValidUTF8(strings.TrimSpace(values.Get(key)), "\uFFFD") }
	page := historyPage{Search: get("q"), Node: get("node"), Event: get("event"), Kind: get("kind"), Events: store.EventKinds(),
		Kinds: []string{store.KindNode, store.KindRelease, store.KindInstance, store.KindShared}}
	slices.Sort(page.Events)
	before, err := strconv.ParseInt(get("before"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	page.Rows, err = p.events(r, store.EventFilter{
		Search: page.Search, Computer: page.Node, Event: page.Event, Kind: page.Kind, Before: before, Limit: pageSize + 1,
	})
	if err != nil {
		return err
	}
	at := func(before string) template.URL {
		state := url.Values{}
		for key, value := range map[string]string{"q": page.Search, "node": page.Node, "event": page.Event, "kind": page.Kind, "before": before} {
			if value != "" {
				state.Set(key, value)
			}
		}
		return template.URL("?" + state.Encode()) //nolint:gosec // it is encoded
	}
	if len(page.Rows) > pageSize {
		page.Rows = page.Rows[:pageSize]
		page.Older = at(strconv.FormatInt(page.Rows[pageSize-1].ID, 10))
	}
	if before > 0 {
		page.Newest = at("")
	}
	return p.show(w, r, http.StatusOK, "history.html", view{Title: "History", Section: "history", Page: page})
}

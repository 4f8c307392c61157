// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
)

// scan is a step of a plan that goes through a whole table.
var scan = regexp.MustCompile(`^SCAN \w+18\b`)

// TestPages asks for each page of the panel on a large master, which keeps its overview
// up to date by itself: a page takes a few statements, as many with many rows as with
// few, and none of them goes through a table.
func TestPages(t *testing.T) {
	t.Parallel()
	var mutex sync.Mutex
	var statements []string
	trace := func(statement string) {
		mutex.Lock()
		defer mutex.Unlock()
		statements = append(statements, statement)
	}
	l := &lab{T: t, ctx: t.Context(), uri: file(t)}
	database := open(t, store.Options{URI: l.uri, Trace: trace})
	l.Store = database
	l.load("c", 60)
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.report(release, store.ReportAvailable)
	number := 0
	fail := func(n int) {
		for range n {
			partition := fmt.Sprintf("slappart%d", number)
			l.request(order(fmt.Sprintf("i%d", number)))
			l.report(partition, store.ReportError, "OSError: disk")
			number++
		}
	}
	fail(2)
	handler := proxy.New(proxy.Options{Store: database, Computer: "c"})
	get := func(page string) []string {
		t.Helper()
		mutex.Lock()
		statements = nil
		mutex.Unlock()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/panel/"+page, nil))
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", page, w.Code)
		}
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(statements)
	}
	pages := []string{
		"", "nodes", "nodes?q=c&sort=-since", "instances", "instances?q=i&state=failed&sort=node", "instances?node=c", "software",
		"release?url=" + url.QueryEscape(release), "node?id=c", "instance?title=i0", "history", "history?q=disk", "history?kind=instance",
		"history?node=c&event=reported", "request", "supply",
	}
	get("")
	store.KeepOverview(database)
	few := map[string]int{}
	for _, page := range pages {
		few[page] = len(get(page))
	}
	fail(20)
	store.KeepUp(t.Context(), database)
	all := map[string]bool{}
	for _, page := range pages {
		list := get(page)
		if len(list) != few[page] || len(list) > 30 {
			t.Errorf("%s: %d statements, %d with fewer rows:\n%s", page, len(list), few[page], strings.Join(list, "\n"))
		}
		for _, statement := range list {
			all[statement] = true
		}
	}
	pool, err := sql.Open("sqlite", "file:"+l.uri)
	l.must(err)
	defer pool.Close()
	for statement := range all {
		if !strings.HasPrefix(statement, "SELECT") {
			continue
		}
		first := !strings.Contains(statement, "WHERE") && strings.Contains(statement, "LIMIT")
		for _, step := range plan(t, pool, statement) {
			if scan.MatchString(step) && !first {
				t.Errorf("%s\n%s", step, statement)
			}
		}
	}
}

// plan is how SQLite would run a statement.
func plan(t *testing.T, pool *sql.DB, statement string) (steps []string) {
	t.Helper()
	values := make([]any, 1+strings.Count(statement, "$"))
	for len(values) > 0 && !strings.Contains(statement, fmt.Sprintf("$%d", len(values))) {
		values = values[:len(values)-1]
	}
	rows, err := pool.Query("EXPLAIN QUERY PLAN "+statement, values...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if rows.Err() != nil || len(steps) == 0 {
		t.Fatalf("%s: no plan: %v", statement, rows.Err())
	}
	return steps
}

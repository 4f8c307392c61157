// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"database/sql"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// The size of the master whose pages are timed.
const (
	benchNodes      = 10_000
	benchPartitions = 10
)

// fill makes a master of many nodes, each with as many instances, as if all had
// reported; every hundredth instance has failed. What happened is two events each.
func fill(b *testing.B, path string) {
	b.Helper()
	s, err := store.Open(b.Context(), store.Options{URI: path, Computer: "node00000"})
	if err != nil {
		b.Fatal(err)
	}
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	check(s.LoadComputer(b.Context(), store.ComputerDescription{Reference: "first"}))
	check(s.Close())
	pool, err := sql.Open("sqlite", "file:"+path)
	check(err)
	defer pool.Close()
	t, err := pool.Begin()
	check(err)
	insert := func(text string) func(values ...any) {
		statement, err := t.Prepare(text)
		check(err)
		return func(values ...any) {
			_, err := statement.Exec(values...)
			check(err)
		}
	}
	now := float64(time.Now().Unix())
	computer := insert("INSERT INTO computer18 (reference) VALUES (?)")
	software := insert("INSERT INTO software18 (url, computer_reference, requested_state) VALUES (?, ?, 'available')")
	heard := insert("INSERT INTO heard18 (computer_reference, time, period) VALUES (?, ?, 3600)")
	partition := insert(`INSERT INTO partition18 (reference, computer_reference, slap_state, software_release, xml, connection_xml, software_type,
		partition_reference, requested_by, requester_id, requested_state, timestamp) VALUES (?, ?, 'busy', ?, ?, ?, 'default', ?, ?, 'user', 'started', ?)`)
	report := insert(`INSERT INTO report18 (computer_reference, kind, subject, state, message, digest, since, time, failures, failing, event)
		VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?, 0)`)
	event := insert(`INSERT INTO event18 (time, computer_reference, kind, subject, title, root, event, state, message, actor)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	parameters, err := slap.EncodeInstance(slap.Dict{"_": `{"name": "` + strings.Repeat("x", 200) + `"}`})
	check(err)
	for n := range benchNodes {
		node := fmt.Sprintf("node%05d", n)
		url := fmt.Sprintf("https://example.com/software/kind%02d/software.cfg", n%20)
		computer(node)
		software(url, node)
		heard(node, now)
		report(node, store.KindRelease, url, store.ReportAvailable, "", now-7200, now, 0, 0)
		for p := range benchPartitions {
			reference := fmt.Sprintf("slappart%d", p)
			title, root := fmt.Sprintf("service%05d-%d", n, p), ""
			if p > 7 {
				root = fmt.Sprintf("service%05d-0", n)
			}
			partition(reference, node, url, string(parameters), string(parameters), title, root, now-9000)
			state, message := store.ReportStarted, ""
			if (n*benchPartitions+p)%100 == 0 {
				state, message = store.ReportError, "OSError: no space left"
				report(node, store.KindInstance, reference, store.ReportError, "OSError: no space left", now-600, now, 3, now-600)
			} else {
				report(node, store.KindInstance, reference, store.ReportStarted, "", now-7200, now, 0, 0)
			}
			event(now-9000, node, store.KindInstance, reference, title, root, store.EventRequested, "started", "", "token deploy from 127.0.0.1")
			event(now-600, node, store.KindInstance, reference, title, root, store.EventReported, state, message, "")
		}
	}
	check(t.Commit())
}

// BenchmarkPanel measures the pages of a large master: make panel-bench.
func BenchmarkPanel(b *testing.B) {
	path := filepath.Join(b.TempDir(), "proxy.db")
	fill(b, path)
	s, err := store.Open(b.Context(), store.Options{URI: path, Computer: "node00000"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := proxy.New(proxy.Options{Store: s, Computer: "node00000"})
	get := func(b *testing.B, page string) {
		b.Helper()
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/panel/"+page, nil))
		if w.Code != 200 {
			b.Fatalf("%s: %d", page, w.Code)
		}
	}
	begin := time.Now()
	get(b, "")
	first := time.Since(begin)
	b.Run("first", func(b *testing.B) { b.ReportMetric(float64(first.Milliseconds()), "ms") })
	for _, page := range []string{"", "nodes", "nodes?q=node09&sort=-instances", "nodes?page=200", "instances", "instances?page=2000", "instances?q=service04+kind03",
		"instances?state=failed", "instances?sort=-since&page=1000", "instances?sort=node", "instances?node=node05000", "software",
		"release?url=https%3A%2F%2Fexample.com%2Fsoftware%2Fkind03%2Fsoftware.cfg", "node?id=node05000", "instance?title=service05000-0",
		"request", "supply", "history", "history?node=node05000", "history?kind=node", "history?q=nothing"} {
		b.Run(strings.ReplaceAll(page, "/", ""), func(b *testing.B) {
			for b.Loop() {
				get(b, page)
			}
		})
	}
	// A page after an instance changed has what is new.
	b.Run("instances after a change", func(b *testing.B) {
		state := slap.StateStopped
		for b.Loop() {
			b.StopTimer()
			if err := s.SetState(b.Context(), store.Name{Title: "service05000-1"}, state); err != nil {
				b.Fatal(err)
			}
			if state = slap.StateStopped; b.N%2 == 0 {
				state = slap.StateStarted
			}
			b.StartTimer()
			get(b, "instances?q=service05000-1")
		}
	})
}

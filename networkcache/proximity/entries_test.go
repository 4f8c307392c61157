// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/networkcache"
	"slapos/networkcache/server"
	"slapos/slap/testkit"
)

// NC-94: lists are kept for a time, and longer when no upstream answers.
func TestEntries(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	n := startNear(t, "", nil, f.url)
	entry := entryOf(sumOf("x"))
	list := "[" + string(entry.Text()) + "]"
	down := false
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		if down {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return down
	}
	asked := 0
	expect := func(what, key string, status int, body, from string, asks int) answer {
		t.Helper()
		got := n.entries(t, key)
		asked += asks
		if got.status != status || status == 200 && got.body != body || got.header.Get("Cache-Status") != from {
			t.Errorf("%s: %d %q, %q", what, got.status, got.body, got.header.Get("Cache-Status"))
		}
		if requests := len(f.seen("/dir/")); requests != asked {
			t.Errorf("%s: the upstream was asked %d times, not %d", what, requests, asked)
		}
		return got
	}
	expect("an unknown key", "key:1", 404, "", statusMiss, 1)
	f.add(t, "key:1", entry)
	expect("a key unknown a moment ago", "key:1", 404, "", statusHit, 0)
	n.clock.pass(time.Minute)
	expect("later", "key:1", 200, list, statusMiss, 1)
	expect("again", "key:1", 200, list, statusHit, 0)
	for _, key := range []string{"..%2fx", strings.Repeat("k", 256), ".new-x"} {
		expect("an impossible key", key, 404, "", "", 0)
	}
	down = true
	n.clock.pass(time.Minute)
	stale := expect("while the upstream fails", "key:1", 200, list, statusStale, 1)
	if stale.header.Get("Warning") == "" || stale.header.Get("Age") != "60" {
		t.Errorf("stale: %v", stale.header)
	}
	expect("again while it fails", "key:1", 200, list, statusStale, 0)
	expect("what is unknown while it fails", "key:2", 502, "", "", 1)
	expect("again what is unknown while it fails", "key:2", 502, "", "", 0)
	down = false
	n.clock.pass(rest)
	expect("after the failure", "key:1", 200, list, statusMiss, 1)
	if text := n.log.String(); strings.Count(text, "\n") != 2 {
		t.Errorf("not a line for each failure:\n%s", text)
	}
	if err := f.store.Entries.Remove(t.Context(), "key:1"); err != nil {
		t.Fatal(err)
	}
	n.clock.pass(time.Minute)
	expect("what the upstream no longer has", "key:1", 404, "", statusMiss, 1)
	if left, err := n.store.Entries.Keys(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("kept: %v %v", left, err)
	}
}

// A restarted cache asks first, and has what it kept if nobody answers.
func TestEntriesAfterRestart(t *testing.T) {
	f := startFar(t)
	f.add(t, "key", entryOf("1"))
	before := startNear(t, "", nil, f.url)
	before.entries(t, "key")
	f.add(t, "key", entryOf("2"))
	n := startNear(t, before.directory, nil, f.url)
	if got := n.entries(t, "key"); got.status != 200 || !strings.Contains(got.body, `\"2\"`) {
		t.Errorf("after a restart: %d %s", got.status, got.body)
	}
	lonely := startNear(t, before.directory, nil, "http://127.0.0.1:1")
	if got := lonely.entries(t, "key"); got.status != 200 || got.header.Get("Cache-Status") != statusStale || got.header.Get("Age") != "" {
		t.Errorf("after a restart without upstream: %+v", got)
	}
	for range 3 {
		lonely.entries(t, "another")
	}
	if text := lonely.log.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("an upstream that is away is more than a line:\n%s", text)
	}
}

// NC-94: clients that ask at once are one request.
func TestEntriesTogether(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	f.add(t, "key", entryOf("1"))
	n := startNear(t, "", nil, f.url)
	const clients = 20
	gate := make(chan struct{})
	f.instead = func(http.ResponseWriter, *http.Request) bool { <-gate; return false }
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			if got := n.entries(t, "key"); got.status != 200 {
				t.Errorf("%+v", got)
			}
		})
	}
	testkit.Eventually(t, 10*time.Second, "nobody asks the upstream", func() bool { return len(f.seen("/dir/")) > 0 })
	close(gate)
	all.Wait()
	if requests := len(f.seen("/dir/")); requests != 1 {
		t.Errorf("%d requests", requests)
	}
}

// A cache that is closed has ended what it did, and begins nothing.
func TestClose(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	ended := make(chan struct{})
	defer close(ended)
	f.instead = func(http.ResponseWriter, *http.Request) bool { <-ended; return false }
	n := startNear(t, "", nil, f.url)
	var all sync.WaitGroup
	for _, get := range []func() answer{func() answer { return n.entries(t, "key") }, func() answer { return n.get(t, sumOf("content")) }} {
		all.Go(func() {
			if got := get(); got.status == 200 {
				t.Errorf("%d", got.status)
			}
		})
	}
	testkit.Eventually(t, 10*time.Second, "nobody asks the upstream", func() bool { return len(f.seen("")) == 2 })
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if got := n.get(t, sumOf("other")); got.status == 200 || got.status == 404 || len(f.seen("")) != 2 {
		t.Errorf("after the end: %d", got.status)
	}
}

// NC-96: what isn't a list of entries is neither stored nor served.
func TestWrongEntries(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string // body, "" for a refusal
	}{
		"no JSON": {func(w http.ResponseWriter) { io.WriteString(w, "<html>") }, ""},
		"no list": {func(w http.ResponseWriter) { io.WriteString(w, `{"a": 1}`) }, ""},
		"null":    {func(w http.ResponseWriter) { io.WriteString(w, `null`) }, ""},
		"cut off": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `[]`)
			abort(w)
		}, ""},
		"no text":       {func(w http.ResponseWriter) { io.WriteString(w, "[[\"\xff\", \"\"]]") }, ""},
		"too much":      {func(w http.ResponseWriter) { io.WriteString(w, "["+strings.Repeat(" ", maximumEntries)+"]") }, ""},
		"a redirection": {func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) }, ""},
		"other things":  {func(w http.ResponseWriter) { io.WriteString(w, `[1, ["a",  "b"], ["c"], null]`) }, `[["a",  "b"]]`},
		"nothing":       {func(w http.ResponseWriter) { io.WriteString(w, `[]`) }, `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFar(t)
			f.instead = func(w http.ResponseWriter, _ *http.Request) bool { test.answer(w); return true }
			n := startNear(t, "", nil, f.url)
			got := n.entries(t, "key")
			left, err := n.store.Entries.Keys(t.Context())
			if test.want == "" && (got.status != 502 || len(left) > 0 || err != nil || strings.Count(n.log.String(), "\n") != 1) {
				t.Errorf("%d %.100q, kept %v %v\n%s", got.status, got.body, left, err, n.log)
			}
			if test.want != "" && (got.status != 200 || got.body != test.want) {
				t.Errorf("%d %q", got.status, got.body)
			}
		})
	}
}

// NC-96: the rest of a list that is too long isn't read.
func TestEndlessEntries(t *testing.T) {
	f := startFar(t)
	taken := make(chan int, 1)
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		var err error
		count, piece := 0, bytes.Repeat([]byte{' '}, 1<<20)
		for err == nil && count < 4*maximumEntries {
			_, err = w.Write(piece)
			count += len(piece)
		}
		taken <- count
		return true
	}
	n := startNear(t, "", nil, f.url)
	if got := n.entries(t, "key"); got.status != 502 {
		t.Errorf("%d", got.status)
	}
	if count := <-taken; count >= 4*maximumEntries {
		t.Errorf("%d bytes were read", count)
	}
}

// NC-94: the first upstream that has entries answers.
func TestEntriesOfSeveral(t *testing.T) {
	first, second := startFar(t), startFar(t)
	second.add(t, "second", entryOf("2"))
	first.add(t, "both", entryOf("1"))
	second.add(t, "both", entryOf("2"))
	n := startNear(t, "", nil, "http://127.0.0.1:1", first.url, second.url)
	for key, want := range map[string]string{"second": `\"2\"`, "both": `\"1\"`} {
		if got := n.entries(t, key); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s", key, got.status, got.body)
		}
	}
	if got := n.entries(t, "neither"); got.status != 502 {
		t.Errorf("the first may have it: %d", got.status)
	}
}

// NC-97.
func TestUploads(t *testing.T) {
	f := startFar(t)
	const content, entry = "content", `["{}", ""]`
	refusing := startNear(t, "", nil, f.url)
	for _, call := range [][3]string{{"POST", "cache", content}, {"PUT", "cache/" + sumOf(content), content}, {"PUT", "dir/key", entry}} {
		if got := ask(t, call[0], refusing.url+"/shacache/"+call[1], call[2]); got.status != 403 {
			t.Errorf("%s %s: %d %s", call[0], call[1], got.status, got.body)
		}
	}
	if len(f.requests) > 0 {
		t.Error("a refused upload reached the upstream")
	}
	n := startNear(t, "", func(o *Options) { o.PassUploads = true }, f.url)
	n.entries(t, "key")
	for _, call := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"POST", "cache", content, 201, sumOf(content)},
		{"PUT", "cache/" + sumOf("other"), "other", 201, sumOf("other")},
		{"PUT", "cache/" + sumOf("x"), "y", 400, "Checksum mismatch\n"},
		{"PUT", "dir/key", entry, 201, ""},
		{"PUT", "dir/key", "{}", 400, "Invalid entry format\n"},
		{"PUT", "dir/.new-x", entry, 400, "The upstream refuses this upload\n"},
	} {
		if got := ask(t, call.method, n.url+"/shacache/"+call.path, call.body); got.status != call.status || got.body != call.answer {
			t.Errorf("%s %s: %d %s", call.method, call.path, got.status, got.body)
		}
	}
	for _, body := range []string{content, "other"} {
		if has, err := f.store.Contents.Has(t.Context(), sumOf(body)); !has || err != nil {
			t.Errorf("%q isn't upstream: %v", body, err)
		}
	}
	if got := n.entries(t, "key"); got.status != 200 || got.body != "["+entry+"]" {
		t.Errorf("a new entry isn't seen: %d %s", got.status, got.body)
	}
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	for _, call := range [][3]string{{"POST", "cache", "z"}, {"PUT", "dir/key", entry}} {
		if got := ask(t, call[0], n.url+"/shacache/"+call[1], call[2]); got.status != 502 {
			t.Errorf("%s %s that the upstream refuses: %d %s", call[0], call[1], got.status, got.body)
		}
	}
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "another sum")
		return true
	}
	if got := ask(t, "POST", n.url+"/shacache/cache", "z"); got.status != 502 {
		t.Errorf("an upload that arrived wrong: %d", got.status)
	}
}

// NC-98: requests that come back are refused at once, and the next upstream is
// asked; caches may stand behind each other.
func TestLoops(t *testing.T) {
	testkit.NoLeaks(t)
	var upstreams [2][]Upstream
	caches := [2]*near{startNear(t, "", nil), startNear(t, "", nil)}
	for i, n := range caches {
		upstreams[i] = []Upstream{upstreamAt(t, caches[1-i].url)}
		setUpstreams(t, n, upstreams[i])
	}
	sum := sumOf("content")
	for what, got := range map[string]answer{"entries": caches[0].entries(t, "key"), "content": caches[1].get(t, sum)} {
		if got.status != 502 {
			t.Errorf("%s in a loop: %d %s", what, got.status, got.body)
		}
	}
	f := startFar(t)
	f.add(t, "key", entryOf(sum))
	f.put(t, "content")
	for i, n := range caches {
		setUpstreams(t, n, append(upstreams[i], upstreamAt(t, f.url)))
		n.clock.pass(rest)
	}
	if got := caches[0].entries(t, "key"); got.status != 200 {
		t.Errorf("entries from behind the loop: %d %s", got.status, got.body)
	}
	if got := caches[0].get(t, sum); got.status != 200 || got.body != "content" {
		t.Errorf("content from behind the loop: %d %s", got.status, got.body)
	}
	via := "1.1 a" + strings.Repeat(", 1.1 a", maximumHops)
	if got := caches[0].entries(t, "other", "Via", via); got.status != http.StatusLoopDetected {
		t.Errorf("a long way: %d", got.status)
	}
	if got := caches[0].get(t, sumOf("other"), "Via", via); got.status != http.StatusLoopDetected {
		t.Errorf("a long way: %d", got.status)
	}
}

func setUpstreams(t *testing.T, n *near, all []Upstream) {
	t.Helper()
	n.upstreams = nil
	for _, u := range all {
		made, err := newUpstream(n.Cache, u)
		if err != nil {
			t.Fatal(err)
		}
		n.upstreams = append(n.upstreams, made)
	}
}

// NC-98: a cache doesn't wait for another one for long: that may wait for it.
func TestCachesDontWait(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	gate := make(chan struct{})
	f.instead = func(http.ResponseWriter, *http.Request) bool { <-gate; return false }
	n := startNear(t, "", func(o *Options) { o.Wait = 2 * time.Second }, f.url)
	for _, get := range []func() answer{
		func() answer { return n.entries(t, "key", "Via", "1.1 other") },
		func() answer { return n.get(t, sumOf("content"), "Via", "1.1 other") },
	} {
		if got := get(); got.status != http.StatusGatewayTimeout {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	close(gate)
}

// NC-99: entries go when nobody has asked for them for long.
func TestUnusedEntries(t *testing.T) {
	f := startFar(t)
	n := startNear(t, "", func(o *Options) { o.Store.MaximumAge = time.Hour }, f.url)
	for _, key := range []string{"used", "unused"} {
		f.add(t, key, entryOf("1"))
		n.entries(t, key)
	}
	for range 3 {
		n.clock.pass(40 * time.Minute)
		n.entries(t, "used")
		if err := n.forgetUnused(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := n.store.Entries.Keys(t.Context()); err != nil || fmt.Sprint(keys) != "[used]" {
		t.Errorf("kept: %v %v", keys, err)
	}
	again := startNear(t, n.directory, func(o *Options) { o.Store.MaximumAge = time.Hour }, f.url)
	if err := again.forgetUnused(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys, err := again.store.Entries.Keys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("a restart forgets what was used: %v %v", keys, err)
	}
}

// The keys that are remembered are bounded.
func TestManyKeys(t *testing.T) {
	known := freshness{lasts: time.Hour, known: map[string]asked{}}
	now := time.Now()
	for i := range maximumKeys + 10 {
		known.answered(fmt.Sprint(i), now)
	}
	if len(known.known) > maximumKeys {
		t.Errorf("%d keys", len(known.known))
	}
}

// POST /shacache/update makes all be asked again, and forgets nothing.
func TestUpdate(t *testing.T) {
	f := startFar(t)
	f.add(t, "key", entryOf("1"))
	n := startNear(t, "", nil, f.url)
	n.entries(t, "key")
	if got := ask(t, "POST", n.url+"/shacache/update", ""); got.status != 200 || got.body != `{"removed":[],"updated":["key"]}`+"\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
	n.entries(t, "key")
	if requests := len(f.seen("/dir/")); requests != 2 {
		t.Errorf("asked %d times", requests)
	}
}

func FuzzOnlyEntries(f *testing.F) {
	for _, text := range []string{`[]`, `[["a", "b"]]`, `[["a","b"], 1]`, `{}`, "", `[["\ud800", ""]]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kept, err := onlyEntries([]byte(text))
		if err != nil {
			return
		}
		before, err := networkcache.ParseEntries([]byte(text))
		if err != nil {
			t.Fatalf("%q is taken: %v", text, err)
		}
		after, err := networkcache.ParseEntries(kept)
		if err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%q becomes %q: %v", text, kept, err)
		}
		again, err := onlyEntries(kept)
		if err != nil || string(again) != string(kept) {
			t.Errorf("%q becomes %q: %v", kept, again, err)
		}
	})
}

var _ server.Origin = (*Cache)(nil)

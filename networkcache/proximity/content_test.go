// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/networkcache/server"
	"slapos/slap/testkit"
)

// NC-95: small and large contents come through, and stay.
func TestContent(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	n := startNear(t, "", nil, f.url)
	for _, size := range []int{0, 1, 1000, openAtOnce - 1, openAtOnce, 3*openAtOnce + 7} {
		content := noise(size)
		sum := f.put(t, content)
		if got := n.get(t, sum); got.status != 200 || got.body != content || got.err != nil || got.header.Get("Cache-Status") != statusMiss && size > 0 {
			t.Errorf("%d bytes: %d, %d bytes, %q, %v", size, got.status, len(got.body), got.header.Get("Cache-Status"), got.err)
		}
		if !n.has(t, sum) {
			t.Errorf("%d bytes aren't stored", size)
		}
		if got := n.get(t, sum); got.body != content || got.header.Get("Cache-Status") != "" {
			t.Errorf("%d bytes again: %d, %q", size, got.status, got.header.Get("Cache-Status"))
		}
		if asked := len(f.seen(sum)); asked > 1 {
			t.Errorf("%d bytes: asked %d times", size, asked)
		}
	}
	if names := testkit.Names(t, n.directory); len(names) != 6 {
		t.Errorf("left: %v", names)
	}
	for _, name := range []string{sumOf("unknown"), "x", "..%2fx"} {
		if got := n.get(t, name); got.status != 404 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if asked := len(f.seen("/cache/x")); asked > 0 {
		t.Error("the upstream was asked for what is no sum")
	}
}

// A slow upstream sends the first part of a content, and the rest when it is
// told to.
func slow(f *far, content string, first int) (release func()) {
	gate := make(chan struct{})
	f.instead = func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		io.WriteString(w, content[:first])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-gate:
			io.WriteString(w, content[first:])
		case <-r.Context().Done():
		}
		return true
	}
	return sync.OnceFunc(func() { close(gate) })
}

// NC-95: one fetch for all; late ones read what has arrived, ranges too; the end
// comes when the sum is right.
func TestTogether(t *testing.T) {
	testkit.NoLeaks(t)
	f := startFar(t)
	n := startNear(t, "", nil, f.url)
	content := noise(3 * openAtOnce)
	sum, first := sumOf(content), 2*openAtOnce
	release := slow(f, content, first)
	defer release()
	open := func(header string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/shacache/cache/"+sum, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			request.Header.Set("Range", header)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	var responses []*http.Response
	for range 10 {
		response := open("")
		defer response.Body.Close()
		begun := make([]byte, first-8<<10) // some waits in buffers
		if _, err := io.ReadFull(response.Body, begun); err != nil || string(begun) != content[:len(begun)] {
			t.Fatal("what has arrived isn't sent: ", err)
		}
		responses = append(responses, response)
	}
	if got := n.get(t, sum, "Range", "bytes=100-199"); got.status != 206 || got.body != content[100:200] || got.header.Get("Cache-Status") != statusTogether {
		t.Errorf("range: %d %q, %q", got.status, got.body, got.header.Get("Cache-Status"))
	}
	if has, err := n.store.Contents.Has(t.Context(), sum); has || err != nil {
		t.Errorf("stored before it is whole: %v", err)
	}
	tail := open(fmt.Sprintf("bytes=%d-", len(content)-10))
	defer tail.Body.Close()
	release()
	if text, err := io.ReadAll(tail.Body); err != nil || string(text) != content[len(content)-10:] {
		t.Errorf("the end: %q %v", text, err)
	}
	for _, response := range responses {
		if text, err := io.ReadAll(response.Body); err != nil || !strings.HasSuffix(content, string(text)) || len(text) != 8<<10+len(content)-first {
			t.Errorf("%d bytes more, %v", len(text), err)
		}
	}
	if asked := len(f.seen(sum)); asked != 1 || !n.has(t, sum) {
		t.Errorf("asked %d times", asked)
	}
}

// NC-95: when all clients have gone, so has the fetch; the next client goes on
// where it was, with a new cache as well.
func TestResume(t *testing.T) {
	content := noise(4 * openAtOnce)
	sum, first := sumOf(content), 2*openAtOnce
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprint("restarted ", restarted), func(t *testing.T) {
			testkit.NoLeaks(t)
			f := startFar(t)
			n := startNear(t, "", nil, f.url)
			defer slow(f, content, first)()
			request, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/shacache/cache/"+sum, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(response.Body, make([]byte, first-8<<10)); err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			n.settle(t)
			f.instead = func(w http.ResponseWriter, r *http.Request) bool { serveRanges(w, r, content); return true }
			if restarted {
				n = startNear(t, n.directory, nil, f.url)
			}
			if got := n.get(t, sum); got.body != content || got.err != nil || !n.has(t, sum) {
				t.Errorf("%d, %d bytes, %v", got.status, len(got.body), got.err)
			}
			requests := f.seen(sum)
			if last := requests[len(requests)-1].Header.Get("Range"); len(requests) != 2 || last != fmt.Sprintf("bytes=%d-", first) {
				t.Errorf("%d requests, the last for %q", len(requests), last)
			}
		})
	}
}

// NC-95: what breaks off is asked for from there on, by the tag of the content;
// clients don't notice.
func TestBreaks(t *testing.T) {
	testkit.NoLeaks(t)
	content := noise(5 * openAtOnce)
	sum := sumOf(content)
	cut := func(w http.ResponseWriter, content string, from int) {
		io.WriteString(w, content[from:min(len(content), from+openAtOnce+100)])
		abort(w)
	}
	for name, test := range map[string]struct {
		first  func(w http.ResponseWriter, r *http.Request) // upstream
		second bool                                         // has the content
		asks   int                                          // of the first
	}{
		"ranges": {func(w http.ResponseWriter, r *http.Request) {
			from := 0
			if header := r.Header.Get("Range"); header != "" {
				fmt.Sscanf(header, "bytes=%d-", &from)
				if r.Header.Get("If-Range") != `"a tag"` {
					t.Errorf("If-Range %q", r.Header.Get("If-Range"))
				}
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			}
			w.Header().Set("Etag", `"a tag"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
			if from > 0 {
				w.WriteHeader(206)
			}
			cut(w, content, from)
		}, false, 5},
		"no ranges": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			if r.Header.Get("Range") == "" {
				cut(w, content, 0)
			}
			io.WriteString(w, content)
		}, false, 2},
		"another upstream": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			if r.Header.Get("Range") == "" {
				cut(w, content, 0)
			}
			abort(w)
		}, true, 2},
		"another size": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				cut(w, content, 0)
			}
			io.WriteString(w, "a page of errors")
		}, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := startFar(t), startFar(t)
			first.instead = func(w http.ResponseWriter, r *http.Request) bool { test.first(w, r); return true }
			if test.second {
				second.put(t, content)
			}
			n := startNear(t, "", nil, first.url, second.url)
			if got := n.get(t, sum); got.status != 200 || got.body != content || got.err != nil || !n.has(t, sum) {
				t.Errorf("%d, %d bytes, %v\n%s", got.status, len(got.body), got.err, n.log)
			}
			if asks := len(first.seen(sum)); asks != test.asks {
				t.Errorf("asked %d times, not %d", asks, test.asks)
			}
		})
	}
}

// NC-96: whatever an upstream sends, nobody gets a wrong content whole, and it
// isn't stored; the log has a line.
func TestWrongContent(t *testing.T) {
	content := noise(2 * openAtOnce)
	sum := sumOf(content)
	wrong := strings.Replace(content, content[100:110], "0123456789", 1)
	sized := func(text string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			io.WriteString(w, text)
		}
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"other bytes":  sized(wrong),
		"fewer bytes":  sized(content[:len(content)-1]),
		"more bytes":   sized(content + "x"),
		"a small page": sized("<html>"),
		"nothing":      sized(""),
		"size unknown": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, wrong) },
		"wrong range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(206)
			io.WriteString(w, "56789")
		},
		"a part of a range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-4/10")
			w.WriteHeader(206)
			io.WriteString(w, "01234")
		},
		"no range":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); io.WriteString(w, content) },
		"created":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); io.WriteString(w, content) },
		"redirected": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/x"); w.WriteHeader(302) },
		"refused":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"compressed": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			sized(wrong)(w, r)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "0")
			abort(w)
		},
		"cut off at once": func(w http.ResponseWriter, _ *http.Request) { abort(w) },
		"an enormous length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9223372036854775807")
			io.WriteString(w, "0")
			abort(w)
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.NoLeaks(t)
			liar := startFar(t)
			liar.instead = func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true }
			n := startNear(t, "", nil, liar.url)
			got := n.get(t, sum)
			if got.status == 200 && got.err == nil {
				t.Errorf("served: %d bytes", len(got.body))
			}
			if n.has(t, sum) {
				t.Error("stored")
			}
			lines := strings.Count(n.log.String(), "\n")
			if lines == 0 || lines > 2 || lines == 2 && !strings.Contains(name, "cut off") && name != "an enormous length" { // a second try
				t.Errorf("log:\n%s", n.log)
			}
			// Another upstream is right: for small contents at once, for others after
			// what they left is found to be wrong.
			right := startFar(t)
			right.put(t, content)
			n = startNear(t, "", nil, liar.url, right.url)
			for range 3 {
				if got = n.get(t, sum); got.status == 200 && got.err == nil {
					break
				}
			}
			if got.body != content || !n.has(t, sum) {
				t.Errorf("with another upstream: %d, %d bytes, %v\n%s", got.status, len(got.body), got.err, n.log)
			}
		})
	}
}

// NC-95: the last byte waits until the sum is right, and never comes if it isn't.
func TestWrongEnd(t *testing.T) {
	content := noise(2 * openAtOnce)
	f := startFar(t)
	f.instead = func(w http.ResponseWriter, r *http.Request) bool {
		serveRanges(w, r, content[:len(content)-1]+"x")
		return true
	}
	n := startNear(t, "", nil, f.url)
	sum := sumOf(content)
	for _, header := range []string{"", fmt.Sprintf("bytes=%d-", len(content)-1)} {
		got := n.get(t, sum, "Range", header)
		if got.status/100 == 2 && got.err == nil || strings.HasSuffix(got.body, "x") {
			t.Errorf("range %q: %d, %d bytes", header, got.status, len(got.body))
		}
	}
	arrived := n.newFetch(sum, "")
	defer arrived.cancel()
	arrived.size, arrived.arrived = 10, 10
	if err := arrived.openFile(); err != nil {
		t.Fatal(err)
	}
	defer arrived.file.Close()
	if _, err := arrived.file.WriteString("0123456789"); err != nil {
		t.Fatal(err)
	}
	arrived.arrived = 10
	ctx, cancel := context.WithCancel(t.Context())
	r, piece := &reader{fetch: arrived, ctx: ctx}, make([]byte, 20)
	if count, err := r.Read(piece); count != 9 || err != nil {
		t.Errorf("all has arrived, %d bytes are read, %v", count, err)
	}
	cancel()
	if count, err := r.Read(piece); count != 0 || err != context.Canceled {
		t.Errorf("the end before the sum is known to be right: %d, %v", count, err)
	}
	arrived.change(func() { arrived.verified = true })
	if count, err := r.Read(piece); count != 1 || err != nil {
		t.Errorf("the end: %d, %v", count, err)
	}
}

// NC-96: an upstream that hangs costs the configured wait, once in a while.
func TestHangingUpstream(t *testing.T) {
	testkit.NoLeaks(t)
	content := noise(1000)
	hanging, right := startFar(t), startFar(t)
	ended := make(chan struct{})
	defer close(ended)
	hanging.instead = func(http.ResponseWriter, *http.Request) bool { <-ended; return false }
	right.put(t, content)
	right.add(t, "key", entryOf("1"))
	n := startNear(t, "", func(o *Options) { o.Wait = 300 * time.Millisecond }, hanging.url, right.url)
	if got := n.get(t, sumOf(content)); got.body != content {
		t.Errorf("%d %v", got.status, got.err)
	}
	if got := n.entries(t, "key"); got.status != 200 {
		t.Errorf("%d %v", got.status, got.err)
	}
	if asked := len(hanging.seen("")); asked != 1 || strings.Count(n.log.String(), "\n") != 1 {
		t.Errorf("asked %d times\n%s", asked, n.log)
	}
}

// NC-99: what is larger than the whole cache isn't fetched; what is unused goes.
func TestBounds(t *testing.T) {
	f := startFar(t)
	n := startNear(t, "", func(o *Options) { o.Store.MaximumSize = 1000 }, f.url)
	if got := n.get(t, f.put(t, noise(1001))); got.status != 507 {
		t.Errorf("too large: %d", got.status)
	}
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		io.WriteString(w, noise(600))
		_ = http.NewResponseController(w).Flush()
		io.WriteString(w, noise(600))
		return true
	}
	if got := n.get(t, sumOf(noise(600)+noise(600))); got.status != 507 {
		t.Errorf("too large, of unknown size: %d", got.status)
	}
	f.instead = nil
	go n.store.CollectEvery(t.Context(), time.Hour, nil)
	for i := range 5 {
		f.add(t, "key", entryOf("1"))
		n.entries(t, "key")
		if got := n.get(t, f.put(t, fmt.Sprint(i)+noise(600))); got.status != 200 {
			t.Errorf("%d", got.status)
		}
		n.settle(t)
	}
	testkit.Eventually(t, 10*time.Second, "more than the maximum stays", func() bool {
		all, err := n.store.Contents.List(t.Context())
		return err == nil && len(all) == 1
	})
	if got := n.entries(t, "key"); got.status != 200 {
		t.Errorf("entries of removed contents: %d", got.status)
	}
}

// NC-99: of broken fetches only some leave their files.
func TestLeftFiles(t *testing.T) {
	f := startFar(t)
	f.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "begun")
		abort(w)
		return true
	}
	n := startNear(t, "", nil, f.url)
	for i := range maximumLeft + 5 {
		n.get(t, sumOf(fmt.Sprint(i)))
		n.settle(t)
	}
	if names := testkit.Names(t, n.directory); len(names) != maximumLeft {
		t.Errorf("%d files left", len(names))
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range testkit.Names(t, n.directory) {
		if err := os.Chtimes(filepath.Join(n.directory, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.store.Contents.List(t.Context()); err != nil || len(testkit.Names(t, n.directory)) > 0 {
		t.Errorf("after a day: %v %v", testkit.Names(t, n.directory), err)
	}
}

// What an earlier fetch left may be anything.
func TestOddLeftFiles(t *testing.T) {
	content := noise(1000)
	for name, left := range map[string]string{
		"other bytes": noise(2000)[1000:1500], "too long": content + "more", "whole": content, "wrong and whole": noise(2000)[1000:],
	} {
		t.Run(name, func(t *testing.T) {
			f := startFar(t)
			sum := f.put(t, content)
			n := startNear(t, "", nil, f.url)
			testkit.WriteFile(t, filepath.Join(n.directory, server.PartialName(sum)), left)
			var got answer
			for range 2 { // the first may find that it is wrong
				if got = n.get(t, sum); got.status == 200 {
					break
				}
			}
			if got.body != content || !n.has(t, sum) || len(testkit.Names(t, n.directory)) != 1 {
				t.Errorf("%d %v\n%s", got.status, testkit.Names(t, n.directory), n.log)
			}
			if asked := len(f.seen(sum)); name == "whole" && asked > 0 {
				t.Error("asked for what is here")
			}
		})
	}
}

// Many clients come and go while contents are fetched, break off and are wrong.
func TestRaceOfClients(t *testing.T) {
	testkit.NoLeaks(t)
	content := noise(2*openAtOnce + 99)
	f := startFar(t)
	var mu sync.Mutex
	turn := 0
	f.instead = func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		turn++
		odd := turn % 3
		mu.Unlock()
		switch odd {
		case 1:
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			io.WriteString(w, content[:openAtOnce+turn])
			abort(w)
		case 2:
			serveRanges(w, r, content)
		default:
			w.WriteHeader(500)
		}
		return true
	}
	n := startNear(t, "", nil, f.url)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/shacache/cache/"+sumOf(content), nil)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			var got bytes.Buffer
			if i%2 == 0 {
				_, _ = io.CopyN(&got, response.Body, int64(i*1000))
				return
			}
			if _, err := io.Copy(&got, response.Body); response.StatusCode == 200 && err == nil && got.String() != content {
				t.Errorf("%d bytes, whole and wrong", got.Len())
			}
		})
	}
	all.Wait()
	if got := n.get(t, sumOf(content)); got.status == 200 && got.err == nil && got.body != content {
		t.Error("wrong")
	}
	n.settle(t)
}

func FuzzContentRange(f *testing.F) {
	for _, text := range []string{"bytes 0-9/10", "bytes 5-9/10", "bytes 0-9/*", "bytes */10", "bytes 9-0/1", "", "bytes -1-9/10", "bytes 0-9223372036854775807/9223372036854775808"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, begin, err := parseContentRange(text)
		if err == nil && (begin < 0 || begin >= size) {
			t.Errorf("%q: from %d of %d", text, begin, size)
		}
	})
}

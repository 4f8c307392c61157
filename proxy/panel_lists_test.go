// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
)

// TestPanelStory follows a failing build: the panel says what is wrong, since when,
// and has the log.
func TestPanelStory(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.request("i")
	l.expectPage(l.get("/panel/instance?title=i"), 200, `class="state waiting"`, "waits for "+release)
	l.post("/buildingSoftwareRelease", "url", release, "computer_id", "local_computer")
	l.expectPage(l.get("/panel/software"), 200, "1 building")
	l.post("/softwareReleaseError", "url", release, "computer_id", "local_computer", "error_log", "While:\n  Installing x.\nError: Couldn't find <x>")
	l.expectPage(l.get("/panel/"), 200, "Error: Couldn&#39;t find &lt;x&gt;", `class="state stuck"`, "reported error")
	l.expectPage(l.get("/panel/node?id=local_computer"), 200, `class="state failed"`, "2 free partitions")
	l.expectPage(l.get("/panel/release?url="+url.QueryEscape(release)), 200, "Last failure", "1 instance")
	l.expectPage(l.get("/panel/instances?state=attention"), 200, "waits for "+release+", which failed")
	page := l.get("/panel/instance?title=i")
	l.expectPage(page, 200, "Installing x.", "The whole log", "requested started")
	_, link, _ := strings.Cut(page.body, `href="log?event=`)
	event, _, _ := strings.Cut(link, `"`)
	l.expectPage(l.get("/panel/log?event="+event), 200, "3 lines", "Installing x.")
	got := l.get("/panel/log?download=1&event=" + event)
	l.expect(got, 200, "While:\n  Installing x.\nError: Couldn't find <x>")
	if disposition := got.header.Get("Content-Disposition"); !strings.HasPrefix(disposition, "attachment") || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the log is a page: %v", got.header)
	}
	l.expectPage(l.get("/panel/log?event=99"), 404, "Nothing here")
	l.post("/availableSoftwareRelease", "url", release, "computer_id", "local_computer")
	l.post("/startedComputerPartition", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.expectPage(l.get("/panel/instance?title=i"), 200, `class="state running"`)
	l.expectPage(l.get("/panel/"), 200, `<p class="calm">Nothing.</p>`)
	// What is gone is found by its name.
	l.post("/panel/destroy", "title", "i")
	l.post("/destroyedComputerPartition", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.expectPage(l.get("/panel/instance?title=i"), 404, "There is no such instance any more.", "requested started")
}

// TestPanelLists pages, sorts and filters, by addresses that can be shared.
func TestPanelLists(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(60)
	for i := range 55 {
		l.request(fmt.Sprintf("web%02d", i))
	}
	l.expectPage(l.get("/panel/instances"), 200, "1 to 50 of 55 instances", `href="?page=2" rel="next"`, ">web49<")
	got := l.get("/panel/instances?page=2&sort=name&q=web")
	l.expectPage(got, 200, "51 to 55 of 55 instances", `href="?page=1&amp;q=web&amp;sort=name" rel="prev"`, `aria-sort="ascending"><a href="?q=web&amp;sort=-name"`, ">web54<")
	if strings.Contains(got.body, ">web49<") {
		t.Error("the first page's rows are on the second")
	}
	l.expectPage(l.get("/panel/instances?page=99"), 200, "51 to 55 of 55")
	l.expectPage(l.get("/panel/instances?q=web07+local"), 200, "1 to 1 of 1 instance<")
	l.expectPage(l.get("/panel/instances?state=running"), 200, "No instance is like that")
	l.expectPage(l.get("/panel/nodes?q=local&state=never"), 200, "55 of 60 in use")
	l.expectPage(l.get("/panel/software"), 200, "not supplied", ">55<")
	for from, to := range map[string]string{"?q=web": "instances?q=web", "computer?id=local_computer&q=x": "node?id=local_computer&q=x"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.server.URL+"/panel/"+from, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 301 || answer.Header.Get("Location") != to {
			t.Errorf("%s leads to %s (%d)", from, answer.Header.Get("Location"), answer.StatusCode)
		}
	}
	l.expectPage(l.get("/panel/nothing"), 404, "Nothing here", `<nav aria-label="Panel">`, `href="./"`)
	l.expectPage(l.get("/panel/state"), 405, "Not possible", `<nav aria-label="Panel">`)
}

// TestPanelBulk changes several instances, once it was said what that breaks.
func TestPanelBulk(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(4)
	l.request("host")
	l.request("other")
	l.request("child", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.request("guest", "shared_xml", marshal(t, true), "filter_xml", marshal(t, slap.Dict{"instance_guid": "local_computer-slappart0"}))
	chosen := url.Values{"i": {"title=host", "title=other", "title=child&root=host", "title=gone"}}.Encode()
	form := func(more string) answer {
		return l.do(http.MethodPost, "/panel/bulk", "application/x-www-form-urlencoded", more+"&"+chosen)
	}
	l.expectPage(form("state=destroyed"), 200, "Destroy 2 instances", "its data will be deleted", "1 shared instance that it hosts will stop working",
		"1 instance that it requested will be destroyed too", "another instance requested it: host", "it isn&#39;t there any more")
	if state := l.named(store.Name{Title: "host"}).State; state != "started" {
		t.Errorf("nobody was sure, and it is %s", state)
	}
	l.expectPage(l.post("/panel/bulk", "state", "stopped"), 200, "Choose instances")
	l.expectGoesTo(form("state=stopped&sure=1"), "instances?done=bulk-stopped")
	for title, want := range map[string]string{"host": "stopped", "other": "stopped"} {
		if state := l.named(store.Name{Title: title}).State; state != want {
			t.Errorf("%s is %s", title, state)
		}
	}
	if state := l.named(store.Name{Title: "child", Root: "host"}).State; state != "started" {
		t.Errorf("a child is %s", state)
	}
	if got := l.post("/panel/bulk", "state", "free", "i", "title=host"); got.status != 404 {
		t.Errorf("another state: %s", got)
	}
}

// TestPanelEvents: one who watches is told of what happens, and of what happened while
// the stream was broken.
func TestPanelEvents(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	next := func(last string) (string, func()) {
		ctx, stop := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.URL+"/panel/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("a stream of %s", kind)
		}
		lines := bufio.NewScanner(answer.Body)
		if last == "" {
			l.request("i")
		}
		id := ""
		for id == "" && lines.Scan() {
			id, _ = strings.CutPrefix(lines.Text(), "id: ")
			if id == lines.Text() {
				id = ""
			}
		}
		return id, func() { stop(); answer.Body.Close() }
	}
	first, stop := next("") // and goes on to watch
	defer stop()
	if first == "" {
		t.Fatal("nothing was told")
	}
	l.request("j")
	second, stop := next(first)
	defer stop()
	if second == "" || second == first {
		t.Errorf("after %s: %q", first, second)
	}
	// A page says up to where it knows.
	l.expectPage(l.get("/panel/nodes"), 200, `data-event="`+second+`"`)
}

// TestPanelLive sees in a browser what happens, without reloading, and uses the keys.
func TestPanelLive(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(2)
	b := newBrowser(t, l)
	b.open("instances")
	b.expect("No instance yet.")
	evaluate[bool](b, "window.kept = true")
	l.request("hello")
	b.expect("hello")
	b.wait("window.kept")
	b.run(chromedp.KeyEvent("?"))
	b.wait(`document.getElementById("keys").open`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.wait(`!document.getElementById("keys").open`)
	b.run(chromedp.KeyEvent("/"))
	b.wait(`document.activeElement.id === "q"`)
	// All is chosen on this page and asked for on the next.
	b.run(chromedp.Click(chromedp.CSS(`input[name="i"]`)))
	b.follow(`button[value="stopped"]`)
	b.expect("Stop 1 instance")
	b.follow("button.main")
	b.expect("Stop requested for the chosen instances.")
	if state := l.named(store.Name{Title: "hello"}).State; state != "stopped" {
		t.Errorf("it is %s", state)
	}
	// Values are copied by a button that scripts add.
	l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0",
		"connection_xml", marshal(t, slap.Dict{"url": "http://there/"}))
	b.open("instance?title=hello")
	b.wait(`document.querySelector(".copy").getAttribute("aria-label") === "Copy url"`)
}

// TestPanelHistory finds what happened by who asked for it, by words, and page by page.
func TestPanelHistory(t *testing.T) {
	l := newLab(t, proxy.Options{TokenName: func(r *http.Request) string { return r.Header.Get("X-Test") }})
	l.load(2)
	l.header.Set("X-Test", "deploy")
	l.request("one")
	l.header.Del("X-Test")
	for i := range 60 {
		l.post("/supplySupply", "url", fmt.Sprintf("http://release/%d", i), "computer_id", "local_computer", "state", "available")
	}
	page := l.get("/panel/history")
	l.expectPage(page, 200, "http://release/59", `rel="next"`)
	if strings.Contains(page.body, "http://release/9<") || strings.Contains(page.body, "Newest") {
		t.Errorf("the first page has all events, or leads to itself")
	}
	_, link, _ := strings.Cut(page.body, `<a class="button" href="?`)
	link, _, _ = strings.Cut(link, `"`)
	l.expectPage(l.get("/panel/history?"+link), 200, "http://release/9<", "by token deploy from 127.0.0.1", "Newest")
	l.expectPage(l.get("/panel/history?q=token+deploy"), 200, `title=one">one</a>`)
	l.expectPage(l.get("/panel/history?q=nothing&kind=node&event=bang"), 200, "No event is like that.", `<option selected>bang</option>`)
	l.expectPage(l.get("/panel/history?kind=node&node=local_computer"), 200, "formatted", "On all nodes")
	l.expectPage(l.get("/panel/history?before=x&q=%00%ff%25&event=%27"), 200, "No event is like that.")
	if got := l.get("/panel/favicon.svg"); got.status != 200 || got.header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("icon: %d %s", got.status, got.header)
	}
}

// TestPanelOfManyNodes has a field to type a node in, and no choice of thousands.
func TestPanelOfManyNodes(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	l.expectPage(l.get("/panel/supply"), 200, `<select id="computer" name="computer">`)
	for i := range 120 {
		if err := l.LoadComputer(t.Context(), store.ComputerDescription{Reference: fmt.Sprintf("COMP-%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	for _, path := range []string{"/panel/supply?computer=COMP-7", "/panel/request?release=" + url.QueryEscape(release) + "&computer=COMP-7"} {
		page := l.get(path)
		l.expectPage(page, 200, `<input id="computer" name="computer" type="text" value="COMP-7" required`, "one of 121")
		if strings.Contains(page.body, "COMP-8") {
			t.Errorf("%s lists all nodes", path)
		}
	}
	l.expectPage(l.post("/panel/supply", "url", "http://x", "computer", "COMP-x"), 422, "There is no computer COMP-x.", `value="COMP-x"`)
	l.expectPage(l.get("/panel/node?id=local_computer"), 200, "<summary>1 free partition</summary>", "slappart0")
}

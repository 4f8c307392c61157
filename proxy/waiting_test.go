// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// look asks about the default computer as a node does.
func (l *lab) look(tag string, wait time.Duration) slap.Look {
	l.Helper()
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: l.server.URL})
	if err != nil {
		l.Fatal(err)
	}
	defer client.Close()
	found, err := client.WaitComputer(l.Context(), "local_computer", tag, wait)
	if err != nil {
		l.Error(err)
	}
	return found
}

// waits is what the master says of waiting requests.
func (l *lab) waits(count int) {
	l.Helper()
	testkit.Eventually(l.T, testkit.Patience, fmt.Sprintf("%d requests wait", count), func() bool {
		return strings.Contains(l.get("/metrics").body, fmt.Sprintf("\nslapos_proxy_waiting_requests %d\n", count))
	})
}

// TestConditional asks with the tag of an answer, without waiting (AGENT-1).
func TestConditional(t *testing.T) {
	t.Parallel()
	l := newLab(t, proxy.Options{})
	l.load(2)
	plain := l.get(nodePath)
	first := l.look("", 0)
	if first.Computer == nil || len(first.Computer.Partitions) != 2 || first.Tag == "" || first.Tag != plain.header.Get("ETag") || first.Waits {
		t.Fatalf("%+v, %v", first, plain.header)
	}
	if again := l.look(first.Tag, 0); again.Computer != nil || again.Tag != first.Tag {
		t.Errorf("%+v", again)
	}
	for value, want := range map[string]int{
		first.Tag: 304, "W/" + first.Tag: 304, `"x", ` + first.Tag: 304, "*": 200, `"1"`: 200, strings.Trim(first.Tag, `"`): 200,
	} {
		l.header.Set("If-None-Match", value)
		if got := l.get(nodePath); got.status != want || (want == 304) != (got.body == "") || got.header.Get("ETag") != first.Tag {
			t.Errorf("If-None-Match: %s: %s, %v", value, got, got.header)
		}
	}
	l.header.Del("If-None-Match")
	if err := l.Supply(t.Context(), store.Software{URL: release, Computer: "other", State: slap.StateAvailable}); err != nil {
		t.Fatal(err)
	}
	if again := l.look(first.Tag, 0); again.Computer != nil {
		t.Error("a change of another computer counts")
	}
	if err := l.Supply(t.Context(), store.Software{URL: release, Computer: "local_computer", State: slap.StateAvailable}); err != nil {
		t.Fatal(err)
	}
	if again := l.look(first.Tag, time.Hour); again.Computer == nil || again.Tag == first.Tag || !again.Waits {
		t.Errorf("%+v", again)
	}
	// A master that begins again counts anew.
	other := newLabOn(t, l.uri+"2", proxy.Options{}, time.Now)
	other.load(2)
	if again := other.look(first.Tag, time.Hour); again.Computer == nil {
		t.Error("another master knows the tag")
	}
}

// TestWaiting waits for changes of one computer, by this master and by others of its
// database (AGENT-2).
func TestWaiting(t *testing.T) {
	t.Parallel()
	l := newLab(t, proxy.Options{})
	l.load(1)
	beside, err := store.Open(t.Context(), store.Options{URI: l.uri, Computer: "local_computer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { beside.Close() })
	tag := l.look("", 0).Tag
	for i, writer := range []store.Store{l.Store, beside, l.Store} {
		found := make(chan slap.Look, 1)
		go func() { found <- l.look(tag, time.Hour) }()
		l.waits(1)
		if err := writer.Supply(t.Context(), store.Software{URL: release, Computer: "other", State: slap.StateAvailable}); err != nil {
			t.Fatal(err)
		}
		url := fmt.Sprint(release, i)
		if err := writer.Supply(t.Context(), store.Software{URL: url, Computer: "local_computer", State: slap.StateAvailable}); err != nil {
			t.Fatal(err)
		}
		got := <-found
		if got.Computer == nil || !got.Waits || got.Tag == tag {
			t.Fatalf("%+v", got)
		}
		// What another program writes can't be told by computer: that of the other
		// supply may come first.
		for len(got.Computer.SoftwareReleases) != i+1 {
			if got = l.look(got.Tag, time.Hour); got.Computer == nil {
				t.Fatal("no answer")
			}
		}
		tag = got.Tag
	}
	l.waits(0)
	if got := l.look(tag, time.Second); got.Computer != nil || !got.Waits || got.Tag != tag {
		t.Errorf("nothing changed: %+v", got)
	}
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.server.URL+nodePath, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("If-None-Match", tag)
	request.Header.Set("Prefer", "respond-async, WAIT=\"60\"; x=1")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if answer, err := client.Do(request); err == nil {
			answer.Body.Close()
			t.Errorf("answered %s", answer.Status)
		}
	}()
	l.waits(1)
	leave()
	<-gone
	l.waits(0)
}

// TestWaitingEnds has a server stop that requests wait at.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	l := newLab(t, proxy.Options{})
	l.load(1)
	tag := l.look("", 0).Tag
	found := make(chan slap.Look, 1)
	go func() { found <- l.look(tag, time.Hour) }()
	l.waits(1)
	if err := l.server.Config.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-found; got.Computer != nil || got.Tag != tag {
		t.Errorf("%+v", got)
	}
}

// TestWaitingMemory has many nodes wait: each takes less than 40 kB of the master.
func TestWaitingMemory(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	tag := l.look("", 0).Tag
	measure := func() uint64 {
		for range 4 { // each halves the stacks that were needed before
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := measure()
	const nodes = 1000
	var connections []net.Conn
	defer func() {
		for _, c := range connections {
			c.Close()
		}
		l.waits(0)
	}()
	for range nodes {
		c, err := net.Dial("tcp", l.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, c)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\nPrefer: wait=600\r\n\r\n", nodePath, tag)
	}
	l.waits(nodes)
	each := (measure() - before) / nodes
	t.Logf("%d bytes for each node that waits", each)
	if each > 40<<10 {
		t.Error("that is more than 40 kB")
	}
	if err := l.Supply(t.Context(), store.Software{URL: release, Computer: "local_computer", State: slap.StateAvailable}); err != nil {
		t.Fatal(err)
	}
	for _, c := range connections {
		if line, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"slapos/networkcache"
)

// A link is a relay that carries so many bytes a second, for all connections
// together.
type link struct {
	url     string
	carried atomic.Int64

	rate int
	mu   sync.Mutex
	free time.Time // when it has sent what was given to it
}

func startLink(t *testing.T, target string, rate int) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{url: "http://" + listener.Addr().String(), rate: rate}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(target, "http://"))
			if err != nil {
				near.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(far, near); far.Close() })
			all.Go(func() { l.carry(near, far); near.Close() })
		}
	})
	t.Cleanup(func() { listener.Close(); all.Wait() })
	return l
}

// linkSlack is how much a link that was late may catch up.
const linkSlack = 50 * time.Millisecond

// carry sends what comes back, at the rate of the link.
func (l *link) carry(near io.Writer, far io.Reader) {
	piece := make([]byte, 16<<10)
	for {
		n, err := far.Read(piece)
		if n > 0 {
			l.mu.Lock()
			if idle := time.Now().Add(-linkSlack); l.free.Before(idle) {
				l.free = idle
			}
			l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
			until := l.free
			l.mu.Unlock()
			<-time.After(time.Until(until))
			l.carried.Add(int64(n))
			if _, err := near.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestFleet has many clients download the same content at once over a slow link:
// it crosses the link once, and the last client has it within twice the time
// that one alone needs. SLAPOS_TEST_FLEET=1 does so with 50 and 300 MB.
func TestFleet(t *testing.T) {
	clients, size, rate := 20, 4<<20, 2<<20
	if os.Getenv("SLAPOS_TEST_FLEET") != "" {
		clients, size, rate = 50, 300_000_000, 5_000_000
	} else {
		t.Parallel()
	}
	f := startFar(t)
	sum := f.put(t, noise(size))
	slow := startLink(t, f.url, rate)
	install := func(url string) {
		cache := upstreamAt(t, url)
		client, err := networkcache.NewClient(networkcache.Config{Cache: cache.Cache, Directory: cache.Directory})
		if err != nil {
			t.Error(err)
			return
		}
		content, err := client.Download(t.Context(), sum)
		if err != nil {
			t.Error(err)
			return
		}
		defer content.Close()
		if n, err := io.Copy(io.Discard, content); err != nil || n != int64(size) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	began := time.Now()
	install(slow.url)
	one := time.Since(began)
	n := startNear(t, "", nil, slow.url)
	before := slow.carried.Load()
	began = time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() { install(n.url) })
	}
	all.Wait()
	last, carried := time.Since(began), slow.carried.Load()-before
	figures := fmt.Sprintf("%d bytes at %d a second: one client %.1f s, the last of %d %.1f s, %d bytes carried, %d requests",
		size, rate, one.Seconds(), clients, last.Seconds(), carried, len(f.seen(sum))-1)
	t.Log(figures)
	if last > 2*one || carried > int64(size)*101/100 || len(f.seen(sum)) != 2 {
		t.Error("not once, or too slow: ", figures)
	}
	n.settle(t)
}

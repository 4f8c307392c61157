// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"slapos/slap/testkit"
)

// TestRefused gets an error at once if nobody listens.
func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	err = newTestClient(t, ClientConfig{MasterURL: "http://" + listener.Addr().String()}).ComputerBang(t.Context(), "C", "m")
	if !errors.Is(err, ErrConnection) || !errors.Is(err, ErrSlap) {
		t.Error(err)
	}
	const text = "Couldn't connect to the server. Please double check given master-url argument, and make sure that " +
		"IPv6 is enabled on your machine and that the server is available. The original error was:\n"
	if !strings.HasPrefix(err.Error(), text) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("text %s", err)
	}
}

// brokenServer closes a number of connections after reading a request, and
// answers the rest.
func brokenServer(t *testing.T, breaks int) (address string, requests func() int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	count := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
				mu.Lock()
				count++
				broken := count <= breaks
				mu.Unlock()
				if !broken {
					_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n<list/>")
				}
			}
			connection.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return "http://" + listener.Addr().String(), func() int { mu.Lock(); defer mu.Unlock(); return count }
}

func TestRetry(t *testing.T) {
	for _, test := range []struct {
		name     string
		breaks   int
		call     func(context.Context, *Client) error
		requests int
		fails    bool
	}{
		{"GET", 2, func(ctx context.Context, c *Client) error { _, err := c.ProductReleases(ctx, "p"); return err }, 3, false},
		{"GET, broken for good", 9, func(ctx context.Context, c *Client) error { _, err := c.ProductReleases(ctx, "p"); return err }, 3, true},
		{"report", 1, func(ctx context.Context, c *Client) error { return c.Started(ctx, PartitionID{"C", "p"}) }, 2, false},
		{"usage", 1, func(ctx context.Context, c *Client) error { return c.UseComputer(ctx, "C", "u") }, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			address, requests := brokenServer(t, test.breaks)
			err := test.call(t.Context(), newTestClient(t, ClientConfig{MasterURL: address}))
			if test.fails != errors.Is(err, ErrConnection) || !test.fails && err != nil {
				t.Errorf("error %v", err)
			}
			if requests() != test.requests {
				t.Errorf("%d requests, want %d", requests(), test.requests)
			}
		})
	}
}

// TestTimeout bounds the wait for bytes, not the whole answer (SLAP-5).
func TestTimeout(t *testing.T) {
	const timeout = 2 * time.Second
	release := make(chan struct{})
	var bangs atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/computerBang": // never answers
			bangs.Add(1)
			<-release
		case "/getComputerStatus": // stops in the middle
			_, _ = io.WriteString(w, "<dictionary>")
			w.(http.Flusher).Flush()
			<-release
		default: // slow, but never too slow
			for _, piece := range strings.SplitAfter("<list><string>a</string></list>", ">") {
				_, _ = io.WriteString(w, piece)
				w.(http.Flusher).Flush()
				testkit.Watch(t, timeout/4) // the slowness is the point
			}
		}
	}))
	defer server.Close()
	defer close(release)
	c := newTestClient(t, ClientConfig{MasterURL: server.URL, Timeout: timeout})
	if err := c.ComputerBang(t.Context(), "C", "m"); !errors.Is(err, ErrConnection) || !strings.Contains(err.Error(), "no answer within 2s") {
		t.Errorf("silent Master: %v", err)
	}
	if n := bangs.Load(); n != 1 {
		t.Errorf("%d requests after a time-out", n)
	}
	if _, err := c.ComputerStatus(t.Context(), "C"); !errors.Is(err, ErrConnection) {
		t.Errorf("answer that stops: %v", err)
	}
	if releases, err := c.ProductReleases(t.Context(), "p"); err != nil || len(releases) != 1 {
		t.Errorf("slow answer: %v, %v", releases, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("told to stop")
	cancel(stop)
	if err := c.ComputerBang(ctx, "C", "m"); err != stop {
		t.Errorf("cancelled: %v", err)
	}
}

// TestConnectionsAreKept makes calls one after the other on one connection.
func TestConnectionsAreKept(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<list/>")
	}))
	var mu sync.Mutex
	connections := 0
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			connections++
			mu.Unlock()
		}
	}
	server.Start()
	defer server.Close()
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	for range 10 {
		if err := c.Started(t.Context(), PartitionID{"C", "p"}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if connections != 1 {
		t.Errorf("%d connections", connections)
	}
}

// TestErrorsShowNoPassword: the Master's URL may contain one, as may a redirect.
func TestErrorsShowNoPassword(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/computerBang" {
			http.Redirect(w, r, "http://u:hidden@"+r.Host+"/moved", http.StatusTemporaryRedirect)
			return
		}
		http.Error(w, "broken", http.StatusInternalServerError)
	}))
	defer server.Close()
	c := newTestClient(t, ClientConfig{MasterURL: strings.Replace(server.URL, "http://", "http://u:secret@", 1)})
	_, status := c.ComputerStatus(t.Context(), "C")
	for _, err := range []error{status, c.ComputerBang(t.Context(), "C", "m")} {
		var failed *HTTPError
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		for _, text := range []string{err.Error(), failed.URL, fmt.Sprintf("%+v", *failed)} {
			if strings.Contains(text, "secret") || strings.Contains(text, "hidden") {
				t.Errorf("a password is shown: %s", text)
			}
		}
	}
}

// TestAnswersAreLimited: a Master can't fill the memory.
func TestAnswersAreLimited(t *testing.T) {
	endless := io.MultiReader(iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 5000))), iotest.ErrReader(errors.New("read on")))
	if _, err := readAll(endless, -1, 1000); err != errTooLarge {
		t.Errorf("answer: %v", err)
	}
	if _, err := readAll(iotest.ErrReader(errors.New("read on")), 1001, 1000); err != errTooLarge {
		t.Errorf("announced answer: %v", err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, strings.Repeat("x", 1<<20), http.StatusInternalServerError)
	}))
	defer server.Close()
	_, err := newTestClient(t, ClientConfig{MasterURL: server.URL}).ComputerStatus(t.Context(), "C")
	var failed *HTTPError
	if !errors.As(err, &failed) || len(failed.Body) > maxErrorBody {
		t.Errorf("error with %d bytes: %.100s", len(failed.Body), err)
	}
}

// SLAP-24: a Master that never ends its answer is read up to the limit; the error is a
// line that names both, and the connection is closed.
func TestEndlessAnswers(t *testing.T) {
	testkit.NoLeaks(t)
	block := []byte("<!--" + strings.Repeat("x", 1<<20) + "-->")
	closed := make(chan int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := 0
		for {
			n, err := w.Write(block)
			if sent += n; err != nil {
				closed <- sent
				return
			}
		}
	}))
	defer server.Close()
	client := newTestClient(t, ClientConfig{MasterURL: "http://operator:secret@" + server.Listener.Addr().String()})
	for _, test := range []struct {
		name, limit string
		most        int
		call        func() error
	}{
		{"getFullComputerInformation", "128 MiB", maxAnswer, func() error { _, err := client.FullComputerInformation(t.Context(), "C"); return err }},
		{"startedComputerPartition", "1 MiB", maxConfirmation, func() error { return client.Started(t.Context(), PartitionID{"C", "p"}) }},
		{"supplySupply", "1 MiB", maxConfirmation, func() error { return client.Supply(t.Context(), "u", "C", "") }},
		{"useComputer", "1 MiB", maxConfirmation, func() error { return client.UseComputer(t.Context(), "C", "r") }},
		{"getComputerPartitionCertificate", "1 MiB", maxConfirmation, func() error { _, _, err := client.Certificate(t.Context(), PartitionID{"C", "p"}); return err }},
	} {
		err := test.call()
		want := fmt.Sprintf("%s: the answer to %s has more than the %s that are read", server.URL, test.name, test.limit)
		if err == nil || err.Error() != want || !errors.Is(err, ErrServer) {
			t.Errorf("error %v, want %s", err, want)
		}
		// What is on its way belongs to the kernel, some MiB on each side.
		if sent := <-closed; sent < test.most || sent > test.most+64<<20 {
			t.Errorf("%s: the server sent %d bytes, want about %d", test.name, sent, test.most)
		}
	}
}

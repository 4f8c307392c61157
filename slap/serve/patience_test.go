// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// serveUntil serves until the test ends, and returns the address.
func serveUntil(t *testing.T, loop Loop) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loop.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop.Serve(ctx, []net.Listener{listener}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// begin sends a request's head and the beginning of its body.
func begin(t *testing.T, address, path string, length int, body string) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	if _, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, length, body); err != nil {
		t.Fatal(err)
	}
	return connection
}

// TestUnfinishedBodies opens connections with bodies that don't end (PROXY-184).
func TestUnfinishedBodies(t *testing.T) {
	read := make(chan error, 1)
	address := serveUntil(t, Loop{Patience: 500 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			text, err := io.ReadAll(r.Body)
			read <- err
			_, _ = fmt.Fprint(w, len(text))
		}
	})})
	stopped := begin(t, address, "/read", 100, "half")
	select {
	case err := <-read:
		if err == nil {
			t.Error("a body that stops is whole")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a body that stops is waited for")
	}
	ignored := begin(t, address, "/", 100, "half")
	for _, connection := range []net.Conn{stopped, ignored} {
		_ = connection.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(connection); err != nil { // until it is closed
			t.Errorf("the connection stays: %v", err)
		}
	}
	// A slow body may take longer than a pause may.
	slow := begin(t, address, "/read", 10, "")
	for range 10 {
		testkit.Watch(t, 100*time.Millisecond)
		if _, err := slow.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-read; err != nil {
		t.Errorf("a slow body: %v", err)
	}
}

// TestPatienceEndsWithTheBody has a handler that takes longer than a client may pause.
func TestPatienceEndsWithTheBody(t *testing.T) {
	ended := make(chan error, 1)
	address := serveUntil(t, Loop{Patience: 50 * time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		testkit.Watch(t, 300*time.Millisecond)
		ended <- r.Context().Err()
	})})
	begin(t, address, "/", 4, "all.")
	if err := <-ended; err != nil {
		t.Errorf("the work was broken off: %v", err)
	}
}

// TestConnectionsOfOneAddress opens more than allowed: the rest are closed at
// once, and there is room again when some of them end.
func TestConnectionsOfOneAddress(t *testing.T) {
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bound := newBoundListener(inner, 2, 3, time.Minute)
	defer bound.Close()
	accepted := make(chan net.Conn, 10)
	go func() { // ends with the listener
		defer close(accepted)
		for {
			connection, err := bound.Accept()
			if err != nil {
				return
			}
			accepted <- connection
		}
	}()
	var clients []net.Conn
	dial := func() net.Conn {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		return connection
	}
	for range 4 {
		clients = append(clients, dial())
	}
	if _, err := clients[3].Read(make([]byte, 1)); err == nil {
		t.Error("the fourth connection is open")
	}
	first := <-accepted
	first.Close()
	first.Close()
	<-accepted
	<-accepted
	again := dial()
	(<-accepted).Close()
	if _, err := again.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	placeOf := func(address string) countedPlace {
		return bound.placesOf(nil, &net.TCPAddr{IP: net.ParseIP(address)})[0]
	}
	if got := placeOf("192.0.2.1"); got != (countedPlace{"192.0.2.1", 2}) {
		t.Errorf("another machine has %v", got)
	}
	if one, other := placeOf("2001:db8::1"), placeOf("2001:db8::2:1"); one != other || one.most != 2 {
		t.Errorf("a network has %v and %v", one, other)
	}
}

// TestConnectionsOfOneUser has another user of this machine open all that it can:
// there is room left for root (PROXY-184).
func TestConnectionsOfOneUser(t *testing.T) {
	testkit.Root(t)
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bound := newBoundListener(inner, 1, 16, time.Minute)
	defer bound.Close()
	go func() { // ends with the listener
		for {
			connection, err := bound.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, "hello")
		}
	}()
	open := func(count int) (accepted int) {
		for range count {
			connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
			if err != nil {
				t.Error(err)
				return accepted
			}
			t.Cleanup(func() { connection.Close() })
			if _, err := io.ReadFull(connection, make([]byte, 5)); err == nil {
				accepted++
			}
		}
		return accepted
	}
	testkit.AsUser(t, func(string) {
		if n := open(16); n != 8 {
			t.Errorf("another user has %d connections", n)
		}
	})
	if n := open(10); n != 8 {
		t.Errorf("root has %d connections", n)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// TestUnreadAnswers asks for more than fits on the way and takes none of it, or all
// of it slowly (PROXY-184).
func TestUnreadAnswers(t *testing.T) {
	const size = 64 << 20
	file := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
	given := make(chan string, 10)
	address := serveUntil(t, Loop{Patience: 500 * time.Millisecond, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			http.ServeFile(w, r, file)
		case "/text":
			_, _ = w.Write(bytes.Repeat([]byte("x"), size))
		}
		given <- r.URL.Path
	})})
	for _, path := range []string{"/file", "/text"} {
		begin(t, address, path, 0, "")
		select {
		case <-given:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: the server goes on to wait for its client", path)
		}
		slow := begin(t, address, path, 0, "")
		head, err := io.CopyN(io.Discard, slow, 1000)
		for range 5 { // longer than one that takes nothing is waited for
			testkit.Watch(t, 200*time.Millisecond)
			n, errCopy := io.CopyN(io.Discard, slow, 2<<20)
			head, err = head+n, errCopy
		}
		if err != nil {
			t.Errorf("%s: a slow client: %v", path, err)
		}
		_ = slow.(*net.TCPConn).SetReadDeadline(time.Now().Add(20 * time.Second))
		if rest, err := io.CopyN(io.Discard, slow, size-head); err != nil {
			t.Errorf("%s: %d bytes and %d of %d: %v", path, head, rest, size, err)
		}
		<-given
	}
}

// TestHeadIsLimited sends more of a head than anybody needs.
func TestHeadIsLimited(t *testing.T) {
	address := serveUntil(t, Loop{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	for length, want := range map[int]string{32 << 10: "200", 256 << 10: "431"} {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		go fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: %s\r\n\r\n", strings.Repeat("x", length)) // ends with the connection
		_ = connection.SetReadDeadline(time.Now().Add(20 * time.Second))
		line := make([]byte, 12)
		if _, err := io.ReadFull(connection, line); err != nil || string(line) != "HTTP/1.1 "+want {
			t.Errorf("%d bytes: %q, %v", length, line, err)
		}
		connection.Close()
	}
}

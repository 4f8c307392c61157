// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"slapos/slap/serve"
)

// TestRoom holds the memory for bodies with one that doesn't end: small ones go
// on, large ones wait, and it is given back (PROXY-180).
func TestRoom(t *testing.T) {
	p := &Proxy{options: Options{MaximumBody: 16 << 20}, log: slog.New(slog.DiscardHandler)}
	p.room = &room{pieces: serve.NewBudget(8), time: time.Hour, wait: 100 * time.Millisecond} // 2 for each client
	p.routes = map[string]route{"/": {fail: p.failPage, methods: post(func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.ReadAll(r.Body)
		return err
	})}}
	statusFor := func(client string, body io.Reader) int {
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", body)
		request.RemoteAddr = client
		p.route(answer, request)
		return answer.Code
	}
	status := func(body io.Reader) int { return statusFor("192.0.2.1:9", body) }
	small, large := strings.Repeat("x", smallBody), strings.Repeat("x", smallBody+2*roomPiece)
	read, write := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- status(read) }()
	if _, err := io.WriteString(write, large); err != nil { // all of it was read
		t.Fatal(err)
	}
	if got := status(strings.NewReader(small)); got != http.StatusOK {
		t.Errorf("a small body: %d", got)
	}
	if got := status(strings.NewReader(large)); got != http.StatusServiceUnavailable {
		t.Errorf("a large body: %d", got)
	}
	if got := statusFor("192.0.2.2:9", strings.NewReader(large)); got != http.StatusOK {
		t.Errorf("another client's large body: %d", got)
	}
	write.Close()
	if got := <-ended; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
	for range 3 {
		if got := status(strings.NewReader(large)); got != http.StatusOK {
			t.Errorf("a large body afterwards: %d", got)
		}
	}
	if got := status(strings.NewReader(large + large)); got != http.StatusServiceUnavailable {
		t.Errorf("larger than its share: %d", got)
	}
	p.room.time = 0
	if got := status(strings.NewReader(large)); got != http.StatusRequestTimeout {
		t.Errorf("a slow body: %d", got)
	}
}

// TestRoomForAnnounced: what is announced, or may come, is taken at once, since two bodies with half
// of a client's share each would wait for one another.
func TestRoomForAnnounced(t *testing.T) {
	r := &room{pieces: serve.NewBudget(8), time: time.Hour, wait: 100 * time.Millisecond} // 2 for each client
	chunked := false
	read := func(announced, count int) (*roomedBody, error) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", strings.NewReader(strings.Repeat("x", announced)))
		if chunked {
			request.ContentLength = -1
		}
		body := r.body(request, request.Body)
		_, err := io.CopyN(io.Discard, body, int64(count))
		return body, err
	}
	for _, chunked = range []bool{false, true} {
		announcedTwice(t, read)
	}
}

func announcedTwice(t *testing.T, read func(announced, count int) (*roomedBody, error)) {
	t.Helper()
	const one, two = smallBody + roomPiece, smallBody + 2*roomPiece
	first, err := read(two, one)
	if err != nil {
		t.Fatal(err)
	}
	second, err := read(two, one)
	if err != errRoom {
		t.Errorf("the second of two: %v", err)
	}
	if _, err := io.Copy(io.Discard, first); err != nil {
		t.Errorf("the first of two: %v", err)
	}
	first.leave()
	second.leave()
	if third, err := read(two, two); err != nil {
		t.Errorf("the third: %v", err)
	} else {
		third.leave()
	}
}

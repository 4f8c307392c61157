// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"slapos/proxy"
	"slapos/slap/testkit"
)

// checkedBody is how much of an answer comes before it is passed on.
const checkedBody = 1 << 20

func noise(size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return content
}

func digestOf(content []byte) string {
	sum := sha512.Sum512(content)
	return hex.EncodeToString(sum[:])
}

// behind makes a server, and a master in front of it; it returns the address of
// the server by way of the master.
func behind(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(client.CloseIdleConnections)
	return newLab(t, proxy.Options{}).server.URL + "/http_proxy/http/" + strings.TrimPrefix(server.URL, "http://")
}

// Bodies pass whole, in both directions, however they come.
func TestHTTPProxyPieces(t *testing.T) {
	testkit.NoLeaks(t)
	large := noise(3 * checkedBody)
	var mutex sync.Mutex
	pieces := testkit.Pieces["halves"]
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Etag", digestOf(body))
		size, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if r.URL.RawQuery != "chunked" {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		mutex.Lock()
		slow := pieces
		mutex.Unlock()
		testkit.Send(w, slow(bytes.NewReader(large[:size])))
	})
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, slow := range testkit.Pieces {
			mutex.Lock()
			pieces = slow
			mutex.Unlock()
			sizes := []int{0, 1, checkedBody - 1, checkedBody, checkedBody + 1, len(large)}
			if name == "one byte" {
				sizes = []int{0, 1, 3000}
			}
			for range testkit.Rounds(1) {
				for i, size := range sizes {
					sent := large[:min(size, 20000)]
					method := []string{http.MethodGet, http.MethodOptions}[i%2]
					query := []string{"", "?chunked"}[i/2%2]
					r, err := http.NewRequestWithContext(t.Context(), method, address+"/"+strconv.Itoa(size)+query, slow(bytes.NewReader(sent)))
					if err != nil {
						t.Fatal(err)
					}
					answer, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					if err != nil || answer.StatusCode != 200 || !bytes.Equal(got, large[:size]) || answer.Header.Get("Etag") != digestOf(sent) {
						t.Errorf("%s, %s of %d bytes: %s, %d bytes, %v", name, method, size, answer.Status, len(got), err)
					}
				}
			}
		}
	})
}

// A truncated answer doesn't count, wherever it ends: a status says so or, if
// that is already sent, a missing end.
func TestHTTPProxyCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	large := noise(2 * checkedBody)
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		var size, at int64
		if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d", &size, &at); err != nil {
			t.Error(err)
		}
		if r.URL.RawQuery != "chunked" {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		testkit.Send(w, testkit.CutReader(bytes.NewReader(large[:size]), at, io.ErrUnexpectedEOF))
	})
	testkit.EachProcessors(t, func(t *testing.T) {
		cut := func(size, at int) {
			t.Helper()
			for _, query := range []string{"", "?chunked"} {
				answer, err := client.Get(fmt.Sprintf("%s/%d/%d%s", address, size, at, query))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				early := at < checkedBody
				if early && (answer.StatusCode != 524 || err != nil) || !early && (err == nil || !bytes.HasPrefix(large, got)) {
					t.Errorf("%d of %d bytes%s: %s, %d bytes, %v", at, size, query, answer.Status, len(got), err)
				}
			}
		}
		for at := range 100 {
			cut(100, at)
		}
		for range testkit.Rounds(1) {
			for _, at := range []int{checkedBody - 1, checkedBody, checkedBody + 1, checkedBody + 300000, len(large) - 1} {
				cut(len(large), at)
			}
		}
	})
}

// When the client goes away, in the middle of what it sends or of what it gets,
// the server behind is let go too, and doesn't take a part for the whole.
func TestHTTPProxyClientGone(t *testing.T) {
	testkit.NoLeaks(t)
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/takes" {
			begun <- struct{}{}
			_, err := io.Copy(io.Discard, r.Body)
			ended <- err
			return
		}
		part := make([]byte, 64<<10)
		var err error
		for err == nil && r.Context().Err() == nil {
			_, err = w.Write(part)
		}
		ended <- io.ErrClosedPipe
	})
	testkit.EachProcessors(t, func(t *testing.T) {
		for range testkit.Rounds(5) {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/gives", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(answer.Body, make([]byte, 2*checkedBody)); err != nil {
				t.Fatal(err)
			}
			cancel()
			answer.Body.Close()
			awaitEnd(t, ended)

			host, path, _ := strings.Cut(strings.TrimPrefix(address, "http://"), "/")
			part := strings.Repeat("x", 10000) // more than is held back
			for _, head := range []string{"Content-Length: 20000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2710\r\n", "Transfer-Encoding: chunked\r\n\r\n3000\r\n"} {
				connection, err := net.Dial("tcp", host)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(connection, "GET /%s/takes HTTP/1.1\r\nHost: %s\r\n%s%s", path, host, head, part)
				testkit.Eventually(t, testkit.Patience, "the server behind is asked", func() bool { return len(begun) > 0 })
				<-begun
				connection.Close()
				awaitEnd(t, ended)
			}
		}
	})
}

// awaitEnd waits until a server has found that its client is gone.
func awaitEnd(t *testing.T, ended <-chan error) {
	t.Helper()
	testkit.Eventually(t, testkit.Patience, "the server behind is let go", func() bool { return len(ended) > 0 })
	if err := <-ended; err == nil {
		t.Error("a part is taken for all")
	}
}

// A server that answers before it has read what it is sent.
func TestHTTPProxyAnsweredEarly(t *testing.T) {
	testkit.NoLeaks(t)
	address := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "early")
	})
	testkit.EachProcessors(t, func(t *testing.T) {
		for range testkit.Rounds(5) {
			for name, pieces := range testkit.Pieces {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/", pieces(bytes.NewReader(noise(10000))))
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(r)
				if err != nil {
					continue // the master may see the connection break before the answer
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if answer.StatusCode == 200 && (string(text) != "early" || err != nil) {
					t.Errorf("%s: %s %q %v", name, answer.Status, text, err)
				}
			}
		}
	})
}

// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"slapos/networkcache"
	"slapos/slap/testkit"
)

func noise(size int) string {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return string(content)
}

// eachStorage runs test with a server on each kind of Blobs, and gives it the
// path below its directories, which for a bucket only has temporary files.
func eachStorage(t *testing.T, test func(t *testing.T, s *Server, url string, left func() []string)) {
	t.Run("directory", func(t *testing.T) {
		testkit.NoLeaks(t)
		directory, entries := t.TempDir(), t.TempDir()
		s, url := start(t, Options{Store: Store{Contents: &Directory{Path: directory}, Entries: &Files{Path: entries}}})
		test(t, s, url, func() []string { return append(testkit.Names(t, directory), testkit.Names(t, entries)...) })
	})
	t.Run("bucket", func(t *testing.T) {
		testkit.NoLeaks(t)
		bucket, entries := startBucket(t, "some/prefix"), t.TempDir()
		s, url := start(t, Options{Store: Store{Contents: bucket, Entries: &Files{Path: entries}}})
		test(t, s, url, func() []string {
			all, err := bucket.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			names := append(testkit.Names(t, bucket.scratch), testkit.Names(t, entries)...)
			for _, blob := range all {
				names = append(names, blob.Sum)
			}
			return names
		})
	})
}

// A content is stored whole, and an entry too, however they arrive.
func TestUploadPieces(t *testing.T) {
	eachStorage(t, func(t *testing.T, s *Server, url string, _ func() []string) {
		testkit.EachProcessors(t, func(t *testing.T) {
			for name, pieces := range testkit.Pieces {
				content := noise(70000)
				if name == "one byte" {
					content = content[:3000]
				}
				content += t.Name() + name // a different one each time
				for range testkit.Rounds(1) {
					for _, call := range []struct{ method, path, body, answer string }{
						{"POST", "/shacache/cache", content, sumOf(content)},
						{"PUT", "/shacache/cache/" + sumOf(content), content, sumOf(content)},
						{"PUT", "/shacache/dir/key", `["content", "signature"]`, ""},
					} {
						for _, length := range []int64{-1, int64(len(call.body))} {
							request, err := http.NewRequest(call.method, url+call.path, pieces(strings.NewReader(call.body)))
							if err != nil {
								t.Fatal(err)
							}
							request.ContentLength = length
							answer, err := http.DefaultClient.Do(request)
							if err != nil {
								t.Fatal(err)
							}
							text, err := io.ReadAll(answer.Body)
							answer.Body.Close()
							if err != nil || answer.StatusCode != 201 || string(text) != call.answer {
								t.Errorf("%s, %s %.20s: %s %s %v", name, call.method, call.path, answer.Status, text, err)
							}
						}
					}
					if got := readBlob(t, s.store.Contents, sumOf(content), 0); got != content {
						t.Errorf("%s: %d bytes of %d", name, len(got), len(content))
					}
				}
			}
		})
	})
}

// A truncated upload leaves nothing, wherever the cut is; neither its answer
// nor the log blames anybody else.
func TestUploadCutEverywhere(t *testing.T) {
	eachStorage(t, func(t *testing.T, s *Server, url string, left func() []string) {
		var log bytes.Buffer
		s.store.Logger = slog.New(slog.NewTextHandler(&log, nil))
		content, entry := noise(2000), `["content", "signature"]`
		testkit.EachProcessors(t, func(t *testing.T) {
			for _, call := range []struct{ method, path, body string }{
				{"POST", "/shacache/cache", content},
				{"PUT", "/shacache/cache/" + sumOf(content), content},
				{"PUT", "/shacache/dir/key", entry},
			} {
				step := max(1, len(call.body)/testkit.Rounds(50))
				for at := 0; at < len(call.body); at += step {
					for _, failure := range []error{io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
						w := httptest.NewRecorder()
						body := testkit.CutReader(strings.NewReader(call.body), int64(at), failure)
						request := httptest.NewRequest(call.method, url+call.path, body)
						request.RemoteAddr = "127.0.0.1:1" // allowed to upload
						s.ServeHTTP(w, request)
						if w.Code != 400 || w.Body.String() != "Cut off\n" {
							t.Fatalf("%s %.20s, %v after %d bytes: %d %s", call.method, call.path, failure, at, w.Code, w.Body)
						}
					}
					cutConnection(t, url, call.method+" "+call.path, call.body, at)
				}
			}
		})
		testkit.Eventually(t, testkit.Patience, "nothing is left", func() bool { return len(left()) == 0 })
		if log.Len() > 0 {
			t.Errorf("log:\n%s", &log)
		}
	})
}

// cutConnection sends a part of a body, then closes its sending side or the connection.
func cutConnection(t *testing.T, url, call, body string, at int) {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	connection, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	head := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	if at%2 == 0 {
		head = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(body))
	}
	fmt.Fprintf(connection, "%s HTTP/1.1\r\nHost: %s\r\n%s%s", call, host, head, body[:at])
	if at%4 > 1 {
		return
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatalf("%.20s, cut after %d bytes: %v", call, at, err)
	}
	if answer.Body.Close(); answer.StatusCode != 400 {
		t.Errorf("%.20s, cut after %d bytes: %s", call, at, answer.Status)
	}
}

// A client gets everything that it requested, however slowly it reads, and may
// disconnect at any point.
func TestDownloadPieces(t *testing.T) {
	eachStorage(t, func(t *testing.T, s *Server, url string, _ func() []string) {
		large, small := noise(1<<20), noise(60)
		for _, content := range []string{large, small} {
			if _, err := s.store.Contents.Store(t.Context(), strings.NewReader(content), ""); err != nil {
				t.Fatal(err)
			}
		}
		get := func(content, ranges string) *http.Response {
			t.Helper()
			request, err := http.NewRequest(http.MethodGet, url+"/shacache/cache/"+sumOf(content), nil)
			if err != nil {
				t.Fatal(err)
			}
			if ranges != "" {
				request.Header.Set("Range", ranges)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		testkit.EachProcessors(t, func(t *testing.T) {
			for name, pieces := range testkit.Pieces {
				content := large
				if name == "one byte" {
					content = small
				}
				for range testkit.Rounds(1) {
					answer := get(content, "")
					got, err := io.ReadAll(pieces(answer.Body))
					answer.Body.Close()
					if err != nil || string(got) != content {
						t.Errorf("%s: %d bytes, %v", name, len(got), err)
					}
					half := len(content) / 2
					answer = get(content, fmt.Sprintf("bytes=%d-", half))
					got, err = io.ReadAll(pieces(answer.Body))
					answer.Body.Close()
					if err != nil || answer.StatusCode != 206 || string(got) != content[half:] {
						t.Errorf("%s, the second half: %s, %d bytes, %v", name, answer.Status, len(got), err)
					}
				}
			}
			for from := 0; from < len(small); from += max(1, 7/testkit.Rounds(1)) {
				for to := from; to < len(small); to += max(1, 7/testkit.Rounds(1)) {
					answer := get(small, fmt.Sprintf("bytes=%d-%d", from, to))
					got, err := io.ReadAll(answer.Body)
					answer.Body.Close()
					if err != nil || answer.StatusCode != 206 || string(got) != small[from:to+1] {
						t.Errorf("bytes %d to %d: %s, %d bytes, %v", from, to, answer.Status, len(got), err)
					}
				}
			}
			for at := 0; at < len(large); at += len(large) / 20 { // the client disconnects
				answer := get(large, "")
				if _, err := io.CopyN(io.Discard, answer.Body, int64(at)); err != nil {
					t.Error(err)
				}
				answer.Body.Close()
			}
		})
	})
}

// A bucket that answers in pieces delivers everything, one that breaks off
// causes an error: neither the server nor its client takes a part for the
// whole.
func TestBucketBreaksOff(t *testing.T) {
	testkit.NoLeaks(t)
	b := startBucket(t, "")
	content := noise(200_000)
	sum, err := b.Store(t.Context(), strings.NewReader(content), "")
	if err != nil {
		t.Fatal(err)
	}
	between := startForwarder(t, b.client.EndpointURL().Host)
	far, err := newBucket(fmt.Sprintf("s3://%s?endpoint=http://%s", b.bucket, between.address), t.TempDir(), bucketLogin)
	if err != nil {
		t.Fatal(err)
	}
	_, url := start(t, Options{Store: Store{Contents: far}})
	client, err := networkcache.NewClient(networkcache.Config{Cache: networkcache.Service{Download: url + "/shacache/cache"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, pieces := range testkit.Pieces {
		if name == "one byte" {
			continue // it would take hundreds of thousands of packets
		}
		between.set(pieces)
		if got := readBlob(t, far, sum, 0); got != content {
			t.Errorf("%s: %d bytes", name, len(got))
		}
		other := content + name
		if got, err := far.Store(t.Context(), pieces(strings.NewReader(other)), ""); err != nil || readBlob(t, b, got, 0) != other {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for at := 500; at < len(content); at += len(content) / testkit.Rounds(20) {
		// Each connection delivers so many bytes, of headers and content.
		between.set(func(r io.Reader) io.Reader { return io.LimitReader(r, int64(at)) })
		r, err := client.Download(t.Context(), sum)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err == nil && string(got) != content {
			t.Errorf("broken off after %d bytes: %d bytes are taken for all", at, len(got))
		}
	}
	between.set(func(r io.Reader) io.Reader { return r })
	if got := readBlob(t, far, sum, 0); got != content {
		t.Errorf("afterwards: %d bytes", len(got))
	}
}

// A forwarder passes connections on to another address.
type forwarder struct {
	address string
	mutex   sync.Mutex
	pieces  func(io.Reader) io.Reader // applied to what comes back
	open    []net.Conn                // closed at the end of the test
	ended   bool
}

func (f *forwarder) set(pieces func(io.Reader) io.Reader) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.pieces = pieces
}

// add registers a connection to be closed at the end of the test.
func (f *forwarder) add(connection net.Conn) (pieces func(io.Reader) io.Reader) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.ended {
		connection.Close()
	}
	f.open = append(f.open, connection)
	return f.pieces
}

func (f *forwarder) end() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.ended = true
	for _, connection := range f.open {
		connection.Close()
	}
}

func startForwarder(t *testing.T, to string) *forwarder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{address: listener.Addr().String(), pieces: func(r io.Reader) io.Reader { return r }}
	var running sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		f.end()
		running.Wait()
	})
	forward := func(near net.Conn) {
		f.add(near)
		defer near.Close()
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		pieces := f.add(far)
		defer far.Close()
		running.Go(func() { // each of the two closes both when one side has ended
			defer far.Close()
			_, _ = io.Copy(far, near)
		})
		_, _ = io.Copy(near, struct{ io.Reader }{pieces(far)})
	}
	running.Go(func() { // ends when the listener is closed
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { forward(near) })
		}
	})
	return f
}

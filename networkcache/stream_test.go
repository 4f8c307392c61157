// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"slapos/slap/testkit"
)

func noise(size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(content)
	return content
}

// However a content arrives, and wherever it is cut off, it comes whole.
func TestDownloadPieces(t *testing.T) {
	testkit.NoLeaks(t)
	content := noise(20000)
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				start := 0
				w.Header().Set("Accept-Ranges", "bytes")
				http.ServeContent(pieceWriter{w, pieces, &start}, r, "", time.Time{}, bytes.NewReader(content))
			}))
			client := newTestClient(t, Config{Cache: Service{Download: server.URL}})
			for range testkit.Rounds(2) {
				r, err := client.Download(t.Context(), sumOf(content))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
				r.Close()
			}
			server.Close()
		}
	})
}

// A pieceWriter sends in pieces, and stops with an error after 7000 bytes.
type pieceWriter struct {
	http.ResponseWriter
	pieces func(io.Reader) io.Reader
	sent   *int
}

func (w pieceWriter) Write(p []byte) (int, error) {
	part := p[:min(len(p), 7000-*w.sent)]
	testkit.Send(w.ResponseWriter, w.pieces(bytes.NewReader(part)))
	if *w.sent += len(part); len(part) < len(p) {
		panic(http.ErrAbortHandler)
	}
	return len(part), nil
}

// A content that can't be resumed and is cut off is an error, wherever the cut is.
func TestDownloadCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	content := noise(100)
	var at atomic.Int64
	var chunked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !chunked.Load() {
			w.Header().Set("Content-Length", "100")
		}
		w.Write(content[:at.Load()])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Download: server.URL}})
	for _, isChunked := range []bool{false, true} {
		chunked.Store(isChunked)
		for n := range len(content) {
			at.Store(int64(n))
			r, err := client.Download(t.Context(), sumOf(content))
			if err != nil {
				continue
			}
			if _, err := io.ReadAll(r); err == nil {
				t.Errorf("chunked %v: %d of 100 bytes are taken for all", isChunked, n)
			}
			r.Close()
		}
	}
}

// Closing a download ends a read that waits for the rest.
func TestCloseWhileResuming(t *testing.T) {
	testkit.NoLeaks(t)
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			close(asked)
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "some")
	}))
	t.Cleanup(server.Close)
	r, err := newTestClient(t, Config{Cache: Service{Download: server.URL}}).Download(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(r)
		ended <- err
	}()
	<-asked
	r.Close()
	var failure error
	testkit.Eventually(t, 30*time.Second, "the read ends", func() bool {
		select {
		case failure = <-ended:
			return true
		default:
			return false
		}
	})
	if failure == nil {
		t.Error("a part is taken for all")
	}
}

// A content whose writing fails is not stored, wherever it fails; any other is
// stored whole, however it is written.
func TestStreamPieces(t *testing.T) {
	testkit.NoLeaks(t)
	fake, config := startFake(t)
	fake.streams = true
	client := newTestClient(t, config)
	content, broken := noise(5000), errors.New("broken")
	for at := 0; at <= len(content); at += max(1, 250/testkit.Rounds(1)) {
		_, err := client.stream(t.Context(), func(w io.Writer) error {
			_, err := io.Copy(w, testkit.CutReader(bytes.NewReader(content), int64(at), broken))
			return err
		})
		if !errors.Is(err, broken) || len(fake.contents) > 0 {
			t.Fatalf("broken after %d bytes: %v, %d contents", at, err, len(fake.contents))
		}
	}
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			clear(fake.contents)
			sum, err := client.stream(t.Context(), func(w io.Writer) error {
				_, err := io.Copy(w, pieces(bytes.NewReader(content)))
				return err
			})
			if err != nil || sum != sumOf(content) || !bytes.Equal(fake.contents[sum], content) {
				t.Errorf("%s: %s, %v", name, sum, err)
			}
		}
	})
}

// A server that answers before the end of an upload hasn't got it, even if the
// sum of what it read is right.
func TestStreamAnsweredEarly(t *testing.T) {
	testkit.NoLeaks(t)
	part := noise(1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, len(part)))
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, sumOf(part))
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Upload: server.URL}})
	for range testkit.Rounds(10) {
		sum, err := client.stream(t.Context(), func(w io.Writer) error {
			_, err := w.Write(part)
			for err == nil {
				_, err = w.Write(nil)
			}
			return err
		})
		if err == nil {
			t.Fatalf("a part is taken for all: %s", sum)
		}
	}
}

// lentContent complains about a read that lasts longer than the loan.
type lentContent struct {
	*bytes.Reader
	t    *testing.T
	over atomic.Bool
}

func (l *lentContent) Read(p []byte) (int, error) {
	testkit.Watch(l.t, time.Millisecond)
	if l.over.Load() {
		l.t.Error("the content is read after the upload")
	}
	return l.Reader.Read(p)
}

// WriteTo hides the method.
func (l *lentContent) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{l})
}

// A content belongs to the caller again once Upload returns, even if the server
// hasn't read it.
func TestUploadReturnsContent(t *testing.T) {
	testkit.NoLeaks(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "another sum")
	}))
	defer server.Close()
	client := newTestClient(t, Config{Cache: Service{Upload: server.URL}})
	content := noise(1 << 20)
	for range testkit.Rounds(10) {
		lent := &lentContent{Reader: bytes.NewReader(content), t: t}
		if _, err := client.Upload(t.Context(), lent); err == nil {
			t.Error("a wrong answer is believed")
		}
		lent.over.Store(true)
		lent.Reset(nil) // the race detector would see a running read
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"slapos/slap/testkit"
)

// A pieceMaster answers in pieces, with a length or in chunks, and breaks off
// after a number of bytes.
type pieceMaster struct {
	status  int
	kind    string
	text    string
	chunked bool
	pieces  func(io.Reader) io.Reader
	cut     int64 // -1: not at all
}

func (m *pieceMaster) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", m.kind)
	if !m.chunked {
		w.Header().Set("Content-Length", strconv.Itoa(len(m.text)))
	}
	w.WriteHeader(m.status)
	var r io.Reader = strings.NewReader(m.text)
	if m.cut >= 0 {
		r = testkit.CutReader(r, m.cut, io.ErrUnexpectedEOF)
	}
	testkit.Send(w, m.pieces(r))
}

// startPieceMaster starts a server whose master can be changed, and returns it
// with a client.
func startPieceMaster(t *testing.T) (*atomic.Pointer[pieceMaster], *Client) {
	master := &atomic.Pointer[pieceMaster]{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { master.Load().ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	return master, newTestClient(t, ClientConfig{MasterURL: server.URL, RESTURL: server.URL + "/hateoas"})
}

// An answer in pieces, XML or JSON, and the text of an error, are the same as
// in one piece.
func TestAnswerPieces(t *testing.T) {
	testkit.NoLeaks(t)
	master, client := startPieceMaster(t)
	rest, err := client.Hateoas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := document(t, "computer.xml")
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			long := strings.Repeat("reasons, ", 10000) // more than an error keeps
			if name == "one byte" {
				long = long[:5000]
			}
			for _, chunked := range []bool{false, true} {
				for range testkit.Rounds(1) {
					master.Store(&pieceMaster{status: 200, kind: "text/xml", text: text, chunked: chunked, pieces: pieces, cut: -1})
					computer, err := client.FullComputerInformation(t.Context(), "C")
					if err != nil || !reflect.DeepEqual(computer, captured["computer.xml"]) {
						t.Errorf("XML, %s, chunked %v: %v, %v", name, chunked, computer, err)
					}
					page, err := json.Marshal(map[string]any{"news": []string{long}})
					if err != nil {
						t.Fatal(err)
					}
					master.Store(&pieceMaster{status: 200, kind: "application/json", text: string(page), chunked: chunked, pieces: pieces, cut: -1})
					var got struct{ News []string }
					if err := rest.get(t.Context(), call{path: rest.root}, &got); err != nil || len(got.News) != 1 || got.News[0] != long {
						t.Errorf("JSON, %s, chunked %v: %d pages, %v", name, chunked, len(got.News), err)
					}
					master.Store(&pieceMaster{status: 500, kind: "text/html", text: long, chunked: chunked, pieces: pieces, cut: -1})
					var failed *HTTPError
					if _, err := client.ProductReleases(t.Context(), "p"); !errors.As(err, &failed) || failed.Status != 500 || string(failed.Body) != long[:min(len(long), maxErrorBody)] {
						t.Errorf("error, %s, chunked %v: %.200v", name, chunked, err)
					}
				}
			}
		}
	})
}

// A truncated answer is an error wherever it ends. It is never taken for the
// whole, and the call isn't repeated: the master may have done what it was
// asked.
func TestAnswerCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	master, client := startPieceMaster(t)
	rest, err := client.Hateoas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	xml := "<list><string>http://release/a</string></list>"
	page := `{"news": ["a"]}`
	whole := testkit.Pieces["halves"]
	for _, chunked := range []bool{false, true} {
		for range testkit.Rounds(1) {
			for at := range len(xml) {
				master.Store(&pieceMaster{status: 200, kind: "text/xml", text: xml, chunked: chunked, pieces: whole, cut: int64(at)})
				if got, err := client.ProductReleases(t.Context(), "p"); !errors.Is(err, ErrConnection) || strings.Contains(err.Error(), "\n\n") {
					t.Fatalf("XML, chunked %v, after %d bytes: %q, %v", chunked, at, got, err)
				}
			}
			for at := range len(page) {
				master.Store(&pieceMaster{status: 200, kind: "application/json", text: page, chunked: chunked, pieces: whole, cut: int64(at)})
				var got struct{ News []string }
				if err := rest.get(t.Context(), call{path: rest.root}, &got); err == nil {
					t.Fatalf("JSON, chunked %v, after %d bytes: %v", chunked, at, got)
				}
			}
			for at := range len(page) {
				master.Store(&pieceMaster{status: 404, kind: "text/html", text: page, chunked: chunked, pieces: whole, cut: int64(at)})
				var failed *HTTPError
				if _, err := client.ProductReleases(t.Context(), "p"); !errors.As(err, &failed) || failed.Status != 404 || string(failed.Body) != page[:at] {
					t.Fatalf("error, chunked %v, after %d bytes: %v", chunked, at, err)
				}
			}
		}
	}
}

// A call that is cancelled in the middle of an answer ends at once, and closes
// the connection.
func TestAnswerGivenUp(t *testing.T) {
	testkit.NoLeaks(t)
	master, client := startPieceMaster(t)
	for range testkit.Rounds(10) {
		stop := errors.New("told to stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		pieces := func(r io.Reader) io.Reader { return &stoppingReader{r, func() { cancel(stop) }} }
		master.Store(&pieceMaster{status: 200, kind: "text/xml", text: "<list>", chunked: true, pieces: pieces, cut: -1})
		if _, err := client.ProductReleases(ctx, "p"); err != stop {
			t.Fatal(err)
		}
	}
}

// A stoppingReader calls stop before its end, and never ends itself.
type stoppingReader struct {
	io.Reader
	stop func()
}

func (r *stoppingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.stop()
		return copy(p, " "), nil
	}
	return n, err
}

// Bodies are read whole, however they arrive and whatever length is announced.
func TestReadAll(t *testing.T) {
	testkit.NoLeaks(t)
	broken := errors.New("broken")
	for _, size := range []int{0, 1, 511, 512, 513, 70000} {
		content := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for name, pieces := range testkit.Pieces {
			for _, told := range []int64{-1, 0, int64(size), int64(size) * 2} {
				if got, err := readAll(pieces(bytes.NewReader(content)), told, maxAnswer); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s, %d bytes of %d: %d, %v", name, size, told, len(got), err)
				}
			}
		}
		for at := 0; at <= size; at += max(1, size/500) {
			if got, err := readAll(testkit.CutReader(bytes.NewReader(content), int64(at), broken), int64(size), maxAnswer); err != broken || got != nil {
				t.Errorf("broken after %d of %d: %d bytes, %v", at, size, len(got), err)
			}
		}
	}
}

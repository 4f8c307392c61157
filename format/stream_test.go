// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// However a service's answer arrives, it is read whole; one that breaks off
// doesn't count.
func TestPublicAddressPieces(t *testing.T) {
	testkit.NoLeaks(t)
	answer := `{"padding": "` + strings.Repeat("é", 2000) + `", "ip": "198.51.100.7"}`
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			serve := func(r func() io.Reader) string {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { testkit.Send(w, r()) }))
				defer http.DefaultClient.CloseIdleConnections()
				defer server.Close()
				return askPublicIPv4(t.Context(), server.URL)
			}
			if got := serve(func() io.Reader { return pieces(strings.NewReader(answer)) }); got != "198.51.100.7" {
				t.Errorf("%s: %q", name, got)
			}
			for _, end := range []int64{0, 1, 100, int64(len(answer)) - 1, int64(len(answer))} {
				got := serve(func() io.Reader {
					return pieces(testkit.CutReader(strings.NewReader(answer), end, errors.New("broken off")))
				})
				if got != "" {
					t.Errorf("%s, broken off at %d: %q", name, end, got)
				}
			}
		}
	})
}

// cutWriter takes n bytes, then no more.
type cutWriter struct {
	io.Writer
	n int
}

var errFull = errors.New("no space left")

func (w *cutWriter) Write(p []byte) (int, error) {
	if len(p) <= w.n {
		w.n -= len(p)
		return w.Writer.Write(p)
	}
	n, err := w.Writer.Write(p[:w.n])
	w.n = 0
	return n, errors.Join(err, errFull)
}

// Wherever writing stops, the file stays as it was, and nothing is left beside it.
func TestWriteThroughCut(t *testing.T) {
	directory := t.TempDir()
	s := &state{computerXML: filepath.Join(directory, "slapos.xml"), now: time.Now, log: testLog()}
	path := s.computerXML + ".zip"
	for _, text := range []string{"first", strings.Repeat("second", 1000)} {
		if err := s.appendToArchive(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	former := testkit.ReadFile(t, path)
	for end := range len(former) {
		err := writeThrough(path, func(target io.Writer) error {
			_, err := io.Copy(&cutWriter{Writer: target, n: end}, strings.NewReader(former+"more"))
			return err
		})
		if !errors.Is(err, errFull) || testkit.ReadFile(t, path) != former {
			t.Fatalf("cut at %d: error %v", end, err)
		}
	}
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// cutWriter takes n bytes, then no more.
type cutWriter struct {
	bytes.Buffer
	n int
}

var errFull = errors.New("no space left")

func (w *cutWriter) Write(p []byte) (int, error) {
	if w.Len()+len(p) <= w.n {
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:w.n-w.Len()])
	return n, errFull
}

// The rows of a day are written whole, or there is an error.
func TestDumpTableCut(t *testing.T) {
	testkit.NoLeaks(t)
	c := newTestCollector(t)
	pass(t, c)
	execute(t, c, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
		INSERT INTO user (partition, pid, process, date, time, reported) SELECT 'p' || i, i, 'é, "quoted"', '2026-01-02', '00:00:00', 0 FROM n`)
	store, err := openStore(t.Context(), DatabasePath(c.InstanceRoot))
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	var whole bytes.Buffer
	if err := dumpTable(t.Context(), &whole, store, "user", "2026-01-02"); err != nil || strings.Count(whole.String(), "\n") != 3000 {
		t.Fatalf("%d bytes, %v", whole.Len(), err)
	}
	for _, end := range []int{0, 1, 4096, 1 << 16, 1<<16 + 1, whole.Len() - 1} {
		w := &cutWriter{n: end}
		if err := dumpTable(t.Context(), w, store, "user", "2026-01-02"); !errors.Is(err, errFull) || !strings.HasPrefix(whole.String(), w.String()) {
			t.Errorf("cut at %d: %d bytes, error %v", end, w.Len(), err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dumpTable(ctx, io.Discard, store, "user", "2026-01-02"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// An archive is made whole or not at all, wherever its input breaks off.
func TestWriteArchivePieces(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "day.tar.gz")
	content := strings.Repeat("1,2,3\r\n", 20_000)
	fill := func(from io.Reader) error {
		return writeArchive(path, func(archive *tar.Writer) error {
			if err := archive.WriteHeader(&tar.Header{Name: "dump.csv", Mode: 0o644, Size: int64(len(content))}); err != nil {
				return err
			}
			_, err := io.Copy(archive, from)
			return err
		})
	}
	for name, pieces := range testkit.Pieces {
		for _, end := range []int{0, 1, 70_000, len(content) - 1, len(content)} {
			if err := fill(pieces(testkit.CutReader(strings.NewReader(content), int64(end), errFull))); !errors.Is(err, errFull) {
				t.Errorf("%s, cut at %d: error %v", name, end, err)
			}
			if entries, err := os.ReadDir(directory); err != nil || len(entries) != 0 {
				t.Fatalf("%s, cut at %d: %v, %v", name, end, entries, err)
			}
		}
		if err := fill(pieces(strings.NewReader(content[:100]))); err == nil { // shorter than announced
			t.Errorf("%s: a short member was archived", name)
		}
		if err := fill(pieces(strings.NewReader(content))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// archivesOf packs a tree in every supported form.
func archivesOf(t *testing.T, directory string) map[string][]byte {
	t.Helper()
	archives := map[string][]byte{"ours": pack(t, directory)}
	folder := t.TempDir()
	for _, compression := range []string{"", "gz", "bz2", "xz"} {
		file := filepath.Join(folder, "archive."+compression)
		runPython(t, `import sys, tarfile
with tarfile.open(sys.argv[1], "w:" + sys.argv[3], format=tarfile.PAX_FORMAT) as tar:
    tar.add(sys.argv[2], sys.argv[4])`, file, directory, compression, top)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives["tar "+compression] = content
	}
	return archives
}

// However an archive arrives, it is unpacked whole.
func TestUnpackStreams(t *testing.T) {
	testkit.NoLeaks(t)
	source := filepath.Join(t.TempDir(), top)
	makeTree(t, source)
	// The time is one that Python can represent, as a float.
	bin, made := filepath.Join(source, "bin"), time.UnixMicro(1700000000123456)
	if err := errors.Join(os.Truncate(bin, 500<<10), os.Chtimes(bin, made, made)); err != nil {
		t.Fatal(err)
	}
	want := describe(t, source)
	archives := archivesOf(t, source)
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, archive := range archives {
			for pieces, slow := range testkit.Pieces {
				if pieces == "one byte" && len(archive) > 200<<10 {
					continue // it would take millions of reads: the other archives cover that
				}
				for range testkit.Rounds(1) {
					directory, err := unpack(t, slow(bytes.NewReader(archive)))
					if err != nil {
						t.Errorf("%s, %s: %v", name, pieces, err)
					} else if got := describe(t, directory); got != want {
						t.Errorf("%s, %s:\n%s", name, pieces, got)
					}
					os.Chmod(filepath.Join(directory, "read only"), 0o755)
					os.RemoveAll(directory)
				}
			}
		}
	})
}

// The kind of an archive is recognized by its first bytes, even if they come
// alone, and not by what is read after them.
func TestDecompressFirstBytes(t *testing.T) {
	testkit.NoLeaks(t)
	source := filepath.Join(t.TempDir(), top)
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "file"), bytes.Repeat([]byte("content "), 10000), 0o600); err != nil {
		t.Fatal(err)
	}
	archives := archivesOf(t, source)
	for range testkit.Rounds(20) {
		for name, archive := range archives {
			first := io.LimitReader(bytes.NewReader(archive), memberHeaderSize)
			rest := testkit.Pieces["16 KiB"](bytes.NewReader(archive[min(len(archive), memberHeaderSize):]))
			r, err := decompress(io.MultiReader(first, rest))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if n, err := io.Copy(io.Discard, r); err != nil || n < 80000 {
				t.Fatalf("%s: %d bytes, %v", name, n, err)
			}
			r.Close()
		}
	}
}

// An archive that breaks off, wherever that is, leaves nothing and is an error.
func TestUnpackBrokenStreams(t *testing.T) {
	testkit.NoLeaks(t)
	source := filepath.Join(t.TempDir(), top)
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(strings.Repeat(name, 700)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := t.TempDir()
	broken := errors.New("the line is broken")
	for name, archive := range archivesOf(t, source) {
		step := max(1, len(archive)/testkit.Rounds(40))
		for at := 0; at <= len(archive); at += step {
			for _, failure := range []error{broken, io.ErrUnexpectedEOF} {
				src := testkit.CutReader(bytes.NewReader(archive), int64(at), failure)
				err := Unpack(t.Context(), src, UnpackOptions{Directory: filepath.Join(target, top)})
				entries, readErr := os.ReadDir(target)
				if err == nil || readErr != nil || len(entries) > 0 {
					t.Fatalf("%s fails with %q at %d of %d bytes: error %v, left %v %v",
						name, failure, at, len(archive), err, entries, readErr)
				}
			}
		}
	}
}

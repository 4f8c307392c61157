// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"slapos/networkcache"
)

// TestBlobs checks the contract for every kind of Blobs.
func TestBlobs(t *testing.T) {
	for name, open := range map[string]func(*testing.T) Blobs{
		"directory": func(t *testing.T) Blobs { return &Directory{Path: t.TempDir()} },
		"bucket":    func(t *testing.T) Blobs { return startBucket(t, "some/prefix") },
	} {
		t.Run(name, func(t *testing.T) {
			blobs, ctx := open(t), t.Context()
			testMissing(t, blobs)
			large := strings.Repeat("0123456789abcdef", 2<<20) // two parts of an upload to a bucket, and some
			for _, content := range []string{"", "hello", large} {
				for _, expected := range []string{"", sumOf(content)} {
					if sum, err := blobs.Store(ctx, strings.NewReader(content), expected); err != nil || sum != sumOf(content) {
						t.Fatalf("store %.10q: %s %v", content, sum, err)
					}
				}
				if got := readBlob(t, blobs, sumOf(content), 0); got != content {
					t.Errorf("read %.10q, want %.10q", got, content)
				}
			}
			if got := readBlob(t, blobs, sumOf(large), int64(len(large)-3)); got != "def" {
				t.Errorf("end: %q", got)
			}
			if _, err := blobs.Store(ctx, strings.NewReader("other"), sumOf("hello")); !errors.Is(err, ErrChecksum) {
				t.Errorf("wrong sum: %v", err)
			}
			broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, err := blobs.Store(ctx, broken, ""); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut off: %v", err)
			}
			all, err := blobs.List(ctx)
			if err != nil || len(all) != 3 {
				t.Errorf("list: %v %v", all, err)
			}
			for _, b := range all {
				if age := time.Since(b.Used); age > time.Minute || age < -time.Minute {
					t.Errorf("used %s ago", age)
				}
				if b.Sum == sumOf(large) && b.Size != int64(len(large)) {
					t.Errorf("size %d", b.Size)
				}
			}
			for range 2 {
				if err := blobs.Remove(ctx, sumOf("hello")); err != nil {
					t.Error(err)
				}
			}
			if has, err := blobs.Has(ctx, sumOf("hello")); has || err != nil {
				t.Errorf("removed: %v %v", has, err)
			}
		})
	}
}

func testMissing(t *testing.T, blobs Blobs) {
	t.Helper()
	for _, sum := range []string{sumOf("missing"), "", "..", strings.ToUpper(sumOf("x"))} {
		if _, err := blobs.Open(t.Context(), sum); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %.10q: %v", sum, err)
		}
		if has, err := blobs.Has(t.Context(), sum); has || err != nil {
			t.Errorf("has %.10q: %v %v", sum, has, err)
		}
	}
}

// TestHostileDirectory: other files in the directory of contents aren't served,
// whatever their names.
func TestHostileDirectory(t *testing.T) {
	d := &Directory{Path: t.TempDir()}
	secret := filepath.Join(t.TempDir(), "secret")
	link, pipe := sumOf("link"), sumOf("pipe")
	err := errors.Join(
		os.WriteFile(secret, []byte("secret"), 0o600),
		os.WriteFile(filepath.Join(d.Path, "other"), []byte("secret"), 0o600),
		os.Symlink(secret, filepath.Join(d.Path, link)),
		syscall.Mkfifo(filepath.Join(d.Path, pipe), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"other", link, pipe, "../" + filepath.Base(filepath.Dir(secret)) + "/secret"} {
		if content, err := d.Open(t.Context(), name); err == nil {
			text, err := io.ReadAll(content)
			t.Errorf("%.40s is served: %q %v", name, text, err)
			content.Close()
		}
		if has, err := d.Has(t.Context(), name); has || err != nil {
			t.Errorf("has %.40s: %v %v", name, has, err)
		}
	}
	if all, err := d.List(t.Context()); len(all) > 0 || err != nil {
		t.Errorf("lists %v %v", all, err)
	}
}

// TestHostileKeys: no key leads to another file.
func TestHostileKeys(t *testing.T) {
	folder := t.TempDir()
	victim := filepath.Join(folder, "victim")
	if err := errors.Join(os.Mkdir(filepath.Join(folder, "index"), 0o700), os.WriteFile(victim, []byte("[]"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f := &Files{Path: filepath.Join(folder, "index")}
	for name, call := range map[string]func(key string) error{
		"read":    func(key string) error { _, err := f.Read(t.Context(), key); return err },
		"add":     func(key string) error { return f.Add(t.Context(), key, []byte(`["",""]`), "") },
		"replace": func(key string) error { return f.Replace(t.Context(), key, []byte(`[["",""]]`)) },
		"remove":  func(key string) error { return f.Remove(t.Context(), key) },
	} {
		if err := call("../victim"); err == nil {
			t.Errorf("%s: no error", name)
		}
		if text, err := os.ReadFile(victim); string(text) != "[]" {
			t.Fatalf("%s: the file outside holds %q, %v", name, text, err)
		}
	}
}

// TestFull: the entries of a key are limited.
func TestFull(t *testing.T) {
	for _, place := range []string{t.TempDir(), "sqlite:" + filepath.Join(t.TempDir(), "db")} {
		x, err := OpenIndex(t.Context(), place, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		var refused *Refusal
		large := fmt.Appendf(nil, `["%s",""]`, strings.Repeat("x", maximumEntries*2/3))
		if err := x.Add(t.Context(), "key", large, ""); err != nil {
			t.Fatal(err)
		}
		large[2] = 'y'
		if err := x.Add(t.Context(), "key", large, ""); !errors.As(err, &refused) {
			t.Errorf("%.6s: %v", place, err)
		}
	}
}

func readBlob(t *testing.T, blobs Blobs, sum string, from int64) string {
	t.Helper()
	content, err := blobs.Open(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if _, err := content.Seek(from, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestIndex checks the contract for every kind of Index.
func TestIndex(t *testing.T) {
	for name, place := range map[string]func(*testing.T) string{
		"files":    func(t *testing.T) string { return filepath.Join(t.TempDir(), "made when needed") },
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "a ?#%.db") },
		"postgres": postgresAddress,
	} {
		t.Run(name, func(t *testing.T) {
			address, uploaders := place(t), filepath.Join(t.TempDir(), "uploaders")
			x, err := OpenIndex(t.Context(), address, uploaders)
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			testKeys(t, x)
			testOrder(t, x)
			testReplace(t, x)
			testFilter(t, x)
			testTogether(t, x)
			testShares(t, x, func() Index {
				again, err := OpenIndex(t.Context(), address, uploaders)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { again.Close() })
				return again
			})
			again, err := OpenIndex(t.Context(), address, uploaders)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if text, err := again.Read(t.Context(), "order"); err != nil || string(text) != `[["2",""], ["3",""], ["1",""]]` {
				t.Errorf("opened again: %s %v", text, err)
			}
		})
	}
}

func testKeys(t *testing.T, x Index) {
	ctx := t.Context()
	if keys, err := x.Keys(ctx); len(keys) != 0 || err != nil {
		t.Errorf("keys of nothing: %v %v", keys, err)
	}
	for _, key := range []string{"", ".", "..", "a/b", "../x", "\x00", strings.Repeat("k", 256), ".new-x"} {
		if err := x.Add(ctx, key, []byte(`["",""]`), ""); err == nil {
			t.Errorf("key %.10q was taken", key)
		}
		if _, err := x.Read(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("key %.10q: %v", key, err)
		}
	}
	good := []string{strings.Repeat("k", 255), "...", "a b", "é:%2f", "o'x"}
	for _, key := range good {
		if err := x.Add(ctx, key, []byte(`["é \u0000",""]`), ""); err != nil {
			t.Errorf("key %.10q: %v", key, err)
		}
		if text, err := x.Read(ctx, key); err != nil || string(text) != `[["é \u0000",""]]` {
			t.Errorf("key %.10q: %s %v", key, text, err)
		}
	}
	slices.Sort(good)
	keys, err := x.Keys(ctx)
	if slices.Sort(keys); !slices.Equal(keys, good) || err != nil {
		t.Errorf("keys %q %v", keys, err)
	}
	for _, key := range append(good, "missing") {
		if err := x.Remove(ctx, key); err != nil {
			t.Errorf("remove %.10q: %v", key, err)
		}
	}
	if keys, err := x.Keys(ctx); len(keys) != 0 || err != nil {
		t.Errorf("keys of nothing: %v %v", keys, err)
	}
}

func testOrder(t *testing.T, x Index) {
	for _, n := range []int{1, 2, 3, 2} {
		if err := x.Add(t.Context(), "order", fmt.Appendf(nil, "\t[\"%d\",\"\"] \n", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := x.Read(t.Context(), "order"); err != nil || string(text) != `[["2",""], ["3",""], ["1",""]]` {
		t.Errorf("order: %s %v", text, err)
	}
	err := x.Add(t.Context(), "order", fmt.Appendf(nil, `["%s",""]`, strings.Repeat("x", maximumEntries)), "")
	if !errors.Is(err, errFull) {
		t.Errorf("too many: %v", err)
	}
}

func testReplace(t *testing.T, x Index) {
	ctx := t.Context()
	for _, list := range []string{`[["1", ""], 2]`, `[["3", ""]]`} {
		if err := x.Replace(ctx, "replaced", []byte(list)); err != nil {
			t.Fatal(err)
		}
		if text, err := x.Read(ctx, "replaced"); err != nil || string(text) != list {
			t.Errorf("replaced: %s %v", text, err)
		}
	}
	if err := x.Remove(ctx, "replaced"); err != nil {
		t.Error(err)
	}
}

func testFilter(t *testing.T, x Index) {
	ctx := t.Context()
	if err := x.Replace(ctx, "filtered", []byte(`[["1", ""], ["2", ""], 3]`)); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		keep    func(networkcache.Entry) bool
		changed bool
		want    string
	}{
		{func(networkcache.Entry) bool { return true }, true, `[["1", ""], ["2", ""]]`},
		{func(networkcache.Entry) bool { return true }, false, `[["1", ""], ["2", ""]]`},
		{func(e networkcache.Entry) bool { return e.Content == "2" }, true, `[["2", ""]]`},
		{func(networkcache.Entry) bool { return false }, true, ""},
	} {
		changed, err := x.Filter(ctx, "filtered", step.keep)
		if changed != step.changed || err != nil {
			t.Errorf("changed %v %v, want %v", changed, err, step.changed)
		}
		text, err := x.Read(ctx, "filtered")
		if string(text) != step.want || (step.want == "") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("filtered: %s %v, want %s", text, err, step.want)
		}
	}
}

// testTogether adds from several goroutines.
func testTogether(t *testing.T, x Index) {
	var running sync.WaitGroup
	for n := range 10 {
		running.Go(func() {
			if err := x.Add(context.Background(), "together", fmt.Appendf(nil, `["%d",""]`, n), ""); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	text, err := x.Read(t.Context(), "together")
	var list []any
	if json.Unmarshal(text, &list) != nil || len(list) != 10 || err != nil {
		t.Errorf("together: %s %v", text, err)
	}
}

// testShares checks NC-75: an uploader who fills a key doesn't keep others out,
// even after a restart, and can go on once there is room again.
func testShares(t *testing.T, x Index, again func() Index) {
	ctx := t.Context()
	junk := func(n int) []byte { return fmt.Appendf(nil, `["%d %s",""]`, n, strings.Repeat("x", maximumShare/4)) }
	var full error
	for n := 0; n < 10 && full == nil; n++ {
		full = x.Add(ctx, "shares", junk(n), "mallory")
	}
	if !errors.Is(full, errShare) {
		t.Fatalf("junk: %v", full)
	}
	x = again()
	if err := x.Add(ctx, "shares", junk(99), "mallory"); !errors.Is(err, errShare) {
		t.Errorf("junk after a restart: %v", err)
	}
	for _, entry := range [][]byte{[]byte(`["ours",""]`), junk(50), junk(51)} {
		if err := x.Add(ctx, "shares", entry, "alice"); err != nil {
			t.Errorf("another uploader: %v", err)
		}
	}
	if err := x.Add(ctx, "other", junk(0), "mallory"); err != nil {
		t.Errorf("another key: %v", err)
	}
	if err := x.Add(ctx, "shares", junk(0), "mallory"); err != nil {
		t.Errorf("an entry that is there moves: %v", err)
	}
	ours := func(e networkcache.Entry) bool { return e.Content == "ours" || strings.HasPrefix(e.Content, "1 ") }
	if changed, err := x.Filter(ctx, "shares", ours); !changed || err != nil {
		t.Errorf("filter: %v %v", changed, err)
	}
	if err := x.Add(ctx, "shares", junk(98), "mallory"); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	for _, key := range []string{"shares", "other"} {
		if err := x.Remove(ctx, key); err != nil {
			t.Error(err)
		}
	}
}

// A table of a version without uploaders gets that column, even if several
// servers open it at once, and keeps its entries.
func TestOldTable(t *testing.T) {
	for name, address := range map[string]string{
		"sqlite":   "sqlite:" + filepath.Join(t.TempDir(), "index.db"),
		"postgres": "",
	} {
		t.Run(name, func(t *testing.T) {
			table := strings.Replace(sqliteTable, ", uploader TEXT NOT NULL DEFAULT ''", "", 1)
			driver, source := "sqlite", sqliteSource(strings.TrimPrefix(address, "sqlite:"))
			if name == "postgres" {
				address = postgresAddress(t)
				table = strings.Replace(postgresTable, ",\n\tuploader TEXT NOT NULL DEFAULT ''", "", 1)
				driver, source = "pgx", address
			}
			if strings.Contains(table, "uploader") {
				t.Fatal(table)
			}
			pool, err := sql.Open(driver, source)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			for _, statement := range []string{table, `INSERT INTO shadir_entry (entry_key, entry) VALUES ('key', '["old",""]')`} {
				if _, err := pool.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			var running sync.WaitGroup
			for range 3 {
				running.Go(func() {
					x, err := OpenIndex(t.Context(), address, "")
					if err != nil {
						t.Error(err)
						return
					}
					defer x.Close()
					if text, err := x.Read(t.Context(), "key"); err != nil || string(text) != `[["old",""]]` {
						t.Errorf("%s, %v", text, err)
					}
				})
			}
			running.Wait()
		})
	}
}

// Several servers can share the file of an index.
func TestSharedFile(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "index.db")
	var running sync.WaitGroup
	for server := range 3 {
		x, err := OpenIndex(t.Context(), address, "")
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		running.Go(func() {
			for n := range 10 {
				if err := x.Add(context.Background(), "key", fmt.Appendf(nil, `["%d %d",""]`, server, n), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	x, err := OpenIndex(t.Context(), address, "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	text, err := x.Read(t.Context(), "key")
	var list []any
	if json.Unmarshal(text, &list) != nil || len(list) != 30 || err != nil {
		t.Errorf("%d entries, %v", len(list), err)
	}
	for _, bad := range []string{"sqlite:/nonexistent/x.db", "postgres://secret:word@127.0.0.1:1/x"} {
		_, err := OpenIndex(t.Context(), bad, "")
		if err == nil || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "word") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

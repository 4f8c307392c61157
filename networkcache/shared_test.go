// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// A sharedNode is a node with a directory of shared parts.
type sharedNode struct {
	*Releases
	root string // of shared parts
}

// TestSharedParts takes a release from one node to others, which all keep
// shared parts in the same place.
func TestSharedParts(t *testing.T) {
	ctx, logger := context.Background(), slog.New(slog.DiscardHandler)
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	root := filepath.Join(t.TempDir(), "shared")
	node := &sharedNode{&Releases{
		Download: config, Upload: config, SoftwareRoot: t.TempDir(), TemporaryDirectory: t.TempDir(),
		SharedRoots: []string{"/somewhere/else", root + "/"},
		Platform:    func(context.Context) Platform { return Platform{"x", [3]string{"debian", "12", ""}} },
	}, root}
	zlib, openssl := node.part(t, "zlib/0123"), node.part(t, "openssl/4567")
	key := ReleaseKey(releaseURL)
	built := filepath.Join(t.TempDir(), key)
	testkit.WriteFile(t, filepath.Join(built, ".shared"), "")
	for range 2 { // a stored part isn't stored again
		if err := node.Push(ctx, releaseURL, built, []string{zlib, openssl}, logger); err != nil {
			t.Fatal(err)
		}
	}
	for key, count := range map[string]int{key: 0, SharedReleaseKey(key): 2, PartKey(zlib): 1, PartKey(openssl): 1} {
		if len(fake.entries[key]) != count {
			t.Errorf("%s: %d entries, want %d", key, len(fake.entries[key]), count)
		}
	}
	directory := filepath.Join(t.TempDir(), key)
	fetch := func() (bool, error) {
		t.Helper()
		if err := os.RemoveAll(directory); err != nil {
			t.Fatal(err)
		}
		found, err := node.Fetch(ctx, releaseURL, directory, logger)
		if _, statErr := os.Stat(directory); (statErr == nil) != found || found != (err == nil) {
			t.Errorf("found %v, %v, directory: %v", found, err, statErr)
		}
		return found, err
	}
	t.Run("all is here", func(t *testing.T) {
		if found, err := fetch(); !found {
			t.Error(err)
		}
	})
	t.Run("parts are missing", func(t *testing.T) {
		for _, missing := range []string{zlib, filepath.Dir(openssl), root} {
			if err := os.RemoveAll(missing); err != nil {
				t.Fatal(err)
			}
			if found, err := fetch(); !found {
				t.Error(err)
			}
			for _, part := range []string{zlib, openssl} {
				if complete, err := isComplete(part); !complete {
					t.Errorf("%s isn't complete: %v", part, err)
				}
			}
		}
	})
	t.Run("several at once", func(t *testing.T) {
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		for range 5 {
			running.Go(func() {
				if found, err := node.Fetch(ctx, releaseURL, filepath.Join(t.TempDir(), key), logger); !found {
					t.Error(err)
				}
			})
		}
		running.Wait()
	})
	t.Run("a part of another node's", func(t *testing.T) {
		node.SharedRoots = []string{"/somewhere/else"}
		defer func() { node.SharedRoots = []string{root} }()
		if _, err := fetch(); err == nil || !strings.Contains(err.Error(), "not in shared_part_list") {
			t.Error(err)
		}
	})
	t.Run("a part that is half built", func(t *testing.T) {
		if err := os.Remove(filepath.Join(zlib, ".zlib.signature")); err != nil {
			t.Fatal(err)
		}
		if _, err := fetch(); err == nil || !strings.Contains(err.Error(), "is there, but not complete") {
			t.Error(err)
		}
	})
	t.Run("a way out of the directory of parts", func(t *testing.T) {
		outside := t.TempDir()
		if err := os.RemoveAll(filepath.Dir(zlib)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Dir(zlib)); err != nil {
			t.Fatal(err)
		}
		if found, err := fetch(); found {
			t.Error("went out", err)
		}
		if entries, _ := os.ReadDir(outside); len(entries) > 0 {
			t.Errorf("left %v", entries)
		}
		if err := os.Remove(filepath.Dir(zlib)); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a part that is damaged", func(t *testing.T) {
		for sum, content := range fake.contents {
			fake.contents[sum] = content[:len(content)-1]
		}
		if _, err := fetch(); err == nil {
			t.Error("a damaged part was taken")
		}
		if entries, _ := os.ReadDir(filepath.Dir(zlib)); len(entries) > 0 {
			t.Errorf("left %v", entries)
		}
	})
}

// part makes a shared part.
func (n *sharedNode) part(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(n.root, name)
	testkit.WriteFile(t, filepath.Join(path, "lib", "lib.so"), name)
	testkit.WriteFile(t, filepath.Join(path, "."+filepath.Base(filepath.Dir(path))+".signature"), "")
	return path
}

func TestPartPlaces(t *testing.T) {
	r := &Releases{SharedRoots: []string{"/opt/shared", "/srv/parts/"}}
	for path, want := range map[string]string{
		"/opt/shared/zlib/0123":     "/opt/shared zlib/0123",
		"/srv/parts/a/b":            "/srv/parts/ a/b",
		"/opt/shared/zlib":          "",
		"/opt/shared/zlib/0123/lib": "",
		"/opt/shared/../x":          "",
		"/opt/shared/a/..":          "",
		"/opt/shared//x":            "",
		"/opt/shared/x/":            "",
		"/opt/sharedx/a/b":          "",
		"opt/shared/a/b":            "",
		"":                          "",
	} {
		root, below, err := r.placeOf(path)
		if got := strings.TrimSpace(root + " " + below); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", path, got, err, want)
		}
	}
}

// TestForeignPart: this node signs no entry for content that somebody else has
// stored as a part.
func TestForeignPart(t *testing.T) {
	ctx, logger := context.Background(), slog.New(slog.DiscardHandler)
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	foreign := config
	foreign.SignatureKeyFile, foreign.CertificateList = newIdentity(t)
	root := filepath.Join(t.TempDir(), "shared")
	node := &sharedNode{&Releases{Upload: config, SoftwareRoot: t.TempDir(), TemporaryDirectory: t.TempDir(), SharedRoots: []string{root},
		Platform: func(context.Context) Platform { return Platform{"x", [3]string{"debian", "12", ""}} }}, root}
	zlib := node.part(t, "zlib/0123")
	client := newTestClient(t, foreign)
	sum, err := client.Upload(ctx, strings.NewReader("evil"))
	if err == nil {
		err = client.Index(ctx, PartKey(zlib), sum, []Field{{"shared_part", zlib}, {"multiarch", "x"}, {"os", [3]string{"debian", "12", ""}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	parts, err := node.pushParts(ctx, newTestClient(t, config), []string{zlib}, node.platform(ctx), logger)
	if err != nil || len(parts) != 1 || parts[0].SHA512 == sum || len(fake.entries[PartKey(zlib)]) != 2 {
		t.Errorf("%v, %v, entries %v", parts, err, fake.entries[PartKey(zlib)])
	}
}

// TestPartCount: an entry can't make a node look for parts without end.
func TestPartCount(t *testing.T) {
	r := &Releases{SharedRoots: []string{"/opt/shared"}}
	for count, wanted := range map[int]bool{0: false, 1: true, maximumParts: true, maximumParts + 1: false} {
		content, err := contentText([]Field{{"shared_parts", slices.Repeat([]Part{{"/opt/shared/a/b", "0"}}, count)}})
		if err != nil {
			t.Fatal(err)
		}
		if parts, err := r.parts(Entry{Content: content}); (err == nil) != wanted {
			t.Errorf("%d parts: %d, %v", count, len(parts), err)
		}
	}
}

// Content that is packed during its upload arrives whole, or not at all.
func TestStream(t *testing.T) {
	fake, config := startFake(t)
	fake.streams = true
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	r := &Releases{Upload: config, Download: config, TemporaryDirectory: "/nonexistent", Platform: func(context.Context) Platform { return Platform{} }}
	key := ReleaseKey(releaseURL)
	built := filepath.Join(t.TempDir(), key)
	testkit.WriteFile(t, filepath.Join(built, "file"), strings.Repeat("x", 1<<20))
	logger := slog.New(slog.DiscardHandler)
	if err := r.Push(context.Background(), releaseURL, built, nil, logger); err != nil {
		t.Fatal(err)
	}
	fake.mu.Lock()
	if want := []string{"OPTIONS /cache", "POST /cache", "PUT /dir/" + key}; !slices.Equal(fake.requests, want) {
		t.Errorf("requests %q, want %q", fake.requests, want)
	}
	fake.mu.Unlock()
	directory := filepath.Join(t.TempDir(), key)
	if found, err := r.Fetch(context.Background(), releaseURL, directory, logger); !found {
		t.Error(err)
	}
	if err := r.Push(context.Background(), releaseURL, filepath.Join(t.TempDir(), "missing"), nil, logger); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("of nothing: %v", err)
	}
	fake.mu.Lock()
	fake.refuses = true
	fake.mu.Unlock()
	if err := r.Push(context.Background(), releaseURL, built, nil, logger); err == nil || !strings.Contains(err.Error(), "HTTP 507") {
		t.Errorf("refused: %v", err)
	}
	fake.mu.Lock()
	defer fake.mu.Unlock()
	if len(fake.contents) != 1 {
		t.Errorf("%d contents are kept, want the first", len(fake.contents))
	}
}

func FuzzParts(f *testing.F) {
	f.Add(`{"sha512": "x", "shared_parts": [{"path": "/opt/shared/zlib/0123", "sha512": "y"}]}`)
	f.Add(`{"shared_parts": [{"path": "/opt/shared/../etc/x"}, {"path": null}, 3]}`)
	r := &Releases{SharedRoots: []string{"/opt/shared"}}
	f.Fuzz(func(t *testing.T, content string) {
		entry := Entry{Content: content}
		entry.partPath()
		parts, err := r.parts(entry)
		if err != nil {
			return
		}
		for _, part := range parts {
			if filepath.Clean(part.Path) != part.Path || filepath.Dir(filepath.Dir(part.Path)) != "/opt/shared" {
				t.Errorf("place %q", part.Path)
			}
		}
	})
}

func isComplete(part string) (bool, error) {
	parent, err := os.OpenRoot(filepath.Dir(part))
	if err != nil {
		return false, err
	}
	defer parent.Close()
	return isCompletePart(parent, filepath.Base(part))
}

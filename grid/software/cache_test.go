// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/grid/pass"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A testCache is a cache of releases in memory.
type testCache struct {
	mu       sync.Mutex
	releases map[string]bool
	failures int // failures of Push before it succeeds
	pushed   []string
}

func (c *testCache) Fetch(_ context.Context, url, directory string, _ *slog.Logger) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.releases[url] {
		return false, nil
	}
	if err := os.Mkdir(directory, 0o755); err != nil || os.Geteuid() != 0 {
		return true, err
	}
	return true, os.Lchown(directory, testkit.User(), testkit.User())
}

func (c *testCache) Push(_ context.Context, url, _ string, parts []string, _ *slog.Logger) error {
	for _, part := range parts {
		url += " " + filepath.Base(filepath.Dir(part))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushed = append(c.pushed, url)
	if c.failures > 0 {
		c.failures--
		return errors.New("no room")
	}
	return nil
}

// NC-2, NC-43, NC-46, NC-60.
func TestPassCache(t *testing.T) {
	cached, built, blacklisted := "http://release/cached", "http://release/built", "http://other/built"
	for name, test := range map[string]struct {
		change       func(*softwareNode, *testCache)
		wantExit     int
		wantBuilt    []string
		wantPushed   []string
		wantReported string
	}{
		"fetched or built": {
			change:    func(*softwareNode, *testCache) {},
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built, blacklisted},
		},
		"blacklists": {
			change: func(n *softwareNode, _ *testCache) {
				n.options.DownloadBlacklist = []string{"http://release/c"}
				n.options.UploadBlacklist = []string{"http://other"}
			},
			wantBuilt: []string{cached, built, blacklisted}, wantPushed: []string{cached, built},
		},
		"no upload": {
			change: func(n *softwareNode, _ *testCache) {
				n.options.Upload = false
				n.options.UploadBlacklist = []string{"http://other"}
			},
			wantBuilt: []string{built, blacklisted},
		},
		"uploads fail": {
			change:    func(_ *softwareNode, c *testCache) { c.failures = 100 },
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built, built, built, blacklisted, blacklisted, blacklisted},
		},
		"forced": {
			change: func(n *softwareNode, _ *testCache) {
				n.options.DownloadForced = []string{"http://release/"}
			},
			wantExit: 1, wantBuilt: []string{blacklisted}, wantPushed: []string{blacklisted},
			wantReported: "Binary cache forced for '" + built + "', but failed to download, will retry again",
		},
		"shared parts": {
			change:    func(n *softwareNode, _ *testCache) { n.BuildWith("echo buildout >> log; touch .shared") },
			wantBuilt: []string{built, blacklisted},
		},
		"shared parts that are known": {
			change: func(n *softwareNode, _ *testCache) {
				root := t.TempDir()
				n.Pass.SharedParts = pass.Lines(root)
				for part, text := range map[string]string{
					"a/" + strings.Repeat("a", 32): strings.Repeat("b", 32), "b/" + strings.Repeat("b", 32): "", "c/" + strings.Repeat("c", 32): "",
				} {
					if err := os.MkdirAll(filepath.Join(root, part), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(root, part, ".buildout-shared.json"), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				n.BuildWith("echo buildout >> log; touch .shared; echo " + root + "/a/" + strings.Repeat("a", 32) + " > .installed.cfg")
			},
			wantBuilt: []string{built, blacklisted}, wantPushed: []string{built + " a b", blacklisted + " a b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newSoftwareNode(t)
			cache := &testCache{releases: map[string]bool{cached: true}}
			n.options.Cache, n.options.Upload = cache, true
			n.Want(slap.StateAvailable, cached, built, blacklisted)
			test.change(n, cache)
			n.run(test.wantExit)
			var gotBuilt []string
			for _, url := range []string{cached, built, blacklisted} {
				if testkit.Exists(n.Path(url, "log")) {
					gotBuilt = append(gotBuilt, url)
				}
			}
			if !slices.Equal(gotBuilt, test.wantBuilt) {
				t.Errorf("built %q, want %q", gotBuilt, test.wantBuilt)
			}
			slices.Sort(cache.pushed)
			slices.Sort(test.wantPushed)
			if !slices.Equal(cache.pushed, test.wantPushed) {
				t.Errorf("pushed %q, want %q", cache.pushed, test.wantPushed)
			}
			reported := ""
			for _, call := range n.Master.Take() {
				reported += call.Form.Get("error_log")
			}
			if reported != test.wantReported {
				t.Errorf("reported %q, want %q", reported, test.wantReported)
			}
		})
	}
}

// patientCache uploads once something else has happened.
type patientCache struct {
	testCache
	happened func(context.Context) bool
	before   bool // each upload
}

func (c *patientCache) Push(ctx context.Context, _, _ string, _ []string, _ *slog.Logger) error {
	happened := c.happened(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = happened
	c.pushed = append(c.pushed, "once")
	if len(c.pushed) < 2 {
		return errors.New("no room")
	}
	return nil
}

// D-21: the release is reported available while its upload runs, fails, and is
// retried; the pass waits for all of that.
func TestPassUploadsBeside(t *testing.T) {
	n := newSoftwareNode(t)
	reported := func() bool { return n.Master.Called("availableSoftwareRelease") }
	cache := &patientCache{happened: func(ctx context.Context) bool { return testkit.Await(ctx, testkit.Patience, reported) }}
	n.options.Cache, n.options.Upload = cache, true
	n.Want(slap.StateAvailable, testenv.Release)
	n.run(0)
	if !cache.before || len(cache.pushed) != 2 {
		t.Errorf("reported before: %v, uploads %q", cache.before, cache.pushed)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// A release that both the far cache and the neighbours have, or not.
type neighbourhood struct {
	far, near        *fakeCache
	farPlace, nearby Config
	key              string
	releases         *Releases
	log              *bytes.Buffer
}

func newNeighbourhood(t *testing.T) *neighbourhood {
	t.Helper()
	h := &neighbourhood{key: ReleaseKey(releaseURL), log: new(bytes.Buffer)}
	h.far, h.farPlace = startFake(t)
	h.near, h.nearby = startFake(t)
	h.farPlace.SignatureKeyFile, h.farPlace.CertificateList = newIdentity(t)
	h.nearby.CertificateList = h.farPlace.CertificateList
	built := filepath.Join(t.TempDir(), h.key)
	if err := errors.Join(os.Mkdir(built, 0o755), os.WriteFile(filepath.Join(built, "file"), []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	h.releases = &Releases{Download: h.farPlace, Upload: h.farPlace, Neighbours: []Config{h.nearby}, SoftwareRoot: "/opt/slapgrid"}
	if err := h.releases.Push(t.Context(), releaseURL, built, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	for key, entries := range h.far.entries {
		h.near.entries[key] = entries
	}
	for sum, content := range h.far.contents {
		h.near.contents[sum] = content
	}
	h.far.requests = nil
	return h
}

func (h *neighbourhood) fetch(t *testing.T) (found bool, err error) {
	t.Helper()
	directory := filepath.Join(t.TempDir(), h.key)
	h.log.Reset()
	found, err = h.releases.Fetch(t.Context(), releaseURL, directory, slog.New(slog.NewTextHandler(h.log, nil)))
	if testkit.Exists(filepath.Join(directory, "file")) != found {
		t.Errorf("found is %v, files are otherwise", found)
	}
	return found, err
}

// NC-100: neighbours are asked first, and can neither give a node something else
// nor keep it from the far cache.
func TestNeighbours(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(h *neighbourhood)
		fromFar bool
		log     string
	}{
		"has it":      {func(*neighbourhood) {}, false, "from the neighbour"},
		"knows none":  {func(h *neighbourhood) { clear(h.near.entries) }, true, ""},
		"no contents": {func(h *neighbourhood) { clear(h.near.contents) }, true, "none of 1 builds"},
		"unsigned": {func(h *neighbourhood) {
			h.near.entries[h.key] = []string{strings.Replace(h.near.entries[h.key][0], `", "`, `", "A`, 1)}
		}, true, "not signed by a trusted certificate"},
		"another content": {func(h *neighbourhood) {
			for sum := range h.near.contents {
				h.near.contents[sum] = append(bytes.Clone(h.near.contents[sum]), "more"...)
			}
		}, true, "invalid checksum"},
		"no entries": {func(h *neighbourhood) { h.near.entries[h.key] = []string{"1"} }, true, ""},
		"no URL":     {func(h *neighbourhood) { h.releases.Neighbours[0].Cache.Download = "" }, true, "no URL to download from"},
		"away": {func(h *neighbourhood) {
			h.releases.Neighbours[0].Directory.Download = "http://user:secret@127.0.0.1:1/dir"
		}, true, "user:xxxxx@127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newNeighbourhood(t)
			test.change(h)
			found, err := h.fetch(t)
			if !found || err != nil {
				t.Fatalf("%v %v\n%s", found, err, h.log)
			}
			if fromFar := len(h.far.requests) > 0; fromFar != test.fromFar {
				t.Errorf("the far cache is asked: %v", fromFar)
			}
			if !strings.Contains(h.log.String(), test.log) || strings.Contains(h.log.String(), "secret") {
				t.Errorf("log:\n%s", h.log)
			}
		})
	}
}

// NC-100: without a far cache the neighbours are all there is.
func TestOnlyNeighbours(t *testing.T) {
	h := newNeighbourhood(t)
	h.releases.Download = Config{}
	if found, err := h.fetch(t); !found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	clear(h.near.entries)
	if found, err := h.fetch(t); found || err != nil {
		t.Errorf("nobody has it: %v %v", found, err)
	}
}

// NC-100: a neighbour that doesn't answer costs its wait once a minute.
func TestSilentNeighbour(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	h := newNeighbourhood(t)
	silent := Config{
		Cache:     Service{Download: fmt.Sprintf("http://%s/cache", listener.Addr())},
		Directory: Service{Download: fmt.Sprintf("http://%s/dir", listener.Addr())}, Timeout: 200 * time.Millisecond,
	}
	h.releases.Neighbours = slices.Insert(h.releases.Neighbours, 0, silent)
	now := time.Now()
	h.releases.Now = func() time.Time { return now }
	for i, asked := range []bool{true, false, true} {
		if i == 2 {
			now = now.Add(neighbourRest)
		}
		found, err := h.fetch(t)
		if !found || err != nil || len(h.far.requests) > 0 {
			t.Errorf("%v %v", found, err)
		}
		if strings.Contains(h.log.String(), "Nothing from the neighbour") != asked {
			t.Errorf("fetch %d, asked is %v:\n%s", i, asked, h.log)
		}
	}
}

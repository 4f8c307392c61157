// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const releaseURL = "https://example.invalid/software.cfg"

// NC-43, NC-44.
func TestReleases(t *testing.T) {
	ctx, logger := context.Background(), slog.New(slog.DiscardHandler)
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	debian := func(version string) func(context.Context) Platform {
		return func(context.Context) Platform {
			return Platform{"x86_64-linux-gnu", [3]string{"debian", version, "bookworm"}}
		}
	}
	node := func() *Releases {
		return &Releases{
			Download: config, Upload: config, SoftwareRoot: "/opt/slapgrid", TemporaryDirectory: t.TempDir(),
			Platform: debian("12"), Now: func() time.Time { return time.Unix(1800000000, 0) },
		}
	}
	key := ReleaseKey(releaseURL)
	built := filepath.Join(t.TempDir(), key)
	if err := os.Mkdir(built, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"buildout.cfg", ".completed"} {
		if err := os.WriteFile(filepath.Join(built, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fetch := func(r *Releases) (directory string, found bool, err error) {
		directory = filepath.Join(t.TempDir(), key)
		found, err = r.Fetch(ctx, releaseURL, directory, logger)
		if _, statErr := os.Stat(directory); (statErr == nil) != found {
			t.Errorf("found is %v, directory: %v", found, statErr)
		}
		return directory, found, err
	}
	if _, found, err := fetch(node()); found || !errors.Is(err, ErrNotFound) {
		t.Errorf("from an empty cache: %v %v", found, err)
	}
	if err := node().Push(ctx, releaseURL, built, nil, logger); err != nil {
		t.Fatal(err)
	}
	// NC-43: an entry has exactly these fields.
	var entry []string
	if err := json.Unmarshal([]byte(fake.entries[key][0]), &entry); err != nil || len(entry) != 2 {
		t.Fatal(entry, err)
	}
	sum, rest, _ := strings.Cut(strings.TrimPrefix(entry[0], `{"sha512": "`), `"`)
	if want := `, "software_url": "` + releaseURL + `", "software_root": "/opt/slapgrid", "multiarch": "x86_64-linux-gnu", "os": ["debian", "12", "bookworm"]}`; fake.contents[sum] == nil || rest != want {
		t.Errorf("entry %s", entry[0])
	}
	directory, found, err := fetch(node())
	if !found || err != nil {
		t.Fatal(found, err)
	}
	if entries, _ := os.ReadDir(directory); len(entries) != 1 || entries[0].Name() != "buildout.cfg" { // NC-45
		t.Errorf("fetched %v", entries)
	}
	other := node()
	other.Platform = debian("11")
	refused := func(r *Releases, want string) {
		t.Helper()
		if _, found, err := fetch(r); found || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("found %v, error %v, want %s", found, err, want)
		}
	}
	refused(other, "none of 1 builds there is for this node (for debian 12 x86_64-linux-gnu)")
	other = node()
	other.SoftwareRoot = "/srv"
	if _, found, err := fetch(other); !found || err != nil {
		t.Errorf("of another software root: %v %v", found, err)
	}
	other.OnlySoftwareRoot = true
	refused(other, "for software_root /opt/slapgrid")
	other = node()
	_, other.Download.CertificateList = newIdentity(t)
	other.Download.SignatureKeyFile = ""
	refused(other, "not signed by a trusted certificate")
	t.Run("entries before that don't count", func(t *testing.T) {
		good := fake.entries[key][0]
		fake.entries[key] = []string{`7`, `["{}", "%%%%"]`, `["{}", ""]`, `["no JSON", "QQ=="]`, good}
		if _, found, err := fetch(node()); !found || err != nil {
			t.Error(found, err)
		}
	})
	t.Run("content with another sum", func(t *testing.T) {
		for sum := range fake.contents {
			fake.contents[sum] = append(bytes.Clone(fake.contents[sum]), 0)
		}
		if _, found, err := fetch(node()); found || err == nil {
			t.Error(found, err)
		}
	})
	t.Run("content that is gone", func(t *testing.T) {
		clear(fake.contents)
		refused(node(), "HTTP 404")
	})
	if left, _ := os.ReadDir(node().TemporaryDirectory); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// NC-47: whoever keeps the index can't get an older release installed by
// listing it first, nor by listing unsigned entries.
func TestReleaseDates(t *testing.T) {
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	day := 0
	node := &Releases{
		Download: config, Upload: config, SoftwareRoot: "/opt/slapgrid", TemporaryDirectory: t.TempDir(), Dated: true,
		Platform: func(context.Context) Platform {
			return Platform{"x86_64-linux-gnu", [3]string{"debian", "12", "bookworm"}}
		},
		Now: func() time.Time { return time.Unix(1800000000, 0).AddDate(0, 0, day) },
	}
	key, logger := ReleaseKey(releaseURL), slog.New(slog.DiscardHandler)
	for day = range 3 {
		built := filepath.Join(t.TempDir(), key)
		if err := os.Mkdir(built, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(built, "day"), []byte{'0' + byte(day)}, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := node.Push(t.Context(), releaseURL, built, nil, logger); err != nil {
			t.Fatal(err)
		}
	}
	signed := slices.Clone(fake.entries[key])
	slices.Sort(signed)
	var newest Entry
	for _, text := range signed {
		entry, err := ParseEntry([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if date, dated := entry.Date(); dated && date.Equal(time.Unix(1800000000, 0).AddDate(0, 0, 2)) {
			newest = entry
		}
	}
	forged := newest
	forged.Content = strings.Replace(forged.Content, `"timestamp": 1`, `"timestamp": 2`, 1)
	if forged == newest {
		t.Fatal(newest.Content)
	}
	for _, order := range [][]string{{signed[0], signed[1], signed[2]}, {signed[2], signed[1], signed[0]}, {signed[1], string(forged.Text()), signed[2], signed[0]}} {
		fake.entries[key] = order
		directory := filepath.Join(t.TempDir(), key)
		if found, err := node.Fetch(t.Context(), releaseURL, directory, logger); !found || err != nil {
			t.Fatal(found, err)
		}
		if text, err := os.ReadFile(filepath.Join(directory, "day")); string(text) != "2" {
			t.Errorf("release of day %s, %v", text, err)
		}
	}
}

// TestReleaseOfAnotherURL lists a trusted build of one release under the key of
// another (NC-48).
func TestReleaseOfAnotherURL(t *testing.T) {
	fake, config := startFake(t)
	config.SignatureKeyFile, config.CertificateList = newIdentity(t)
	node := &Releases{
		Download: config, Upload: config, SoftwareRoot: "/opt/slapgrid", TemporaryDirectory: t.TempDir(),
		Platform: func(context.Context) Platform {
			return Platform{"x86_64-linux-gnu", [3]string{"debian", "12", "bookworm"}}
		},
	}
	const other = "https://example.invalid/other/software.cfg"
	logger := slog.New(slog.DiscardHandler)
	built := filepath.Join(t.TempDir(), ReleaseKey(other))
	if err := os.Mkdir(built, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := node.Push(t.Context(), other, built, nil, logger); err != nil {
		t.Fatal(err)
	}
	fake.entries[ReleaseKey(releaseURL)] = fake.entries[ReleaseKey(other)]
	directory := filepath.Join(t.TempDir(), ReleaseKey(releaseURL))
	if found, err := node.Fetch(t.Context(), releaseURL, directory, logger); found || err == nil || !strings.Contains(err.Error(), ReleaseKey(other)) {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := os.Lstat(directory); err == nil {
		t.Error("another release is installed")
	}
}

// A date is a number of seconds; anything else is ignored.
func TestEntryDate(t *testing.T) {
	for text, want := range map[string]int64{
		`{"timestamp": 1800000000}`: 1800000000, `{"timestamp": 1800000000.75}`: 1800000000, `{"timestamp": 0}`: 0,
		`{}`: -1, `{"timestamp": "1800000000"}`: -1, `{"timestamp": null}`: -1, `{"timestamp": -1}`: -1, `{"timestamp": 1e300}`: -1,
		`{"timestamp": 1e999}`: -1, `[]`: -1, `x`: -1, `{"timestamp": [1]}`: -1,
	} {
		date, dated := Entry{Content: text}.Date()
		if got := date.Unix(); dated != (want >= 0) || dated && got != want {
			t.Errorf("%s: %v %v", text, date, dated)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"slapos/networkcache/archive"
)

// Releases is a cache of built Software Releases. Each call makes its own
// client, since most runs of an agent have nothing to fetch or push.
type Releases struct {
	// Download and Upload say how to reach the services; without their URLs
	// there is no download or upload.
	Download, Upload Config
	// Neighbours are caches nearby, asked before Download, with short time
	// limits.
	Neighbours []Config
	// SoftwareRoot goes into entries; paths inside a release begin with it.
	SoftwareRoot string
	// OnlySoftwareRoot skips entries of another software root: software that
	// was built for another place does not run here (NC-44).
	OnlySoftwareRoot bool
	// Platform of this node; default: DetectPlatform.
	Platform func(context.Context) Platform
	// SharedRoots are the directories of shared parts, ROOT/NAME/HASH. Releases
	// that use parts elsewhere are not for this node.
	SharedRoots []string
	// Reserve is how many bytes stay free on the disk of releases.
	Reserve int64
	// TemporaryDirectory holds an archive whose length a server requires;
	// default: the system's.
	TemporaryDirectory string
	// Open opens a directory for packing, a release or a shared part, whose
	// builder can put anything in its place. Default: [os.OpenRoot].
	Open func(path string) (*os.Root, error)
	// Dated puts a signed date into each release's entry, which the original
	// doesn't (NC-47). Entries that the original doesn't know always have one.
	Dated bool
	// OpenParts opens the directory of the shared parts with a name in one of
	// SharedRoots, and makes it if it is missing, for whom it has to belong to.
	// Default: for the user who runs this.
	OpenParts func(root, name string) (*os.Root, error)
	// Now is the clock of signed dates; default: time.Now.
	Now func() time.Time

	restoring, pushing singleflight.Group // shared parts, by their paths
	resting            resting            // neighbours
}

// ReleaseKey returns ShaDir's key for the release of a URL.
func ReleaseKey(url string) string {
	sum := md5.Sum([]byte(url))
	return hex.EncodeToString(sum[:])
}

// Fetch makes directory, which has the name of the release's key, hold the
// release of url. It uses the first trusted entry that fits and whose content
// exists (NC-43). Entries with a signed date come before others, the newest
// first (NC-47). Those that use shared parts come last, after the parts that
// are missing here (D-11). The neighbours are asked first (NC-100). Fetch returns false if there is none. After an error
// nothing is left, except shared parts, which are complete in themselves.
func (r *Releases) Fetch(ctx context.Context, url, directory string, logger *slog.Logger) (found bool, err error) {
	isFar := r.Download.Cache.Download != "" && r.Download.Directory.Download != ""
	if !isFar && r.Download.Cache.Download != r.Download.Directory.Download {
		logger.Warn("networkcache badly configured: one of download-binary-cache-url and download-binary-dir-url is missing")
	}
	if !isFar && len(r.Neighbours) == 0 {
		return false, nil
	}
	logger.Info(fmt.Sprintf("Downloading %s binary from network cache.", url))
	if r.fetchNear(ctx, url, directory, logger) {
		return true, nil
	}
	if !isFar {
		return false, nil
	}
	return r.fetchFrom(ctx, r.Download, url, directory, logger)
}

// fetchFrom fetches from one cache.
func (r *Releases) fetchFrom(ctx context.Context, cache Config, url, directory string, logger *slog.Logger) (found bool, err error) {
	client, err := NewClient(cache)
	if err != nil {
		return false, err
	}
	f := &fetch{Releases: r, client: client, url: url, directory: directory, logger: logger}
	found, err = f.first(ctx, ReleaseKey(url), f.unpack)
	if !found && len(r.SharedRoots) > 0 && (err == nil || errors.Is(err, ErrNotFound)) {
		var sharedErr error
		if found, sharedErr = f.first(ctx, SharedReleaseKey(ReleaseKey(url)), f.unpackShared); found || !errors.Is(sharedErr, ErrNotFound) {
			err = sharedErr
		}
	}
	if !found && len(f.leftOut) > 0 && (err == nil || errors.Is(err, ErrNotFound)) {
		err = f.none()
	}
	return found, err
}

// A fetch tries the entries of a release.
type fetch struct {
	*Releases
	client    *Client
	url       string
	directory string
	logger    *slog.Logger
	leftOut   []string // why entries were skipped
}

// errLeaveOut is the reason to try the next entry.
type errLeaveOut struct{ reason string }

func (e *errLeaveOut) Error() string { return e.reason }

// first tries those entries of a key that are for this node.
func (f *fetch) first(ctx context.Context, key string, install func(context.Context, Entry) error) (found bool, err error) {
	entries, err := f.client.Entries(ctx, key)
	if err != nil {
		return false, err
	}
	newestFirst(entries)
	here := f.platform(ctx)
	for _, entry := range entries {
		err := f.check(entry, here)
		if err == nil {
			err = install(ctx, entry)
		}
		if err == nil {
			return true, nil
		}
		leaveOut, isReason := err.(*errLeaveOut)
		if !isReason {
			return false, err
		}
		f.leftOut = append(f.leftOut, leaveOut.reason)
	}
	return false, nil
}

// check reports whether an entry is for this node. Keys aren't signed, so the index may
// list any entry under any of them: what is unpacked must have the release's directory
// (NC-48).
func (f *fetch) check(entry Entry, here Platform) error {
	if !f.client.Trusts(entry) {
		return &errLeaveOut{"not signed by a trusted certificate"}
	}
	platform, err := EntryPlatform(entry)
	switch {
	case err != nil:
		return &errLeaveOut{err.Error()}
	case entry.SHA512() == "":
		return &errLeaveOut{"entry: no sha512"}
	case !platform.Compatible(here):
		return &errLeaveOut{fmt.Sprintf("for %.40s %.40s", strings.Join(platform.OS[:2], " "), platform.Multiarch)}
	case f.OnlySoftwareRoot && entry.softwareRoot() != f.SoftwareRoot:
		return &errLeaveOut{fmt.Sprintf("for software_root %.200s", entry.softwareRoot())}
	}
	return nil
}

func (f *fetch) unpack(ctx context.Context, entry Entry) error {
	content, err := f.client.Download(ctx, entry.SHA512())
	if err != nil {
		return &errLeaveOut{err.Error()}
	}
	defer content.Close()
	return archive.Unpack(ctx, content, archive.UnpackOptions{Directory: f.directory, Reserve: f.Reserve})
}

func (f *fetch) unpackShared(ctx context.Context, entry Entry) error {
	parts, err := f.parts(entry)
	if err != nil {
		return &errLeaveOut{err.Error()}
	}
	if err := f.restore(ctx, f.client, parts, f.logger); err != nil {
		return err
	}
	return f.unpack(ctx, entry)
}

// none says why no entry fits.
func (f *fetch) none() error {
	var reasons []string
	for _, reason := range f.leftOut {
		if !slices.Contains(reasons, reason) && len(reasons) < 5 {
			reasons = append(reasons, reason)
		}
	}
	return &errNone{len(f.leftOut), strings.Join(reasons, "; ")}
}

// errNone means that there are builds, and none for this node.
type errNone struct {
	count   int
	reasons string
}

func (e *errNone) Error() string {
	return fmt.Sprintf("none of %d builds there is for this node (%s)", e.count, e.reasons)
}

func (r *Releases) platform(ctx context.Context) Platform {
	if r.Platform != nil {
		return r.Platform(ctx)
	}
	return DetectPlatform(ctx, "/")
}

// completed are the names of the file that marks a complete release, also while
// it is being written.
var completed = []string{".completed", ".completed.new"}

// Push stores the release of url, which is in directory, and the shared parts
// that it uses, with entries for this platform. It leaves out the file
// .completed (NC-45). A configuration that can't work is logged and not an
// error: a retry would not help.
func (r *Releases) Push(ctx context.Context, url, directory string, parts []string, logger *slog.Logger) error {
	if r.Upload.Cache.Upload == "" || r.Upload.Directory.Upload == "" {
		return nil
	}
	client, err := NewClient(r.Upload)
	if err != nil {
		logger.Warn(fmt.Sprintf("Not uploaded to the network cache: %v", err))
		return nil
	}
	here := r.platform(ctx)
	logger.Info(fmt.Sprintf("Uploading %s binary into network cache.", url))
	fields := []Field{
		{"software_url", url},
		{"software_root", r.SoftwareRoot},
		{"multiarch", here.Multiarch},
		{"os", here.OS},
	}
	key := ReleaseKey(url)
	if len(parts) > 0 {
		stored, err := r.pushParts(ctx, client, parts, here, logger)
		if err != nil {
			return err
		}
		key, fields = SharedReleaseKey(key), append(fields, Field{"shared_parts", stored})
	}
	sum, err := r.store(ctx, client, directory, completed...)
	if err != nil {
		return err
	}
	if r.Dated || len(parts) > 0 {
		fields = append(fields, r.timestamp())
	}
	return client.Index(ctx, key, sum, fields)
}

// timestamp returns the signed date of an entry.
func (r *Releases) timestamp() Field { return Field{"timestamp", r.now().Unix()} }

func (r *Releases) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// store uploads the archive of a directory: during packing if the server
// accepts that, else from a file.
func (r *Releases) store(ctx context.Context, client *Client, directory string, without ...string) (sum string, err error) {
	open := r.Open
	if open == nil {
		open = os.OpenRoot
	}
	top, err := open(directory)
	if err != nil {
		return "", err
	}
	defer top.Close()
	pack := func(w io.Writer) error { return archive.PackOpened(ctx, w, top, directory, without...) }
	if client.takesStreams(ctx) {
		return client.stream(ctx, pack)
	}
	packed, err := os.CreateTemp(r.TemporaryDirectory, "slapos-upload-*")
	if err != nil {
		return "", err
	}
	defer packed.Close()
	if err := os.Remove(packed.Name()); err != nil { // only the open file is needed
		return "", err
	}
	hash := sha512.New()
	if err := pack(io.MultiWriter(packed, hash)); err != nil {
		return "", err
	}
	size, err := packed.Seek(0, io.SeekCurrent)
	if err != nil {
		return "", err
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	return sum, client.store(ctx, sum, size, packed)
}

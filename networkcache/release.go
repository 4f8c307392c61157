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

// Releases is a cache of built Software Releases. A client is made for each
// call, since most runs of an agent have nothing to fetch or to push.
type Releases struct {
	// Download and Upload are how the services are reached; without their URLs
	// this isn't done.
	Download, Upload Config
	// SoftwareRoot is told in entries; paths inside a release begin with it.
	SoftwareRoot string
	// OnlySoftwareRoot leaves entries out that tell another one: software that
	// was built for another place does not run here (NC-44).
	OnlySoftwareRoot bool
	// Platform of this node; default: DetectPlatform tells.
	Platform func(context.Context) Platform
	// SharedRoots are the directories of shared parts, ROOT/NAME/HASH. Releases
	// that use others are not for this node.
	SharedRoots []string
	// Reserve is how many bytes stay free on the disk of releases.
	Reserve int64
	// TemporaryDirectory holds an archive that a server needs the length of;
	// default: that of the system.
	TemporaryDirectory string
	// Open opens a directory that is packed, a release or a shared part: who builds
	// them can put anything in their place. Default: [os.OpenRoot].
	Open func(path string) (*os.Root, error)
	// Dated has a signed date in the entry of each release, which the original
	// doesn't write (NC-47). Entries that it doesn't know always have one.
	Dated bool
	// Now is the clock of signed dates; default: time.Now.
	Now func() time.Time

	restoring, pushing singleflight.Group // shared parts, by their paths
}

// ReleaseKey is ShaDir's key of the release of a URL.
func ReleaseKey(url string) string {
	sum := md5.Sum([]byte(url))
	return hex.EncodeToString(sum[:])
}

// Fetch makes directory, which is named by the release's key, hold the release
// of url: the first trusted entry that fits and whose content is there (NC-43),
// the newest of those with a signed date before the others (NC-47).
// Those that use shared parts come last, after the parts that they miss (D-11).
// It says false when there is none. After an error there is nothing, but for
// shared parts, which are complete by themselves.
func (r *Releases) Fetch(ctx context.Context, url, directory string, logger *slog.Logger) (found bool, err error) {
	if r.Download.Cache.Download == "" || r.Download.Directory.Download == "" {
		if r.Download.Cache.Download != r.Download.Directory.Download {
			logger.Warn("networkcache badly configured: one of download-binary-cache-url and download-binary-dir-url is missing")
		}
		return false, nil
	}
	client, err := NewClient(r.Download)
	if err != nil {
		return false, err
	}
	logger.Info(fmt.Sprintf("Downloading %s binary from network cache.", url))
	f := &fetch{r, client, directory, logger, nil}
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

// A fetch goes through the entries of a release.
type fetch struct {
	*Releases
	client    *Client
	directory string
	logger    *slog.Logger
	leftOut   []string // why entries were
}

// errLeaveOut is the reason to try the next entry.
type errLeaveOut struct{ reason string }

func (e *errLeaveOut) Error() string { return e.reason }

// first tries the entries of a key that are for this node.
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

// check tells whether an entry is for this node.
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

// none says why no entry would do.
func (f *fetch) none() error {
	var reasons []string
	for _, reason := range f.leftOut {
		if !slices.Contains(reasons, reason) && len(reasons) < 5 {
			reasons = append(reasons, reason)
		}
	}
	return fmt.Errorf("none of %d builds there is for this node (%s)", len(f.leftOut), strings.Join(reasons, "; "))
}

func (r *Releases) platform(ctx context.Context) Platform {
	if r.Platform != nil {
		return r.Platform(ctx)
	}
	return DetectPlatform(ctx, "/")
}

// completed are the names of the file that tells of a complete release, and of
// it while it is written.
var completed = []string{".completed", ".completed.new"}

// Push stores the release of url, which directory holds, and the shared parts
// that it uses, with entries for this platform. The file .completed is left out
// (NC-45). A configuration that can't work is logged, and no error: another try
// would not help.
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

// timestamp is the signed date of an entry.
func (r *Releases) timestamp() Field {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	return Field{"timestamp", now().Unix()}
}

// store uploads the archive of a directory: while it is packed to servers that
// take that, else from a file.
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
	if err := os.Remove(packed.Name()); err != nil { // it is needed open only
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

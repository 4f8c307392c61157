package networkcache

import (
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"

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
	// Reserve is how many bytes stay free on the disk of releases.
	Reserve int64
	// TemporaryDirectory holds an archive before it is uploaded; default: that
	// of the system.
	TemporaryDirectory string
}

// ReleaseKey is ShaDir's key of the release of a URL.
func ReleaseKey(url string) string {
	sum := md5.Sum([]byte(url))
	return hex.EncodeToString(sum[:])
}

// Fetch makes directory, which is named by the release's key, hold the release
// of url: the first trusted entry that fits and whose content is there (NC-43).
// It says false when there is none. After an error there is nothing.
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
	entries, err := client.Entries(ctx, ReleaseKey(url))
	if err != nil {
		return false, err
	}
	here := r.platform(ctx)
	for _, entry := range entries {
		if !client.Trusts(entry) || !r.fits(entry, here) {
			continue
		}
		content, err := client.Download(ctx, entry.SHA512())
		if err != nil {
			logger.Debug("Entry left out", "error", err)
			continue
		}
		defer content.Close()
		err = archive.Unpack(ctx, content, archive.UnpackOptions{Directory: directory, Reserve: r.Reserve})
		return err == nil, err
	}
	return false, nil
}

func (r *Releases) platform(ctx context.Context) Platform {
	if r.Platform != nil {
		return r.Platform(ctx)
	}
	return DetectPlatform(ctx, "/")
}

// fits tells whether an entry is for this node.
func (r *Releases) fits(entry Entry, here Platform) bool {
	platform, err := EntryPlatform(entry)
	if err != nil || !platform.Compatible(here) || entry.SHA512() == "" {
		return false
	}
	return !r.OnlySoftwareRoot || entry.softwareRoot() == r.SoftwareRoot
}

// completed are the names of the file that tells of a complete release, and of
// it while it is written.
var completed = []string{".completed", ".completed.new"}

// Push stores the release of url, which directory holds, with an entry for this
// platform. The file .completed is left out (NC-45). A configuration that can't
// work is logged, and no error: another try would not help.
func (r *Releases) Push(ctx context.Context, url, directory string, logger *slog.Logger) error {
	if r.Upload.Cache.Upload == "" || r.Upload.Directory.Upload == "" {
		return nil
	}
	client, err := NewClient(r.Upload)
	if err != nil {
		logger.Warn(fmt.Sprintf("Not uploaded to the network cache: %v", err))
		return nil
	}
	packed, err := os.CreateTemp(r.TemporaryDirectory, "slapos-upload-*")
	if err != nil {
		return err
	}
	defer packed.Close()
	if err := os.Remove(packed.Name()); err != nil { // it is needed open only
		return err
	}
	hash := sha512.New()
	if err := archive.Pack(ctx, io.MultiWriter(packed, hash), directory, completed...); err != nil {
		return err
	}
	size, err := packed.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return err
	}
	logger.Info(fmt.Sprintf("Uploading %s binary into network cache.", url))
	sum := hex.EncodeToString(hash.Sum(nil))
	if err := client.store(ctx, sum, size, packed); err != nil {
		return err
	}
	here := r.platform(ctx)
	return client.Index(ctx, ReleaseKey(url), sum, []Field{
		{"software_url", url},
		{"software_root", r.SoftwareRoot},
		{"multiarch", here.Multiarch},
		{"os", here.OS},
	})
}

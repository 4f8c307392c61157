// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Blobs are contents, each under its SHA-512 in lower-case hexadecimal digits.
// Several goroutines can use them and, if the storage below allows it, several
// servers. If a content is missing, or its name isn't a sum, the error is
// fs.ErrNotExist.
type Blobs interface {
	// Open opens a content to read, and records the use, to the day or better.
	Open(ctx context.Context, sum string) (content io.ReadSeekCloser, err error)
	// Peek opens a content to read it once, and records no use.
	Peek(ctx context.Context, sum string) (content io.ReadCloser, err error)
	// Store reads a content to its end, keeps it, whole or not at all, and
	// returns its sum. That must be the expected one, if any: otherwise nothing
	// is kept and the error is ErrChecksum. Storing a content that exists
	// counts as a use.
	Store(ctx context.Context, content io.Reader, expected string) (sum string, err error)
	// Scratch is a directory for files that are to be adopted.
	Scratch() string
	// Adopt keeps a file in Scratch as the content with a sum, which the caller
	// has verified, and removes what is left there.
	Adopt(ctx context.Context, file *os.File, sum string) error
	// Has reports whether a content exists.
	Has(ctx context.Context, sum string) (bool, error)
	// List returns all contents, in no order, and removes what uploads and
	// fetches left that were given up a day ago.
	List(ctx context.Context) ([]Blob, error)
	// Remove removes a content. It is no error if that doesn't exist.
	Remove(ctx context.Context, sum string) error
}

// A Blob describes a content.
type Blob struct {
	Sum    string
	Size   int64
	Used   time.Time // last use, to the day or better
	Stored time.Time // zero if the storage doesn't tell
}

// ErrChecksum means that a content isn't the expected one.
var ErrChecksum error = &Refusal{http.StatusBadRequest, "Checksum mismatch"}

// OpenBlobs opens a directory, which must exist, or the bucket at an address
// s3://…, whose uploads wait for their sums in the directory scratch; see
// [Bucket].
func OpenBlobs(ctx context.Context, place, scratch string, login Login) (Blobs, error) {
	if !strings.HasPrefix(place, "s3://") {
		return &Directory{Path: place}, nil
	}
	return openBucket(ctx, place, scratch, login)
}

// Temporary files: what is being uploaded, and contents that another cache has
// begun to send, see [PartialName].
const (
	temporaryPrefix = ".upload-"
	partialPrefix   = ".partial-"
)

// PartialName is the name in [Blobs.Scratch] of the beginning of a content, which
// may be continued.
func PartialName(sum string) string { return partialPrefix + sum }

func isTemporary(name string) bool {
	return strings.HasPrefix(name, temporaryPrefix) || strings.HasPrefix(name, partialPrefix)
}

// usedEvery is how exact the time of use is: not every download writes it.
const usedEvery = 24 * time.Hour

var sumPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{128}$`) })

// IsSum reports whether a name can be that of a content.
func IsSum(name string) bool { return sumPattern().MatchString(name) }

// store implements [Blobs.Store] over the other methods.
func store(ctx context.Context, b Blobs, content io.Reader, expected string) (sum string, err error) {
	file, sum, err := spool(b.Scratch(), content, expected)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if err := b.Adopt(ctx, file, sum); err != nil {
		return "", err
	}
	return sum, nil
}

// spool writes a content to a temporary file in a directory and checks its sum.
// The caller closes and removes the file.
func spool(directory string, content io.Reader, expected string) (file *os.File, sum string, err error) {
	file, err = os.CreateTemp(directory, temporaryPrefix+"*")
	if err != nil {
		return nil, "", err
	}
	hash := sha512.New()
	_, err = io.Copy(io.MultiWriter(file, hash), content)
	sum = hex.EncodeToString(hash.Sum(nil))
	if err == nil && expected != "" && sum != expected {
		err = ErrChecksum
	}
	if err != nil {
		file.Close()
		os.Remove(file.Name())
		return nil, "", fmt.Errorf("store a content: %w", err)
	}
	return file, sum, nil
}

// removeAbandoned removes the temporary file of an upload that was given up a
// day ago. If that fails, the next call tries again.
func removeAbandoned(path string, written time.Time) {
	if time.Since(written) > usedEvery {
		os.Remove(path)
	}
}

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
// They can be used by several goroutines and, if what is below can, by several
// servers. What isn't there, or is no sum, is an error that is fs.ErrNotExist.
type Blobs interface {
	// Open opens a content to read. It counts as used now, to the day.
	Open(ctx context.Context, sum string) (content io.ReadSeekCloser, err error)
	// Store reads a content to its end and keeps it, whole or not at all, and
	// returns its sum. That must be the expected one, unless none is given: else
	// nothing is kept and the error is ErrChecksum. A content that is there
	// counts as used.
	Store(ctx context.Context, content io.Reader, expected string) (sum string, err error)
	// Has tells whether a content is there.
	Has(ctx context.Context, sum string) (bool, error)
	// List tells of all contents, in no order, and removes what uploads left
	// that were given up a day ago.
	List(ctx context.Context) ([]Blob, error)
	// Remove forgets a content. One that isn't there is no error.
	Remove(ctx context.Context, sum string) error
}

// A Blob is what is known of a content.
type Blob struct {
	Sum  string
	Size int64
	Used time.Time // the last time, to the day
}

// ErrChecksum means that a content is another one than it should be.
var ErrChecksum error = &Refusal{http.StatusBadRequest, "Checksum mismatch"}

// OpenBlobs opens a directory, which must exist, or the bucket of an address
// s3://…, which waits for sums in the directory scratch; see [Bucket].
func OpenBlobs(ctx context.Context, place, scratch string, login Login) (Blobs, error) {
	if !strings.HasPrefix(place, "s3://") {
		return &Directory{Path: place}, nil
	}
	return openBucket(ctx, place, scratch, login)
}

const temporaryPrefix = ".upload-"

// usedEvery is how exact the time of use is: not each download writes.
const usedEvery = 24 * time.Hour

var sumPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{128}$`) })

func isSum(name string) bool { return sumPattern().MatchString(name) }

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

// removeAbandoned removes the temporary file of an upload, if that was given up
// a day ago. The next time will do, too.
func removeAbandoned(path string, written time.Time) {
	if time.Since(written) > usedEvery {
		os.Remove(path)
	}
}

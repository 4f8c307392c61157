package server

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// blobs are the contents. A file's time is that of its last use, to the day.
type blobs struct {
	directory string
	now       func() time.Time
}

const temporaryPrefix = ".upload-"

// usedEvery is how exact the time of use is: not each download writes to disk.
const usedEvery = 24 * time.Hour

func (b blobs) path(sum string) string { return filepath.Join(b.directory, sum) }

// open returns fs.ErrNotExist for what is not there or no sum.
func (b blobs) open(sum string) (*os.File, fs.FileInfo, error) {
	if !isSum(sum) {
		return nil, nil, fs.ErrNotExist
	}
	file, err := os.OpenFile(b.path(sum), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	if now := b.now(); now.Sub(info.ModTime()) > usedEvery {
		_ = os.Chtimes(b.path(sum), now, now) // on a read-only disk all count as old
	}
	return file, info, nil
}

// store writes a content under its sum, which must be the expected one unless
// that is empty.
func (b blobs) store(content io.Reader, expected string) (sum string, err error) {
	file, err := os.CreateTemp(b.directory, temporaryPrefix+"*")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name()) // unless it has its other name
	defer file.Close()
	hash := sha512.New()
	if _, err := io.Copy(io.MultiWriter(file, hash), content); err != nil {
		return "", err
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	if expected != "" && sum != expected {
		return "", &refusal{http.StatusBadRequest, "Checksum mismatch"}
	}
	if err := file.Chmod(0o644); err != nil {
		return "", err
	}
	if err := file.Sync(); err != nil {
		return "", err
	}
	now := b.now()
	if err := os.Chtimes(file.Name(), now, now); err != nil {
		return "", err
	}
	if err := os.Rename(file.Name(), b.path(sum)); err != nil {
		return "", err
	}
	return sum, syncDirectory(b.directory)
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// A blob is what is known of a content.
type blob struct {
	sum  string
	size int64
	used time.Time
}

// list returns the contents in no order, and removes uploads that were given up
// a day ago.
func (b blobs) list() ([]blob, error) {
	entries, err := os.ReadDir(b.directory)
	if err != nil {
		return nil, err
	}
	var all []blob
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // removed meanwhile, or nothing of ours
		}
		switch {
		case isSum(entry.Name()):
			all = append(all, blob{entry.Name(), info.Size(), info.ModTime()})
		case strings.HasPrefix(entry.Name(), temporaryPrefix) && time.Since(info.ModTime()) > usedEvery:
			_ = os.Remove(b.path(entry.Name())) // the next time, then
		}
	}
	return all, nil
}

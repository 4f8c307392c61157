// SPDX-License-Identifier: GPL-3.0-or-later

// Package wholefile replaces files as a whole or not at all: it writes the new
// content beside the file, syncs it and renames it. It builds on [renameio],
// which by itself writes into the directory for temporary files, where the
// remains of a killed program stay for ever. Here, the next writer recognizes
// such a name beside the file, and a lock distinguishes a file that is being
// written from an abandoned one.
package wholefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Options of [renameio] for callers.
var (
	Mode         = renameio.WithPermissions       // of a new file, minus the umask
	ExactMode    = renameio.WithStaticPermissions // of every file
	KeepMode     = renameio.WithExistingPermissions
	IgnoresUmask = renameio.IgnoreUmask
)

// Write replaces a file. A new one gets the mode, minus the umask; an existing
// one keeps its own.
func Write(path string, content []byte, mode os.FileMode, options ...renameio.Option) error {
	file, err := Create(path, append([]renameio.Option{Mode(mode), KeepMode()}, options...)...)
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// A File is new content of a file that isn't in place yet.
type File struct {
	*renameio.PendingFile
	lock *os.File // the same file, opened again: locked until it has its name
}

// Create begins new content of a file: CloseAtomicallyReplace puts it in place;
// Cleanup drops it, and does nothing after a replacement. Without options it
// has mode 0600.
func Create(path string, options ...renameio.Option) (*File, error) {
	directory := filepath.Dir(path)
	removeAbandoned(directory, "."+filepath.Base(path))
	options = append(options, renameio.WithTempDir(directory))
	for {
		pending, err := renameio.NewPendingFile(path, options...)
		if err != nil {
			return nil, err
		}
		descriptor, err := unix.FcntlInt(pending.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			_ = pending.Cleanup()
			return nil, err
		}
		file := &File{pending, os.NewFile(uintptr(descriptor), pending.Name())}
		err = lock(file.lock)
		if errors.Is(err, unix.EWOULDBLOCK) || err == nil && !isAt(file.lock, pending.Name()) {
			_ = file.Cleanup() // another writer took it for abandoned before it was locked
			continue
		}
		return file, nil // without locks, no other writer takes it for abandoned
	}
}

// CloseAtomicallyReplace puts the content in place.
func (f *File) CloseAtomicallyReplace() error {
	defer f.lock.Close()
	if err := f.PendingFile.CloseAtomicallyReplace(); err != nil {
		return err
	}
	// The new name survives a power loss, too, if the file system supports that.
	directory, err := os.Open(filepath.Dir(f.lock.Name()))
	if err != nil {
		return nil // a directory that may be written to, but not read
	}
	defer directory.Close()
	if err := directory.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// Cleanup drops the content if it isn't in place.
func (f *File) Cleanup() error {
	defer f.lock.Close()
	return f.PendingFile.Cleanup()
}

// lock marks the file as being written until it is closed or its process ends.
func lock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func isAt(file *os.File, path string) bool {
	one, err := file.Stat()
	if err != nil {
		return false
	}
	two, err := os.Lstat(path)
	return err == nil && os.SameFile(one, two)
}

// fewestDigits of a temporary name: shorter ones may be a user's.
const fewestDigits = 12

// temporaries has the names that may be temporary files in a directory, by
// directory. Each is listed once per process: the remains of programs killed
// later are left to the next process.
var temporaries sync.Map // to func() []string

func temporariesIn(directory string) []string {
	list, _ := temporaries.LoadOrStore(directory, sync.OnceValue(func() []string {
		entries, _ := os.ReadDir(directory) // an unreadable one counts as empty
		var names []string
		for _, entry := range entries {
			if name := entry.Name(); strings.HasPrefix(name, ".") && digitsAtEnd(name) >= fewestDigits && entry.Type().IsRegular() {
				names = append(names, name)
			}
		}
		return names
	}))
	return list.(func() []string)()
}

func digitsAtEnd(name string) int { return len(name) - len(strings.TrimRight(name, "0123456789")) }

// removeAbandoned removes the remains that killed programs left of a file: a
// dot, its name and a long number, locked by nobody. Failures don't matter.
func removeAbandoned(directory, prefix string) {
	for _, name := range temporariesIn(directory) {
		number, ok := strings.CutPrefix(name, prefix)
		if !ok || digitsAtEnd(number) != len(number) || len(number) < fewestDigits {
			continue
		}
		path := filepath.Join(directory, name)
		file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if lock(file) == nil {
			_ = os.Remove(path)
		}
		_ = file.Close()
	}
}

// IsAt reports whether an open file is still the one that path names.
func IsAt(path string, file *os.File) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

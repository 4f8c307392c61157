// SPDX-License-Identifier: GPL-3.0-or-later

// Package wholefile replaces files whole or not at all: the new content is
// written beside the file, synced and renamed. It is [renameio], which by itself
// writes into the directory for temporary files, where what a killed program left
// stays for ever: the next writer finds a name beside the file again, and a lock
// tells a file that is being written from an abandoned one.
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

// Options of [renameio] that callers use.
var (
	Mode         = renameio.WithPermissions       // of a new file, less the umask
	ExactMode    = renameio.WithStaticPermissions // of every file
	KeepMode     = renameio.WithExistingPermissions
	IgnoresUmask = renameio.IgnoreUmask
)

// Write replaces a file. A new one has that mode, less the umask; one that was
// there keeps its own.
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

// A File is the new content of a file that isn't in its place yet.
type File struct {
	*renameio.PendingFile
	lock *os.File // the same file once more: it is locked until it has its name
}

// Create begins the new content of a file: CloseAtomicallyReplace puts it in its
// place; Cleanup, which does nothing after that, drops it. Without an option it has
// mode 0600.
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
			_ = file.Cleanup() // somebody took it for abandoned before it was locked
			continue
		}
		return file, nil // a file system without locks has none to take it for abandoned
	}
}

// CloseAtomicallyReplace puts the content into its place.
func (f *File) CloseAtomicallyReplace() error {
	defer f.lock.Close()
	if err := f.PendingFile.CloseAtomicallyReplace(); err != nil {
		return err
	}
	// The new name lasts through a loss of power, too, where the file system can.
	directory, err := os.Open(filepath.Dir(f.lock.Name()))
	if err != nil {
		return nil // one that may be written to, not read
	}
	defer directory.Close()
	if err := directory.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// Cleanup drops what is not in its place.
func (f *File) Cleanup() error {
	defer f.lock.Close()
	return f.PendingFile.Cleanup()
}

// lock tells others that somebody writes this file, until it is closed or its
// process ends.
func lock(file *os.File) error { return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func isAt(file *os.File, path string) bool {
	one, err := file.Stat()
	if err != nil {
		return false
	}
	two, err := os.Lstat(path)
	return err == nil && os.SameFile(one, two)
}

// fewestDigits of a temporary name: shorter ones may be somebody's.
const fewestDigits = 12

// temporaries are the names that may be temporary files in a directory, by
// directory. Each is listed once in a process: what a program leaves that is killed
// later is for the next process.
var temporaries sync.Map // to func() []string

func temporariesIn(directory string) []string {
	list, _ := temporaries.LoadOrStore(directory, sync.OnceValue(func() []string {
		entries, _ := os.ReadDir(directory) // one that can't be listed has none
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

// removeAbandoned removes what killed programs left of a file: a dot, its name and
// a long number, locked by nobody. What can't be removed is no obstacle.
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

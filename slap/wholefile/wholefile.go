// SPDX-License-Identifier: GPL-3.0-or-later

// Package wholefile replaces files whole or not at all: the new content is
// written beside the file, synced and renamed. It is [renameio], which by itself
// writes into the directory for temporary files, where what a killed program left
// stays for ever: a name beside the file is found again by the next who writes it.
package wholefile

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
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

// Create begins the new content of a file: CloseAtomicallyReplace puts it in its
// place; Cleanup, which does nothing after that, drops it. Without an option it has
// mode 0600.
func Create(path string, options ...renameio.Option) (*renameio.PendingFile, error) {
	directory := filepath.Dir(path)
	removeAbandoned(directory, "."+filepath.Base(path))
	return renameio.NewPendingFile(path, append(options, renameio.WithTempDir(directory))...)
}

const (
	// abandoned is how long nobody has written what a killed program left.
	abandoned = time.Hour
	// fewestDigits of a temporary name: shorter ones may be somebody's.
	fewestDigits = 12
)

// removeAbandoned removes what killed programs left of a file: a dot, its name and
// a long number. What can't be removed is no obstacle.
func removeAbandoned(directory, prefix string) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return
	}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), prefix)
		if !ok || len(number) < fewestDigits || strings.Trim(number, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(filepath.Join(directory, entry.Name()))
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package authority

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"slapos/slap/wholefile"
)

// Backup writes the keys and certificates of the authority of a directory to a file
// that only its owner can read. All else is made of them.
func Backup(directory, path string) error {
	a := &Authority{directory: directory}
	info, err := os.Lstat(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("authority: %s doesn't exist: start the master once, or name the right directory in authority_directory", directory)
	}
	if err != nil || !info.IsDir() {
		return errors.Join(err, fmt.Errorf("authority: %s is not a directory", directory))
	}
	unlock, err := a.lock()
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	defer unlock()
	pairs, err := a.readPairs()
	if err == nil && len(pairs) == 0 {
		err = fmt.Errorf("%s has no key: start the master once", directory)
	}
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	// Nothing but a former backup is replaced.
	if _, err := readBackup(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("authority: %w: name another file", err)
	}
	return wholefile.Write(path, encodePairs(pairs), 0o600, wholefile.ExactMode(0o600))
}

func readBackup(path string) ([]pair, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maximumFile))
	if err != nil {
		return nil, err
	}
	pairs, err := parsePairs(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no backup of an authority: %w", path, err)
	}
	return pairs, nil
}

// A Restoration is a backup that can be put into its place.
type Restoration struct {
	directory string
	pairs     []pair
	keeps     bool // what is there is the same, or has one more key
}

// OpenBackup reads a backup, and refuses to replace another authority unless it is
// forced. The error matches fs.ErrNotExist if there is no such file.
func OpenBackup(directory, path string, force bool) (*Restoration, error) {
	pairs, err := readBackup(path)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	r := &Restoration{directory: directory, pairs: pairs}
	present, err := (&Authority{directory: directory}).readPairs()
	switch {
	case err != nil && !force:
		return nil, fmt.Errorf("authority: %w", err)
	case err != nil || len(present) == 0:
		return r, nil
	}
	r.keeps = true
	for _, p := range pairs {
		r.keeps = r.keeps && has(present, p)
	}
	if !r.keeps && !force {
		return nil, fmt.Errorf("authority: %s has another authority, whose nodes would have to join again: --force replaces it, and keeps it beside", directory)
	}
	return r, nil
}

func has(pairs []pair, wanted pair) bool {
	for _, p := range pairs {
		if p.certificate.Equal(wanted.certificate) {
			return true
		}
	}
	return false
}

// Place puts the backup into its place; what it replaces is kept as former.
func (r *Restoration) Place(now time.Time) (former string, err error) {
	if r.keeps {
		return "", nil
	}
	a := &Authority{directory: r.directory}
	if err := makeDirectory(r.directory); err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	unlock, err := a.lock()
	if err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	defer unlock()
	place := filepath.Join(r.directory, "authority.pem")
	former = place + "-before-restore-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(place, former); errors.Is(err, fs.ErrNotExist) {
		former = ""
	} else if err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	// The master makes the others of it.
	return former, a.write("authority.pem", encodePairs(r.pairs))
}

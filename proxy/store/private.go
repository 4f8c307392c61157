// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenPrivate opens a file that holds passwords of instances, made when missing,
// for its owner alone. One that everybody may read is taken from them: that is
// what a umask left, and nobody's decision. One of a group alone is, and stays.
func OpenPrivate(path string, flags int) (*os.File, error) {
	return openPrivate(path, flags, func(*os.File) bool { return true })
}

// openPrivate leaves a file as it is that ours says no of.
func openPrivate(path string, flags int, ours func(*os.File) bool) (*os.File, error) {
	file, err := os.OpenFile(path, flags|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if !ours(file) {
		return file, nil
	}
	if err := makePrivate(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// isSQLite reports whether a file is a SQLite database, or empty, so that
// SQLite will make it one. If a name is mistyped, another file stays unchanged.
func isSQLite(file *os.File) bool {
	const magic = "SQLite format 3\x00"
	head := make([]byte, len(magic))
	n, err := file.ReadAt(head, 0)
	return n == 0 && err == io.EOF || string(head[:n]) == magic
}

// makePrivate removes everybody's access. It leaves another user's file, or
// anything but a file, as it is.
func makePrivate(file *os.File) error {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o007 == 0 {
		return err
	}
	if err := file.Chmod(0o600); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// makeBesidesPrivate does it to what former programs left beside a database: its
// log, and backups.
func makeBesidesPrivate(database string) error {
	directory, name := filepath.Split(database)
	if directory == "" {
		directory = "."
	}
	names, err := os.ReadDir(directory)
	if err != nil {
		return nil // a directory that can't be listed: the names are not known
	}
	for _, entry := range names {
		backup, _ := filepath.Match("*-backup-*.sql", entry.Name())
		switch rest := entry.Name(); {
		case len(rest) <= len(name) || rest[:len(name)] != name:
			continue
		case rest[len(name):] != "-wal" && rest[len(name):] != "-shm" && rest[len(name):] != "-journal" && !backup:
			continue
		}
		// Not through links, nor into pipes.
		file, err := os.OpenFile(filepath.Join(directory, entry.Name()), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue // it is somebody else's, or went
		}
		err = makePrivate(file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// logFile is a log that is rotated by size: a full one becomes name.1, name.1
// becomes name.2 and so on.
//
// The directory usually belongs to a partition's user while this process is
// root. There it writes only to a regular file that belongs to that user and
// has a single name: it refuses a link or a FIFO planted under the log's name.
// A new log belongs to that user, too (GRID-100): the user could give another
// name to a root-owned file with a service's text, and have it taken for one
// that the agent wrote.
type logFile struct {
	path     string
	maxBytes int64 // 0: never rotated
	backups  int
	fd       int
	size     int64
	regular  bool
	linked   bool // reached by a link that only we can have made: its target isn't ours to rotate
}

// maximumBackups bounds the files that a rotation renames.
const maximumBackups = 10_000

func openLog(path string, maxBytes int64, backups int) (*logFile, error) {
	l := &logFile{path: path, maxBytes: maxBytes, backups: min(backups, maximumBackups), fd: -1}
	return l, l.reopen()
}

// reopen opens the file at the log's path; on error the current one stays open.
func (l *logFile) reopen() error {
	directory, stat, err := openDirectory(l.path)
	if err != nil {
		return err
	}
	defer closeAll(directory)
	trusted := isTrusted(stat)
	var fd int
	if trusted {
		fd, err = unix.Openat(directory, filepath.Base(l.path), writing|unix.O_CREAT, 0o644)
	} else {
		fd, err = l.openForeign(directory, stat)
	}
	if err != nil {
		return &os.PathError{Op: "open log", Path: l.path, Err: err}
	}
	var file unix.Stat_t
	if err = unix.Fstat(fd, &file); err == nil && !trusted {
		err = checkFile(l.path, stat, &file)
	}
	if err != nil {
		closeAll(fd)
		return err
	}
	var name unix.Stat_t
	_ = unix.Fstatat(directory, filepath.Base(l.path), &name, unix.AT_SYMLINK_NOFOLLOW)
	l.close()
	l.fd, l.size = fd, file.Size
	l.regular, l.linked = file.Mode&unix.S_IFMT == unix.S_IFREG, name.Mode&unix.S_IFMT == unix.S_IFLNK
	return nil
}

const writing = unix.O_WRONLY | unix.O_APPEND | unix.O_NONBLOCK | unix.O_CLOEXEC

// openForeign opens or creates the log in somebody else's directory. A file of
// ours that is already there, as Python's supervisor makes it, becomes the
// first backup: it may be any file of ours that was renamed.
func (l *logFile) openForeign(directory int, owner *unix.Stat_t) (fd int, err error) {
	name := filepath.Base(l.path)
	foreign := int(owner.Uid) != os.Geteuid()
	for range 10 {
		fd, err = unix.Openat(directory, name, writing|unix.O_NOFOLLOW, 0)
		if err == nil {
			var file unix.Stat_t
			if err = unix.Fstat(fd, &file); err != nil || !foreign || int(file.Uid) != os.Geteuid() {
				return fd, err
			}
			closeAll(fd)
			if l.backups > 0 {
				err = l.shift()
			} else {
				err = unix.Unlinkat(directory, name, 0)
			}
			if err != nil && err != unix.ENOENT {
				return -1, err
			}
		} else if err != unix.ENOENT {
			return -1, err
		}
		fd, err = unix.Openat(directory, name, writing|unix.O_NOFOLLOW|unix.O_CREAT|unix.O_EXCL, 0o644)
		if err == nil && foreign && os.Geteuid() == 0 {
			if err = unix.Fchown(fd, int(owner.Uid), int(owner.Gid)); err != nil {
				closeAll(fd)
				return -1, err
			}
		}
		if err != unix.EEXIST {
			return fd, err
		}
	}
	return -1, err // somebody keeps replacing it
}

// openDirectory opens the directory of a file to work inside it.
func openDirectory(path string) (fd int, stat *unix.Stat_t, err error) {
	directory := filepath.Dir(path)
	fd, err = unix.Open(directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, &os.PathError{Op: "open directory", Path: directory, Err: err}
	}
	stat = new(unix.Stat_t)
	if err := unix.Fstat(fd, stat); err != nil {
		closeAll(fd)
		return -1, nil, &os.PathError{Op: "stat", Path: directory, Err: err}
	}
	return fd, stat, nil
}

// isTrusted reports whether only we and root can put files into a directory.
// /dev is trusted for every user.
func isTrusted(directory *unix.Stat_t) bool {
	return (int(directory.Uid) == os.Geteuid() || directory.Uid == 0) && directory.Mode&0o022 == 0
}

// checkFile refuses a file in somebody else's directory that may be a trap.
func checkFile(path string, directory, file *unix.Stat_t) error {
	switch {
	case file.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file", path)
	case file.Nlink != 1:
		return fmt.Errorf("%s has %d names, a log has one", path, file.Nlink)
	case int(file.Uid) != os.Geteuid() && file.Uid != directory.Uid:
		return fmt.Errorf("%s belongs to user %d", path, file.Uid)
	}
	return nil
}

// openForReading opens a log to show its content, with the same care.
func openForReading(path string) (*os.File, error) {
	directory, stat, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	defer closeAll(directory)
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if !isTrusted(stat) {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(directory, filepath.Base(path), flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open log", Path: path, Err: err}
	}
	var file unix.Stat_t
	if err = unix.Fstat(fd, &file); err == nil && (file.Mode&unix.S_IFMT != unix.S_IFREG || !isTrusted(stat)) {
		err = checkFile(path, stat, &file)
	}
	if err != nil {
		closeAll(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Write appends data and rotates the log once it is full. Data that can't be
// written, on a full disk for example, is lost.
func (l *logFile) Write(data []byte) (int, error) {
	done := 0
	for done < len(data) {
		n, err := unix.Write(l.fd, data[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, &os.PathError{Op: "write log", Path: l.path, Err: err}
		}
		done += n
		l.size += int64(n)
	}
	if l.regular && !l.linked && l.maxBytes > 0 && l.size >= l.maxBytes {
		l.rotate()
	}
	return done, nil
}

// rotate starts a new file. If the directory's owner prevents that, it empties
// the current one: a log never grows without bound.
func (l *logFile) rotate() {
	if l.backups > 0 && l.shift() == nil && l.reopen() == nil {
		return
	}
	if unix.Ftruncate(l.fd, 0) == nil {
		l.size = 0
	}
}

// shift renames the log and the older ones.
func (l *logFile) shift() error {
	directory, _, err := openDirectory(l.path)
	if err != nil {
		return err
	}
	defer closeAll(directory)
	name := filepath.Base(l.path)
	numbered := func(i int) string { return name + "." + strconv.Itoa(i) }
	for i := l.backups - 1; i > 0; i-- {
		_ = unix.Renameat(directory, numbered(i), directory, numbered(i+1))
	}
	return unix.Renameat(directory, name, directory, numbered(1))
}

// clear empties the log. It keeps the file, which may be reached by a link, but
// first reopens one that was removed or replaced. It refuses anything that is
// not a regular file, or that leads to an open file of this process, as
// /dev/stdout does.
func (l *logFile) clear() error {
	directory, stat, err := openDirectory(l.path)
	if err != nil {
		return err
	}
	defer closeAll(directory)
	follow := unix.AT_SYMLINK_NOFOLLOW
	if isTrusted(stat) {
		follow = 0
	}
	var named, open unix.Stat_t
	err = unix.Fstatat(directory, filepath.Base(l.path), &named, follow)
	switch {
	case err == nil && named.Mode&unix.S_IFMT != unix.S_IFREG, err == nil && leadsToStream(l.path):
		return fmt.Errorf("clear %s: it is not a regular file", l.path)
	case err != nil && err != unix.ENOENT:
		return &os.PathError{Op: "clear log", Path: l.path, Err: err}
	}
	if err != nil || unix.Fstat(l.fd, &open) != nil || open.Dev != named.Dev || open.Ino != named.Ino {
		if err := l.reopen(); err != nil {
			return err
		}
	}
	if !l.regular {
		return fmt.Errorf("clear %s: it is not a regular file", l.path)
	}
	if err := unix.Ftruncate(l.fd, 0); err != nil {
		return &os.PathError{Op: "clear log", Path: l.path, Err: err}
	}
	l.size = 0
	return nil
}

// leadsToStream reports whether a path leads to a descriptor in /proc, itself
// or through links.
func leadsToStream(path string) bool {
	for range 40 { // as many links as the kernel follows
		var system unix.Statfs_t
		if unix.Statfs(filepath.Dir(path), &system) == nil && system.Type == unix.PROC_SUPER_MAGIC {
			return true
		}
		target, err := os.Readlink(path)
		if err != nil {
			return false
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return false
}

func (l *logFile) close() {
	if l.fd >= 0 {
		closeAll(l.fd)
	}
	l.fd = -1
}

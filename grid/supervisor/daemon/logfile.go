// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// logFile is a log that is rotated by its size: full, it becomes name.1, name.1
// becomes name.2 and so on.
//
// The directory usually belongs to the user of a partition while this process
// is root. There, only a regular file with a single name and of that user is
// written to: a link or a FIFO planted under the log's name is refused. A new log is
// that user's, too (GRID-100): a file of root's with a service's text could be given
// another name, and be taken for one that the agent wrote.
type logFile struct {
	path     string
	maxBytes int64 // 0: never rotated
	backups  int
	fd       int
	size     int64
	regular  bool
	linked   bool // by a link that only we can have made: what it leads to isn't ours to rotate
}

// maximumBackups bounds what a rotation renames.
const maximumBackups = 10_000

func openLog(path string, maxBytes int64, backups int) (*logFile, error) {
	l := &logFile{path: path, maxBytes: maxBytes, backups: min(backups, maximumBackups), fd: -1}
	return l, l.reopen()
}

// reopen opens the file of the log's name; on error the present one stays open.
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

// openForeign opens the log in a directory of somebody else, or makes it. One of ours
// that is there, as Python's supervisor makes it, becomes the first backup: it may be
// any file of ours that had another name before.
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
	return -1, err // somebody exchanges it all the time
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

// isTrusted tells whether nobody but us, and root, can put files into a directory:
// /dev is one, for every user.
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

// Write appends data and rotates the log if it has become full. What can't be
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

// rotate begins a new file. Where the directory's owner prevents that, the
// present one is emptied: a log never grows without bound.
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

// clear empties the log. It keeps the file, whose name may be that of a link; one
// that was removed or replaced is opened anew first. What is no file, or leads to
// an open file of this process as /dev/stdout does, isn't ours to empty.
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

// leadsToStream tells whether a name stands for a descriptor in /proc, by itself
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

// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"slapos/promise/process"
	"slapos/slap/rooted"
)

const (
	stateFolder  = ".slapgrid/promise"
	resultFolder = stateFolder + "/result"
	cacheFolder  = stateFolder + "/cache"
	logFolder    = stateFolder + "/log"

	// maxState bounds what is read of a state file; a result has at most 5003
	// characters of message.
	maxState = 256 << 10
	// maxNames bounds how many names of a directory are looked at.
	maxNames = 10000
)

// files is the partition's directory as its user sees it. When the agent is
// root, all that happens there happens with the user's rights, by a thread that
// has taken them for file access only: a link or a mode that would not let the
// user in does not let us in, and new files are the user's own.
type files struct {
	root  *rooted.Root
	tasks chan func()
	// folders are those of the state, opened once: a path through many folders
	// costs a call to the kernel for each.
	folders map[string]*rooted.Root
}

func openFiles(directory string, user *process.User) (*files, error) {
	f := &files{tasks: make(chan func()), folders: map[string]*rooted.Root{}}
	ready := make(chan error)
	// Files are touched by this goroutine alone, whose thread has the user's
	// rights; it ends when tasks is closed.
	go func() {
		err := becomeForFiles(user)
		ready <- err
		if err == nil {
			for task := range f.tasks {
				task()
			}
		}
		// The thread ends with the goroutine, which has locked it.
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	err := f.do(func() (err error) {
		f.root, err = rooted.Open(directory)
		return err
	})
	if err != nil {
		close(f.tasks)
		return nil, err
	}
	return f, nil
}

func (f *files) close() {
	close(f.tasks)
	for _, folder := range f.folders {
		folder.Close()
	}
	f.root.Close()
}

// in finds the folder that a name is best looked up in, and the rest of the name.
func (f *files) in(name string) (*rooted.Root, string) {
	folder, base := path.Split(name)
	if root := f.folders[strings.TrimSuffix(folder, "/")]; root != nil {
		return root, base
	}
	return f.root, name
}

// do calls task with the user's rights. It may be called from any goroutine,
// not from a task.
func (f *files) do(task func() error) error {
	done := make(chan error)
	f.tasks <- func() { done <- task() }
	return <-done
}

// becomeForFiles gives the calling thread the file access of a user, and keeps
// the goroutine on it.
func becomeForFiles(user *process.User) error {
	runtime.LockOSThread()
	if os.Geteuid() != 0 {
		return nil
	}
	groups := []uint32{uint32(user.GID)}
	for _, group := range user.Groups {
		groups = append(groups, uint32(group))
	}
	// The calls of package syscall would change all threads.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	if errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	_, _ = unix.SetfsgidRetGid(user.GID)
	_, _ = unix.SetfsuidRetUid(user.UID)
	gid, _ := unix.SetfsgidRetGid(-1) // tells the present one
	uid, _ := unix.SetfsuidRetUid(-1)
	if uid != user.UID || gid != user.GID {
		return fmt.Errorf("can't take the file access of user %s (%d)", user.Name, user.UID)
	}
	return nil
}

// The following are for use within do.

// makeFolders makes the state folders (PROM-21).
func (f *files) makeFolders() error {
	folders := []struct {
		name string
		mode fs.FileMode
	}{{".slapgrid", 0o777}, {stateFolder, 0o777}, {resultFolder, 0o700}, {cacheFolder, 0o700}, {logFolder, 0o700}}
	for _, folder := range folders {
		if err := f.root.Mkdir(folder.name, folder.mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, folder := range []string{resultFolder, cacheFolder, logFolder} {
		absolute := filepath.Join(f.root.Name(), folder)
		if err := unix.Faccessat(unix.AT_FDCWD, absolute, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return &fs.PathError{Op: "write in", Path: absolute, Err: err}
		}
		root, err := f.root.OpenRoot(folder)
		if err != nil {
			return err
		}
		if before := f.folders[folder]; before != nil {
			before.Close()
		}
		f.folders[folder] = root
	}
	return nil
}

// read returns the content of a regular file of at most limit bytes.
func (f *files) read(name string, limit int64) ([]byte, error) {
	file, err := f.openRegular(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", file.Name(), limit)
	}
	return content, err
}

// openRegular opens a file and nothing else: a pipe there does not block us.
func (f *files) openRegular(name string, flags int) (*os.File, error) {
	root, base := f.in(name)
	file, err := root.OpenFile(base, flags|syscall.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", file.Name())
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// replace writes a file whole or not at all. It is not synced: what it holds is
// made anew by the next run.
func (f *files) replace(name string, content []byte) error {
	root, base := f.in(name)
	temporary := base + ".tmp" // PROM-25
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := root.OpenFile(temporary, flags, 0o666)
	if errors.Is(err, fs.ErrExist) { // somebody else's, or of an end before time
		if err := root.Remove(temporary); err != nil {
			return err
		}
		file, err = root.OpenFile(temporary, flags, 0o666)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return root.Rename(temporary, base)
}

// names lists a directory in its own order (PROM-20); one that is missing is
// empty.
func (f *files) names(folder string) ([]string, error) {
	directory, err := f.root.OpenFile(folder, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(maxNames)
	if len(names) == maxNames {
		return nil, fmt.Errorf("%s has %d entries or more", folder, maxNames)
	}
	if err == io.EOF {
		err = nil
	}
	return names, err
}

// giveFolders makes the user the owner of state folders that an agent made as
// root (PROM-21). It needs root's rights, so it is not for use within do: each
// folder is opened without following a link, and only root's are given away.
func giveFolders(directory string, user *process.User) error {
	root, err := rooted.Open(directory)
	if err != nil {
		return err
	}
	defer root.Close()
	at, err := root.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer at.Close()
	for _, path := range [][]string{{".slapgrid", "promise", "result"}, {".slapgrid", "promise", "cache"}, {".slapgrid", "promise", "log"}} {
		if err := givePath(int(at.Fd()), path, user); err != nil {
			return err
		}
	}
	return nil
}

func givePath(at int, path []string, user *process.User) error {
	fd, err := unix.Openat(at, path[0], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return &fs.PathError{Op: "open", Path: path[0], Err: err}
	}
	defer unix.Close(fd)
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		return err
	}
	if status.Uid == 0 {
		if err := unix.Fchown(fd, user.UID, user.GID); err != nil {
			return &fs.PathError{Op: "chown", Path: path[0], Err: err}
		}
	}
	if len(path) == 1 {
		return nil
	}
	return givePath(fd, path[1:], user)
}

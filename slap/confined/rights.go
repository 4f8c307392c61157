// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights are the file access of a user if the agent is root, else the agent's
// own. A link or a mode that would keep the user out also keeps out what uses
// them, and new files belong to the user.
type Rights struct {
	tasks chan func()
}

// TakeRights starts a thread with the file access of a user in these groups.
// Close it after use.
func TakeRights(uid, gid int, groups []int) (*Rights, error) {
	r := &Rights{tasks: make(chan func())}
	ready := make(chan error)
	go func() { // owns only its thread: tasks belong to their callers, who wait
		err := becomeForFiles(uid, gid, groups)
		ready <- err
		if err == nil {
			for task := range r.tasks {
				task()
			}
		}
		// The thread ends with the goroutine that locked it.
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the thread.
func (r *Rights) Close() { close(r.tasks) }

// Do calls task with the rights. Any goroutine may call it, but not a task.
func (r *Rights) Do(task func() error) error {
	done := make(chan error)
	r.tasks <- func() { done <- task() }
	return <-done
}

// Open opens a directory with the rights. Use it only within Do.
func (r *Rights) Open(directory string) (opened *Directory, err error) {
	err = r.Do(func() error {
		root, err := OpenRoot(directory)
		if err == nil {
			opened, err = newDirectory(root, false)
		}
		return err
	})
	return opened, err
}

// OpenSame is [Rights.Open] for an open directory, which must still be in its place.
func (r *Rights) OpenSame(directory *Directory) (opened *Directory, err error) {
	wanted, err := directory.identity()
	if err != nil {
		return nil, err
	}
	err = r.Do(func() (err error) {
		opened, err = openIdentical(directory.Name(), wanted, false)
		return err
	})
	return opened, err
}

// becomeForFiles gives the calling thread the file access of a user, and locks
// the goroutine to it.
func becomeForFiles(uid, gid int, groups []int) error {
	runtime.LockOSThread()
	if os.Geteuid() != 0 {
		return nil
	}
	all := []uint32{uint32(gid)}
	for _, group := range groups {
		all = append(all, uint32(group))
	}
	// The calls of package syscall would change all threads.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(all)), uintptr(unsafe.Pointer(&all[0])), 0)
	if errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	_, _ = unix.SetfsgidRetGid(gid)
	_, _ = unix.SetfsuidRetUid(uid)
	gotGID, _ := unix.SetfsgidRetGid(-1) // returns the current one
	gotUID, _ := unix.SetfsuidRetUid(-1)
	if gotUID != uid || gotGID != gid {
		return fmt.Errorf("can't take the file access of user %d", uid)
	}
	return nil
}

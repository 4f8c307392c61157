// SPDX-License-Identifier: GPL-3.0-or-later

package child

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notStarted is the exit status of what couldn't become the program.
const notStarted = 127

// The program becomes another one before the packages that need time are initialised:
// this one imports nothing that isn't. Until then it is the parent's user, whom the
// other user can't disturb.
func init() {
	if len(os.Args) > 4 && os.Args[0] == name {
		become(parse(os.Args[1:]))
	}
}

// parse is the reverse of [Start.Command].
func parse(args []string) Start {
	s := Start{Directory: args[1], Path: args[2], Args: args[3:]}
	for option := range strings.SplitSeq(args[0], ",") {
		key, text, _ := strings.Cut(option, "=")
		value, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			fail(s, "couldn't read its order", unix.EINVAL)
		}
		if s.User == nil && (key == "uid" || key == "gid" || key == "group") {
			s.User = &syscall.Credential{}
		}
		switch key {
		case "umask":
			s.Umask = int(value)
		case "entered":
			s.Entered = int(value)
		case "status":
			s.Status = int(value)
		case "uid":
			s.User.Uid = uint32(value)
		case "gid":
			s.User.Gid = uint32(value)
		case "group":
			s.User.Groups = append(s.User.Groups, uint32(value))
		}
	}
	for _, variable := range syscall.Environ() {
		s.Env = append(s.Env, strings.TrimPrefix(variable, mark))
	}
	return s
}

// become doesn't return.
func become(s Start) {
	for _, fd := range []int{s.Entered, s.Status} {
		if fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	if s.User != nil {
		if errno := change(s.User); errno != 0 {
			fail(s, fmt.Sprintf("couldn't setuid to %d", s.User.Uid), errno)
		}
	}
	if s.Umask >= 0 {
		syscall.Umask(s.Umask)
	}
	switch {
	case s.Directory != "":
		if err := syscall.Chdir(s.Directory); err != nil {
			fail(s, "couldn't chdir to "+s.Directory, err)
		}
	case s.Entered != 0:
		if err := syscall.Fchdir(s.Entered); err != nil {
			fail(s, "couldn't chdir", err)
		}
	}
	fail(s, "couldn't exec "+s.Args[0], syscall.Exec(s.Path, s.Args, s.Env))
}

// change makes this thread the user's; no other is left when it becomes the program.
// The functions of package syscall would change all of them, of which the user might
// have no room for.
func change(user *syscall.Credential) syscall.Errno {
	groups := unsafe.Pointer(unsafe.SliceData(user.Groups))
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(user.Groups)), uintptr(groups), 0); errno != 0 {
		return errno
	}
	gid, uid := uintptr(user.Gid), uintptr(user.Uid)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid)
	return errno
}

// fail tells why there is no program, and ends.
func fail(s Start, what string, err error) {
	errno, _ := err.(syscall.Errno)
	if s.Status != 0 {
		_, _ = syscall.Write(s.Status, strconv.AppendInt(nil, int64(errno), 10))
	} else {
		_, _ = syscall.Write(2, []byte("supervisor: "+what+": "+unix.ErrnoName(errno)+"\nsupervisor: child process was not spawned\n"))
	}
	os.Exit(notStarted)
}

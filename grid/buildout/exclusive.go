// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/child"
	"slapos/slap/clock"
)

// marker is a variable in the environment of every process of a build; its
// value is the directory. It finds the processes of an interrupted build,
// whoever their parent is by then.
const marker = "SLAPGRID_BUILD_DIRECTORY"

const (
	lockPoll   = 250 * time.Millisecond
	orphanWait = 10 * time.Second
	changeWait = time.Second
)

// lockPatience bounds the wait for another agent if runs have no timeout.
var lockPatience = time.Hour

// Begin makes sure that nothing else builds in the directory until end is
// called. It waits for another agent, up to the timeout of a run, and kills
// what a killed agent left running.
//
// The lock is a file in the agent's own directory: the owner of the build's
// directory could lock that as well, and hold the lock as root by running su.
// The lock dies with the agent; children don't inherit it.
func (b *Builder) Begin(ctx context.Context) (end func(), err error) {
	end = func() {}
	if b.Locks != "" {
		if end, err = b.lock(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.endOrphans(ctx); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// Since tells when the build that goes on in a directory began, false if none does.
// Locks is the agent's own directory, see [Builder].
func Since(locks, directory string) (time.Time, bool) {
	file, err := os.OpenFile(lockPath(locks, directory), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return time.Time{}, false
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return time.Time{}, false // a killed agent left it
	}
	info, err := file.Stat()
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true // its holder has written to it
}

func lockPath(locks, directory string) string {
	return filepath.Join(locks, filepath.Base(directory)+".lock")
}

func (b *Builder) lock(ctx context.Context) (unlock func(), err error) {
	patience := b.Timeout
	if patience <= 0 {
		patience = lockPatience
	}
	path := lockPath(b.Locks, b.Directory)
	logged, begun := false, time.Now()
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", b.Directory, err)
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) { // it is locked, or the file system has no locks
			if !isAt(file, path) {
				file.Close() // its holder has just removed it
				continue
			}
			_, _ = file.WriteAt([]byte(fmt.Sprintf("%-20d\n", os.Getpid())), 0) // only for messages
			return func() { _ = os.Remove(path); file.Close() }, nil
		}
		holder := make([]byte, 20)
		_, _ = file.ReadAt(holder, 0)
		file.Close()
		who := strings.TrimSpace(strings.Trim(string(holder), "\x00"))
		if !logged {
			b.Logger.Info(fmt.Sprintf("Waiting for process %s, which builds in %s", who, b.Directory))
			logged = true
		}
		if time.Since(begun) >= patience {
			return nil, fmt.Errorf("process %s still builds in %s after %s: wait until it has ended, or end it", who, b.Directory, patience)
		}
		if err := clock.Pause(ctx, min(lockPoll, patience)); err != nil {
			return nil, fmt.Errorf("wait for the build in %s: %w", b.Directory, err)
		}
	}
}

// isAt reports whether a path still names the open file.
func isAt(file *os.File, path string) bool {
	open, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named)
}

// endOrphans kills the processes of an interrupted build, and waits until they are
// gone.
func (b *Builder) endOrphans(ctx context.Context) error {
	uid := uint32(b.Root.UID)
	ended := map[int]bool{}
	begun := time.Now()
	for {
		orphans, unclear := killMarked(b.Directory, uid)
		if len(orphans) == 0 && (!unclear || time.Since(begun) > changeWait) {
			break
		}
		for _, pid := range orphans {
			ended[pid] = true
		}
		if len(orphans) > 0 && time.Since(begun) > orphanWait {
			return fmt.Errorf("process %d of an interrupted build in %s can't be killed: reboot, or wait for the device it uses", orphans[0], b.Directory)
		}
		if err := clock.Pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		b.Logger.Info(fmt.Sprintf("Ended %d processes that an interrupted build left in %s", len(ended), b.Directory))
	}
	return nil
}

// killMarked kills uid's processes that have the marker of directory, and
// returns those that were alive. What is unclear may be such a process in a moment, or
// have been one a moment ago.
func killMarked(directory string, uid uint32) (killed []int, unclear bool) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, false
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		switch look(pid, directory, uid) {
		case marked:
			if killMarkedOne(pid, directory, uid) {
				killed = append(killed, pid)
			} else {
				unclear = true // it changed meanwhile
			}
		case changing:
			unclear = true
		}
	}
	return killed, unclear
}

func killMarkedOne(pid int, directory string, uid uint32) bool {
	process, err := os.FindProcess(pid) // holds the process, not the number
	if err != nil {
		return false
	}
	defer process.Release()
	return look(pid, directory, uid) == marked && process.Kill() == nil
}

// sight is what a process shows of itself.
type sight int

const (
	other sight = iota
	marked
	changing // it becomes another program, or ends: it has no environment
)

func look(pid int, directory string, uid uint32) sight {
	path := "/proc/" + strconv.Itoa(pid)
	info, err := os.Stat(path)
	if err != nil {
		return other
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != uid && owner != uint32(os.Geteuid()) {
		return other
	}
	environment, err := os.ReadFile(path + "/environ")
	if err != nil {
		return other
	}
	if len(environment) == 0 && isChanging(path) {
		return changing
	}
	variables, begins := child.Variables(environment)
	if owner != uid && !begins {
		return other
	}
	wanted := []byte(marker + "=" + directory)
	if slices.ContainsFunc(variables, func(variable []byte) bool { return bytes.Equal(variable, wanted) }) {
		return marked
	}
	return other
}

// isChanging tells a process without memory of its own, or with memory that is being
// filled, from one of the kernel, and from a zombie, whose files are closed.
func isChanging(path string) bool {
	const flags, threads, environmentEnd, kernelThread = 6, 17, 48, 0x200000 // places after the name, see proc_pid_stat(5)
	stat, err := os.ReadFile(path + "/stat")
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if err != nil || len(fields) <= environmentEnd {
		return false
	}
	bits, _ := strconv.ParseUint(fields[flags], 10, 64)
	dead := (fields[0] == "Z" || fields[0] == "X") && fields[threads] == "1"
	return fields[environmentEnd] == "0" && bits&kernelThread == 0 && !dead
}

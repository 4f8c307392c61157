// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/clock"
)

// marker is a variable in the environment of every process of a build: the
// directory. It is how those of an interrupted build are found again, whoever
// their parent is by then.
const marker = "SLAPGRID_BUILD_DIRECTORY"

const (
	lockPoll   = 250 * time.Millisecond
	orphanWait = 10 * time.Second
)

// Begin makes sure that nothing else builds in the directory, and keeps it so
// until end is called. It waits for another agent, and ends what an agent that
// was killed has left running.
//
// The lock is one of the directory itself, which adds no file to a release. It
// dies with the agent, children don't inherit it. Builds run as another user,
// who can lock the directory as well: such a lock is not respected.
func (b *Builder) Begin(ctx context.Context) (end func(), err error) {
	directory, err := os.Open(b.Directory)
	if err != nil {
		return nil, err
	}
	if err := b.lock(ctx, directory); err != nil {
		directory.Close()
		return nil, fmt.Errorf("wait for the build in %s: %w", b.Directory, err)
	}
	if err := b.endOrphans(ctx); err != nil {
		directory.Close()
		return nil, err
	}
	return func() { directory.Close() }, nil
}

func (b *Builder) lock(ctx context.Context, directory *os.File) error {
	told, strangers := false, 0
	for {
		err := unix.Flock(int(directory.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil // locked, or a file system without locks
		}
		holder, isAgent := lockHolder(directory)
		if !isAgent {
			if strangers++; strangers > 3 {
				return nil
			}
		} else if !told {
			b.Logger.Info(fmt.Sprintf("Waiting for process %d, which builds in %s", holder, b.Directory))
			told = true
		}
		if err := clock.Pause(ctx, lockPoll); err != nil {
			return err
		}
	}
}

// lockHolder tells which process holds the lock of an open file, and whether it
// runs as our user, as another agent does.
func lockHolder(file *os.File) (pid int, isAgent bool) {
	info, err := file.Stat()
	if err != nil {
		return 0, false
	}
	status := info.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, true
	}
	pid = parseLocks(locks, fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(status.Dev)), unix.Minor(uint64(status.Dev)), status.Ino))
	if pid <= 0 {
		return 0, true // not to be seen from here
	}
	holder, err := os.Stat("/proc/" + strconv.Itoa(pid))
	if err != nil {
		return pid, false // an agent takes its lock along
	}
	return pid, int(holder.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// parseLocks finds who holds the flock of a file in /proc/locks, whose lines are
// "1: FLOCK  ADVISORY  WRITE 712 fe:00:1314 0 EOF"; waiting ones have "->".
func parseLocks(locks []byte, file string) (pid int) {
	lines := bufio.NewScanner(bytes.NewReader(locks))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && fields[1] == "FLOCK" && fields[5] == file {
			pid, _ = strconv.Atoi(fields[4])
			return pid
		}
	}
	return 0
}

// endOrphans kills the processes of an interrupted build.
func (b *Builder) endOrphans(ctx context.Context) error {
	info, err := os.Stat(b.Directory)
	if err != nil {
		return err
	}
	uid := info.Sys().(*syscall.Stat_t).Uid
	ended := map[int]bool{}
	deadline := time.Now().Add(orphanWait)
	for {
		orphans := killMarked(b.Directory, uid)
		if len(orphans) == 0 {
			break
		}
		for _, pid := range orphans {
			ended[pid] = true
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d of an interrupted build in %s can't be killed: reboot, or wait for the device it uses", orphans[0], b.Directory)
		}
		if err := clock.Pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		b.Logger.Info(fmt.Sprintf("Ended %d processes that an interrupted build left in %s", len(ended), b.Directory))
	}
	return nil
}

// killMarked kills the processes of uid that have the marker of directory, and
// returns those that were alive.
func killMarked(directory string, uid uint32) []int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	var killed []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() && killIfMarked(pid, directory, uid) {
			killed = append(killed, pid)
		}
	}
	return killed
}

func killIfMarked(pid int, directory string, uid uint32) bool {
	if !isMarked(pid, directory, uid) {
		return false
	}
	child, err := os.FindProcess(pid) // holds the process, not the number
	if err != nil {
		return false
	}
	defer child.Release()
	// A zombie has no environment any more.
	return isMarked(pid, directory, uid) && child.Kill() == nil
}

func isMarked(pid int, directory string, uid uint32) bool {
	path := "/proc/" + strconv.Itoa(pid)
	info, err := os.Stat(path)
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid {
		return false
	}
	environment, err := os.ReadFile(path + "/environ")
	if err != nil {
		return false
	}
	wanted := []byte(marker + "=" + directory)
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if bytes.Equal(variable, wanted) {
			return true
		}
	}
	return false
}

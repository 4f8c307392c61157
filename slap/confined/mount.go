// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var errMounted = errors.New("a file system is mounted here: unmount it first")

// detachUserMount gets a file system that an ordinary user mounted (with FUSE)
// out of root's way, without asking its server, which may never answer. Who waits
// for it already gets an error. The administrator mounted any other, and has to
// decide about it.
func detachUserMount(parent int, name string) error {
	if os.Geteuid() != 0 {
		return errMounted
	}
	directory, err := pathOf(parent)
	if err != nil {
		return errMounted
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !isUserMount(string(table), directory+"/"+name) {
		return errMounted
	}
	target := fmt.Sprintf("/proc/self/fd/%d/%s", parent, name)
	if err := unix.Unmount(target, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("%w (%w)", errMounted, err)
	}
	return nil
}

// clearWaiting detaches what a user mounted for everybody (FUSE, allow_other) where
// the agent works below an open directory: root would wait for its server. Others it
// can't enter, so that they don't matter.
func (p *Place) clearWaiting(directory int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	table := p.mounts.ofEverybody()
	if table == "" {
		return nil
	}
	return clearWaiting(table, directory)
}

func clearWaiting(table string, directory int) error {
	path, err := pathOf(directory)
	if err != nil {
		return err
	}
	for _, name := range waitingBelow(table, path) {
		parent, err := openBeneath(directory, filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			continue // below one that is detached by now, or moved away
		}
		err = detachUserMount(parent, filepath.Base(name))
		unix.Close(parent)
		if err != nil && isStillMounted(filepath.Join(path, name)) { // the guard is quicker at times
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func isStillMounted(path string) bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	return err != nil || isMountOfEverybody(string(table), path)
}

// A mountTable is the table of mounts, which is read again when it has changed: it
// may be long, and is looked at for each partition.
type mountTable struct {
	mutex sync.Mutex
	file  *os.File
	text  string // of those with allow_other alone
}

// ofEverybody returns the lines with allow_other.
func (m *mountTable) ofEverybody() string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.file == nil {
		file, err := openMounts()
		if err != nil {
			return ""
		}
		m.file = file
	} else {
		changes := []unix.PollFd{{Fd: int32(m.file.Fd()), Events: unix.POLLPRI}}
		if n, err := unix.Poll(changes, 0); n == 0 && err == nil {
			return m.text
		}
	}
	m.text = mountsOfEverybody(m.file)
	return m.text
}

func (m *mountTable) close() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.file != nil {
		m.file.Close()
	}
}

// waitingBelow lists, in the text of mountinfo, what users mounted for everybody
// below a path, but for where the agent never goes: srv, tmp and most of var.
func waitingBelow(table, path string) (names []string) {
	for line := range strings.Lines(table) {
		m, ok := parseMountLine(line)
		if !ok || !m.ofEverybody() {
			continue
		}
		name, below := strings.CutPrefix(m.path, path+"/")
		top, rest, _ := strings.Cut(name, "/")
		switch {
		case !below, top == "srv", top == "tmp":
		case top == "var" && rest != "" && rest != "xml_report" && !strings.HasPrefix(rest, "xml_report/"):
		default:
			names = append(names, name)
		}
	}
	return names
}

var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// isUserMountAt reports whether a user mounted the file system at a path, or
// may have.
func isUserMountAt(path string) bool {
	directory, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return true
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	return err != nil || isUserMount(string(table), filepath.Join(directory, filepath.Base(path)))
}

// isUserMount reports whether, in the text of mountinfo, the topmost file
// system at path is a user's.
func isUserMount(table, path string) bool {
	found := false
	for line := range strings.Lines(table) {
		if m, ok := parseMountLine(line); ok && m.path == path {
			found = m.ofUser()
		}
	}
	return found
}

// hasUser looks for the option user_id=N in a list, for any user but root.
func hasUser(options string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if user, ok := strings.CutPrefix(option, "user_id="); ok && user != "0" {
			return true
		}
	}
	return false
}

// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

var errMounted = errors.New("a file system is mounted here: unmount it first")

// detachUserMount gets a file system that an ordinary user mounted (with FUSE)
// out of root's way, without asking its server, which may never answer. The
// administrator mounted any other, and has to decide about it.
func detachUserMount(parent int, name string) error {
	if os.Geteuid() != 0 {
		return errMounted
	}
	directory, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", parent))
	if err != nil {
		return errMounted
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !isUserMount(string(table), directory+"/"+name) {
		return errMounted
	}
	target := fmt.Sprintf("/proc/self/fd/%d/%s", parent, name)
	if err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("%w (%w)", errMounted, err)
	}
	return nil
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
		mount, system, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields, facts := strings.Fields(mount), strings.Fields(system)
		if !ok || len(fields) < 5 || len(facts) < 3 || mountEscapes.Replace(fields[4]) != path {
			continue
		}
		found = strings.HasPrefix(facts[0], "fuse") && hasUser(facts[2])
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

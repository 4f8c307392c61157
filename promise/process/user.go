// SPDX-License-Identifier: GPL-3.0-or-later

package process

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// User owns a partition or a Software Release.
type User struct {
	UID, GID   int
	Name, Home string
	Groups     []int // all groups of a process of this user, GID included
}

// LookupUser finds the user of uid in passwd, and the groups that list it. gid,
// a directory's group, need not be the user's own. If the agent is root, root's
// uid and gid are refused (GRID-13).
func LookupUser(uid, gid int) (*User, error) {
	if err := refuseRoot(uid, gid); err != nil {
		return nil, err
	}
	entry, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil, fmt.Errorf("user %d is not in passwd: %w", uid, err)
	}
	entry.Gid = strconv.Itoa(gid)
	groups, err := GroupsOf(entry)
	if err != nil {
		return nil, err
	}
	return &User{UID: uid, GID: gid, Name: entry.Username, Home: entry.HomeDir, Groups: groups}, nil
}

// GroupsOf lists the groups of an account, its own first, each once.
func GroupsOf(account *user.User) ([]int, error) {
	names, err := account.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", account.Username, err)
	}
	var groups []int
	for _, name := range append([]string{account.Gid}, names...) {
		group, err := strconv.Atoi(name)
		if err == nil && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups, nil
}

func refuseRoot(uid, gid int) error {
	if os.Geteuid() == 0 && (uid == 0 || gid == 0) {
		return fmt.Errorf("running as root (uid %d, gid %d) is too dangerous: give the directory to a user of its own", uid, gid)
	}
	return nil
}

func (u *User) credential() (*syscall.Credential, error) {
	if err := refuseRoot(u.UID, u.GID); err != nil {
		return nil, err
	}
	groups := make([]uint32, 0, len(u.Groups)+1)
	for _, group := range append([]int{u.GID}, u.Groups...) {
		if !slices.Contains(groups, uint32(group)) {
			groups = append(groups, uint32(group))
		}
	}
	return &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: groups}, nil
}

// removedVariables never reach a child (GRID-12).
var removedVariables = strings.Fields(`
	PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONY2K PYTHONOPTIMIZE PYTHONDEBUG
	PYTHONDONTWRITEBYTECODE PYTHONINSPECT PYTHONUNBUFFERED PYTHONVERBOSE
	CONFIG_SITE ENV LOGNAME TEMP TMP TMPDIR
	LANG LANGUAGE LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION
	LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER
	LC_SOURCED LC_TELEPHONE LC_TIME`)

// CleanEnvironment returns environ with HOME=home, and without variables that
// must not influence builds and partitions (GRID-12).
func CleanEnvironment(environ []string, home string) []string {
	clean := make([]string, 0, len(environ)+2)
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if name != "HOME" && name != "PYTHONNOUSERSITE" && !slices.Contains(removedVariables, name) {
			clean = append(clean, variable)
		}
	}
	return append(clean, "HOME="+home, "PYTHONNOUSERSITE=true")
}

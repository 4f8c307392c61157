// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// userShell is the shell of every new user.
const userShell = "/bin/sh"

// Accounts are the users and groups of the machine.
type Accounts struct {
	Users  map[string]User
	Groups map[string]Group
}

// User is a line of /etc/passwd, and whether its password is locked.
type User struct {
	UID, GID    int
	Home, Shell string
	Locked      bool
}

// Group is a line of /etc/group.
type Group struct {
	GID     int
	Members []string
}

// readAccounts reads passwd, group and shadow in directory. Whoever can't read
// shadow can't lock anyone, either: then everyone counts as locked.
func readAccounts(directory string) (*Accounts, error) {
	accounts := &Accounts{Users: map[string]User{}, Groups: map[string]Group{}}
	passwd, err := os.ReadFile(filepath.Join(directory, "passwd"))
	if err != nil {
		return nil, err
	}
	group, err := os.ReadFile(filepath.Join(directory, "group"))
	if err != nil {
		return nil, err
	}
	shadow, err := os.ReadFile(filepath.Join(directory, "shadow"))
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	allLocked := err != nil
	locked := map[string]bool{}
	for fields := range records(shadow, 2) {
		locked[fields[0]] = strings.HasPrefix(fields[1], "!")
	}
	for fields := range records(passwd, 7) {
		uid, err := strconv.Atoi(fields[2])
		gid, err2 := strconv.Atoi(fields[3])
		if err != nil || err2 != nil {
			continue
		}
		accounts.Users[fields[0]] = User{UID: uid, GID: gid, Home: fields[5], Shell: fields[6], Locked: allLocked || locked[fields[0]]}
	}
	for fields := range records(group, 4) {
		gid, err := strconv.Atoi(fields[2])
		if err != nil {
			continue
		}
		members := strings.FieldsFunc(fields[3], func(r rune) bool { return r == ',' })
		accounts.Groups[fields[0]] = Group{GID: gid, Members: members}
	}
	return accounts, nil
}

// records yields the lines of a colon-separated file that have enough fields;
// of two lines with the same name, the first counts.
func records(content []byte, fields int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		seen := map[string]bool{}
		for line := range strings.Lines(string(content)) { // of any length: a group may have thousands of members
			record := strings.Split(strings.TrimRight(line, "\r\n"), ":")
			if len(record) < fields || record[0] == "" || seen[record[0]] {
				continue
			}
			seen[record[0]] = true
			if !yield(record) {
				return
			}
		}
	}
}

// unknownID is the number of a user or group that doesn't exist yet.
const unknownID = -1

// clone copies the accounts, so that a plan can add the ones that it creates.
func (a *Accounts) clone() *Accounts {
	return &Accounts{Users: maps.Clone(a.Users), Groups: maps.Clone(a.Groups)}
}

// put changes the accounts as the commands of a user will. New numbers are only
// known later.
func (a *Accounts) put(user plannedUser) {
	group, found := a.Groups[user.Name]
	if !found {
		group = Group{GID: unknownID}
		a.Groups[user.Name] = group
	}
	known, found := a.Users[user.Name]
	if !found {
		known.UID = unknownID
	}
	a.Users[user.Name] = User{UID: known.UID, GID: group.GID, Home: user.Home, Shell: userShell, Locked: true}
	if user.Group != "" && !a.isMember(user.Name, user.Group) {
		shared := a.Groups[user.Group]
		shared.Members = append(slices.Clone(shared.Members), user.Name)
		a.Groups[user.Group] = shared
	}
}

// isMember reports whether the group is one of the user's supplementary groups.
func (a *Accounts) isMember(user, group string) bool {
	return slices.Contains(a.Groups[group].Members, user)
}

// plannedUser is a user as it should be. Home itself is made elsewhere.
type plannedUser struct {
	Name  string
	Home  string
	Group string // supplementary group, optional
}

// commands returns what to run to make the user as it should be (FMT-48),
// nothing if it already is.
func (u plannedUser) commands(present *Accounts) [][]string {
	var commands [][]string
	group, groupFound := present.Groups[u.Name]
	if !groupFound {
		commands = append(commands, []string{"groupadd", u.Name})
	}
	options := []string{"-d", u.Home, "-g", u.Name, "-s", userShell}
	user, found := present.Users[u.Name]
	if !found {
		options = append(options, "-r")
		if u.Group != "" {
			options = append(options, "-G", u.Group)
		}
		// A new system user has no password, so it is locked.
		return append(commands, slices.Concat([]string{"useradd"}, options, []string{u.Name}))
	}
	if !groupFound || user.GID != group.GID || user.Home != u.Home || user.Shell != userShell ||
		u.Group != "" && !present.isMember(u.Name, u.Group) {
		if u.Group != "" {
			options = append(options, "-aG", u.Group)
		}
		commands = append(commands, slices.Concat([]string{"usermod"}, options, []string{u.Name}))
	}
	if !user.Locked {
		commands = append(commands, []string{"passwd", "-l", u.Name})
	}
	return commands
}

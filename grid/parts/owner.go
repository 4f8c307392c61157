// SPDX-License-Identifier: GPL-3.0-or-later

package parts

import (
	"os"
	"os/user"
	"strconv"

	"slapos/promise/process"
	"slapos/slap/confined"
)

// nobody is the group of a user that this machine doesn't know.
const nobody = 65534

// As does work with the file access of a user, if the agent is root: what a user names
// is looked up by what that user may see (GRID-104). Root is itself.
func As(uid int, work func() error) error {
	if os.Geteuid() != 0 || uid == 0 {
		return work()
	}
	groups := []int{nobody}
	if account, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		if groups, err = process.GroupsOf(account); err != nil {
			return err
		}
	}
	rights, err := confined.TakeRights(uid, groups[0], groups[1:])
	if err != nil {
		return err
	}
	defer rights.Close()
	return rights.Do(work)
}

// AsOwner does work as whom a directory belongs to, that of releases or of shared
// parts. A missing one is root's.
func AsOwner(place string, work func() error) error {
	opened, err := confined.OpenPlace(place)
	if confined.IsAbsent(err) {
		return work()
	}
	if err != nil {
		return err
	}
	uid := opened.UID
	if err := opened.Close(); err != nil {
		return err
	}
	return As(uid, work)
}

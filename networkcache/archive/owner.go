// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// An owner is the user to whom software belongs here.
type owner struct {
	uid, gid int
	changes  bool // files can be given to others
	known    map[account]int
}

// An account is a user or a group as an archive describes it.
type account struct {
	group  bool
	name   string
	number int
}

// ownerOf returns the owner of a directory, if files can be given away.
func ownerOf(directory fs.FileInfo) owner {
	o := owner{uid: os.Geteuid(), gid: os.Getegid(), known: map[account]int{}}
	if status, ok := directory.Sys().(*syscall.Stat_t); ok && o.uid == 0 {
		o.uid, o.gid, o.changes = int(status.Uid), int(status.Gid), true
	}
	return o
}

// of returns the user of a member: the one with its name or, if there is none,
// with its number (NC-44). A number that belongs to somebody else here, such as
// a partition's user, is nobody that the archive could mean: the owner is used
// instead.
func (o owner) of(header *tar.Header) (uid, gid int) {
	user := account{name: header.Uname, number: header.Uid}
	return o.resolve(user), o.resolve(account{group: true, name: header.Gname, number: header.Gid})
}

func (o owner) resolve(a account) int {
	id, found := o.known[a]
	if !found {
		id = o.lookup(a)
		if len(o.known) < 1000 { // an archive can name any number of them
			o.known[a] = id
		}
	}
	return id
}

func (o owner) lookup(a account) int {
	byName, byNumber, own := userNamed, userNumbered, o.uid
	if a.group {
		byName, byNumber, own = groupNamed, groupNumbered, o.gid
	}
	if id, err := strconv.Atoi(byName(a.name)); err == nil {
		return id
	}
	// -1 would change nothing, and more than 32 bits would be cut off.
	if a.number < 0 || int64(a.number) >= 1<<32-1 || a.name != "" && byNumber(strconv.Itoa(a.number)) {
		return own
	}
	return a.number
}

func userNamed(name string) string {
	if found, err := user.Lookup(name); err == nil {
		return found.Uid
	}
	return ""
}

func groupNamed(name string) string {
	if found, err := user.LookupGroup(name); err == nil {
		return found.Gid
	}
	return ""
}

func userNumbered(number string) bool {
	_, err := user.LookupId(number)
	return err == nil
}

func groupNumbered(number string) bool {
	_, err := user.LookupGroupId(number)
	return err == nil
}

// checkRights refuses a file that runs with the rights of anybody but the
// owner, whoever starts it, or with root's.
func (o owner) checkRights(header *tar.Header) error {
	uid, gid := o.of(header)
	if header.Mode&syscall.S_ISUID != 0 && (uid == 0 || uid != o.uid) {
		return &UnsafeError{header.Name, "has the set-user-id bit of another user"}
	}
	if header.Mode&syscall.S_ISGID != 0 && (gid == 0 || gid != o.gid) {
		return &UnsafeError{header.Name, "has the set-group-id bit of another group"}
	}
	return nil
}

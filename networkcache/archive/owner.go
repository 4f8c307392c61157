package archive

import (
	"archive/tar"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// An owner is whom everything unpacked belongs to.
type owner struct {
	uid, gid int
	changes  bool // files are not made as this owner's
}

// ownerOf is the owner of a directory, if files can be given away.
func ownerOf(directory fs.FileInfo) owner {
	o := owner{uid: os.Geteuid(), gid: os.Getegid()}
	if status, ok := directory.Sys().(*syscall.Stat_t); ok && o.uid == 0 {
		o = owner{uid: int(status.Uid), gid: int(status.Gid), changes: true}
	}
	return o
}

// checkRights refuses a file that runs with the rights of somebody else than
// the owner, whoever runs it, or with root's.
func (o owner) checkRights(header *tar.Header) error {
	if header.Mode&syscall.S_ISUID != 0 && (o.uid == 0 || headerUID(header) != o.uid) {
		return &UnsafeError{header.Name, "has the set-user-id bit of another user"}
	}
	if header.Mode&syscall.S_ISGID != 0 && (o.gid == 0 || headerGID(header) != o.gid) {
		return &UnsafeError{header.Name, "has the set-group-id bit of another group"}
	}
	return nil
}

// headerUID goes by the name, which is the same on other machines, before the
// number.
func headerUID(header *tar.Header) int {
	if found, err := user.Lookup(header.Uname); err == nil {
		if uid, err := strconv.Atoi(found.Uid); err == nil {
			return uid
		}
	}
	return header.Uid
}

func headerGID(header *tar.Header) int {
	if found, err := user.LookupGroup(header.Gname); err == nil {
		if gid, err := strconv.Atoi(found.Gid); err == nil {
			return gid
		}
	}
	return header.Gid
}

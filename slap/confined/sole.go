// SPDX-License-Identifier: GPL-3.0-or-later

package confined

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// aside is the directory to which a file is moved while its names are counted.
const aside = ".slapos-aside"

// OpenSole opens a regular file that belongs to the agent and has no other
// name, so that it is nobody else's and may be written in place. It may still
// contain another user's text, which came there under another name. name must
// have no slash. Anything else is left there, and is an error.
//
// If users can make hard links to files of others, the link count may miss the
// name by which the file was opened: its user may just have removed it. Then
// the file is moved into a directory that only the agent can reach, and back; a
// file with one name there has no other.
func (d *Directory) OpenSole(name string, flags int) (*os.File, fs.FileInfo, error) {
	file, info, err := d.openSole(name, flags)
	if err != nil || d.linksProtected {
		return file, info, err
	}
	file.Close() // it belongs to the agent, unless its user was quick
	return d.openAside(name, flags)
}

func (d *Directory) openSole(name string, flags int) (*os.File, fs.FileInfo, error) {
	file, err := d.OpenFile(name, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := d.checkSole(name, file)
	if err != nil {
		file.Close()
	}
	return file, info, err
}

func (d *Directory) checkSole(name string, file *os.File) (fs.FileInfo, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	uid, _ := Owner(info)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: remove it", d.Join(name))
	case uid != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to user %d, not to the agent: remove it", d.Join(name), uid)
	case Links(info) != 1:
		return nil, fmt.Errorf("%s has %d names: remove it", d.Join(name), Links(info))
	}
	return info, nil
}

// openAside opens a file while it is in a directory that only the agent can
// reach.
func (d *Directory) openAside(name string, flags int) (file *os.File, info fs.FileInfo, err error) {
	if err := d.Clear(aside); err != nil {
		return nil, nil, err
	}
	if err := d.Mkdir(aside, 0o700); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, d.Remove(aside)) }()
	own, err := d.OpenFile(".", os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer own.Close()
	private, err := d.OpenFile(aside, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	defer private.Close()
	if info, err := private.Stat(); err != nil {
		return nil, nil, err
	} else if uid, _ := Owner(info); uid != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return nil, nil, fmt.Errorf("%s was exchanged", d.Join(aside))
	}
	if err := unix.Renameat(int(own.Fd()), name, int(private.Fd()), name); err != nil {
		return nil, nil, &fs.PathError{Op: "move aside", Path: d.Join(name), Err: err}
	}
	defer func() {
		errBack := unix.Renameat(int(private.Fd()), name, int(own.Fd()), name)
		if errBack != nil { // a directory is in its place
			_ = unix.Unlinkat(int(private.Fd()), name, 0)
			errBack = &fs.PathError{Op: "move back", Path: d.Join(name), Err: errBack}
		}
		if err = errors.Join(err, errBack); err != nil && file != nil {
			file.Close()
			file = nil
		}
	}()
	fd, err := unix.Openat(int(private.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "open", Path: d.Join(name), Err: err}
	}
	file = os.NewFile(uintptr(fd), d.Join(name))
	info, err = d.checkSole(name, file)
	return file, info, err
}

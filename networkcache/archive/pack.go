// SPDX-License-Identifier: GPL-3.0-or-later

package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Pack writes an archive of a directory, whose base name becomes that of the
// top directory inside. It leaves out the names in without, in the directory
// itself. It keeps owners, modes, times and links, and leaves out sockets,
// devices and files that vanish meanwhile; a file that becomes shorter is an
// error.
func Pack(ctx context.Context, w io.Writer, directory string, without ...string) error {
	top, err := os.OpenRoot(directory)
	if err != nil {
		return fmt.Errorf("pack %s: %w", directory, err)
	}
	defer top.Close()
	return PackOpened(ctx, w, top, directory, without...)
}

// PackOpened is [Pack] for an open directory: whatever has its name now doesn't
// matter.
func PackOpened(ctx context.Context, w io.Writer, top *os.Root, directory string, without ...string) error {
	compressed := newGzipWriter(w)
	p := &packer{ctx: ctx, tar: tar.NewWriter(compressed), links: map[inode]string{}, buffer: make([]byte, 256<<10)}
	err := p.packDirectory(top, filepath.Base(directory), without)
	if err == nil {
		err = p.tar.Close()
	}
	if err := errors.Join(err, compressed.Close()); err != nil {
		return fmt.Errorf("pack %s: %w", directory, err)
	}
	return nil
}

type packer struct {
	ctx    context.Context
	tar    *tar.Writer
	links  map[inode]string // the first name of each file with several
	buffer []byte
}

type inode struct{ device, number uint64 }

// packDirectory packs an open directory under its name in the archive.
func (p *packer) packDirectory(directory *os.Root, name string, without []string) error {
	opened, err := directory.Open(".")
	if err != nil {
		return err
	}
	defer opened.Close()
	info, err := opened.Stat()
	if err != nil {
		return err
	}
	if err := p.writeHeader(info, name+"/", ""); err != nil {
		return err
	}
	names, err := opened.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		if slices.Contains(without, base) {
			continue
		}
		err := p.packMember(directory, base, path.Join(name, base))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p *packer) packMember(directory *os.Root, base, name string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	info, err := directory.Lstat(base)
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		sub, err := directory.OpenRoot(base)
		if err != nil {
			return err
		}
		defer sub.Close()
		return p.packDirectory(sub, name, nil)
	case fs.ModeSymlink:
		target, err := directory.Readlink(base)
		if err != nil {
			return err
		}
		return p.writeHeader(info, name, target)
	case fs.ModeNamedPipe:
		return p.writeHeader(info, name, "")
	case 0:
		return p.packFile(directory, base, name)
	}
	return nil
}

func (p *packer) packFile(directory *os.Root, base, name string) error {
	file, err := directory.OpenFile(base, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: became something else", name)
	}
	if first, again := p.firstName(info, name); again {
		header, err := newHeader(info, name, "")
		if err != nil {
			return err
		}
		header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
		return p.tar.WriteHeader(header)
	}
	if err := p.writeHeader(info, name, ""); err != nil {
		return err
	}
	written, err := io.CopyBuffer(onlyWriter{p.tar}, io.LimitReader(file, info.Size()), p.buffer)
	if err == nil && written < info.Size() {
		err = errors.New("became shorter")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// onlyWriter hides other methods from io.Copy.
type onlyWriter struct{ io.Writer }

// firstName returns the name under which the file was already packed.
func (p *packer) firstName(info fs.FileInfo, name string) (first string, again bool) {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok || status.Nlink < 2 {
		return "", false
	}
	key := inode{uint64(status.Dev), status.Ino}
	if first, again = p.links[key]; !again {
		p.links[key] = name
	}
	return first, again
}

func (p *packer) writeHeader(info fs.FileInfo, name, target string) error {
	header, err := newHeader(info, name, target)
	if err != nil {
		return err
	}
	return p.tar.WriteHeader(header)
}

func newHeader(info fs.FileInfo, name, target string) (*tar.Header, error) {
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	header.Name = name
	header.Format = tar.FormatPAX
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	// Names that aren't ASCII go to pax records, from which Python restores the
	// same bytes. A NUL can't occur in either.
	header.Uname, header.Gname = strings.ToValidUTF8(header.Uname, ""), strings.ToValidUTF8(header.Gname, "")
	return header, nil
}

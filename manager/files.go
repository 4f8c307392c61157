// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"slapos/slap/rooted"
)

// maxRequest bounds the request files, which the partition's user writes.
const maxRequest = 1 << 20

// files is the directory of a partition. The partition's user owns it and the
// agent is root, so nothing outside is reached, whatever links lie in there.
type files struct {
	root  *rooted.Root
	close func()
}

func (p *Partition) files() (files, error) {
	if p.Root != nil {
		return files{p.Root, func() {}}, nil
	}
	root, err := rooted.Open(p.Path)
	if err != nil {
		return files{}, fmt.Errorf("partition %s: %w", p.ID, err)
	}
	return files{root, func() { _ = root.Close() }}, nil
}

// read returns the content of a regular file, found = false when there is none.
func (f files) read(name string) (content []byte, found bool, err error) {
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	information, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if !information.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a regular file", file.Name())
	}
	content, err = io.ReadAll(io.LimitReader(file, maxRequest+1))
	if err != nil {
		return nil, false, err
	}
	if len(content) > maxRequest {
		return nil, false, fmt.Errorf("%s is larger than %d bytes", file.Name(), maxRequest)
	}
	return content, true, nil
}

// write replaces a file of the agent whole.
func (f files) write(name string, content []byte) error {
	temporary := name + ".new"
	if err := f.remove(temporary); err != nil {
		return err
	}
	file, err := f.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return f.root.Rename(temporary, name)
}

// rewrite changes the content of a file that the partition's user keeps owning.
func (f files) rewrite(name string, content []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func (f files) remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// request reads one request file of the partition.
func (p *Partition) request(name string) (content []byte, found bool, err error) {
	files, err := p.files()
	if err != nil {
		return nil, false, err
	}
	defer files.close()
	return files.read(name)
}

// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"errors"
	"fmt"
	"io/fs"

	"slapos/slap/confined"
)

// directory returns the partition's directory; call end after use.
func (p *Partition) directory() (directory *confined.Directory, end func(), err error) {
	if p.Directory != nil {
		return p.Directory, func() {}, nil
	}
	directory, err = confined.Open(p.Path)
	if err != nil {
		return nil, nil, fmt.Errorf("partition %s: %w", p.ID, err)
	}
	return directory, func() { _ = directory.Close() }, nil
}

// request reads a request file of the partition, which its user writes; found
// is false if there is none.
func (p *Partition) request(name string) (content []byte, found bool, err error) {
	directory, end, err := p.directory()
	if err != nil {
		return nil, false, err
	}
	defer end()
	content, err = directory.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return content, err == nil, err
}

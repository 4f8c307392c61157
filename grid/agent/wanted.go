// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"fmt"
	"io"

	"slapos/slap"
)

// A wanted is what the master wants of a partition. Descriptions can be long, and most
// are needed once in minutes: they are kept packed.
type wanted struct {
	state slap.State
	url   string // of the release, "" for a free partition
	// sum identifies the description, purpose all of it but the master's news.
	sum, purpose [sha256.Size]byte
	packed       []byte
}

// isFree reports whether the partition belongs to nobody.
func (w *wanted) isFree() bool { return w.state == slap.StateDestroyed && w.url == "" }

// packer packs and unpacks descriptions.
type packer struct {
	writer *flate.Writer
	buffer bytes.Buffer
}

func newPacker() *packer {
	writer, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is one
	return &packer{writer: writer}
}

// pack describes a partition; what is known of it stays if nothing has changed.
func (p *packer) pack(partition *slap.Partition, known *wanted) (*wanted, error) {
	text, err := slap.Marshal(partition)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", partition.Reference, err)
	}
	sum := sha256.Sum256(text)
	if known != nil && known.sum == sum {
		return known, nil
	}
	w := &wanted{state: partition.RequestedState, sum: sum}
	if partition.SoftwareRelease != nil {
		w.url = partition.SoftwareRelease.URL
	}
	silent := *partition
	silent.AccessStatus, silent.HasAccessStatus = "", false
	quiet, err := slap.Marshal(&silent)
	if err != nil {
		return nil, fmt.Errorf("partition %s: %w", partition.Reference, err)
	}
	w.purpose = sha256.Sum256(quiet)
	p.buffer.Reset()
	p.writer.Reset(&p.buffer)
	if _, err := p.writer.Write(text); err != nil {
		return nil, err
	}
	if err := p.writer.Close(); err != nil {
		return nil, err
	}
	w.packed = bytes.Clone(p.buffer.Bytes())
	return w, nil
}

// partition unpacks the description.
func (w *wanted) partition() (*slap.Partition, error) {
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(w.packed)))
	if err != nil {
		return nil, err
	}
	value, err := slap.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	partition, ok := value.(*slap.Partition)
	if !ok {
		return nil, fmt.Errorf("%T where a partition belongs", value)
	}
	return partition, nil
}

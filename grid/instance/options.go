// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"time"

	"slapos/grid/firewall"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/promise"
)

// Options of [Pass] and [PromisePass]. Empty optional fields mean none, unless
// said otherwise.
type Options struct {
	Node       pass.Node
	Supervisor supervision.Options
	Firewall   *firewall.Options // nil: partitions have no firewall rules
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; empty: partitions have none.
	CertificateRepository string

	// MinFreeSpace is in bytes; 0: the disk is not looked at (D-26). See
	// [pass.DefaultMinFreeSpace].
	MinFreeSpace int64
	// ForceStop stops services instead of starting them.
	ForceStop bool
	// MaximumPeriodicity is how many seconds a partition may stay unprocessed;
	// 0: always processed, negative: until it changes. Releases may have their
	// own (GRID-46). See [DefaultMaximumPeriodicity].
	MaximumPeriodicity int
	// PromiseTimeout of one promise; 0: no limit. See [DefaultPromiseTimeout].
	PromiseTimeout time.Duration
	// PartitionTimeout of an instance's buildout; 0: no limit.
	PartitionTimeout time.Duration
	// StorageHome is the root of data disks, absolute.
	StorageHome string
	// IPv4GlobalNetwork is copied to the profiles.
	IPv4GlobalNetwork string
	// Promises is told how the promises of partitions come out; may be nil.
	Promises PromiseObserver
}

// What options are when their keys are absent (GRID-5). Nothing here fills them
// in: 0 is a value (D-26).
const (
	DefaultMaximumPeriodicity = 86400
	DefaultPromiseTimeout     = 20 * time.Second
)

// A PromiseObserver is told how the promises of partitions come out, for
// somebody who watches. Its methods are called from several goroutines, and must
// not wait.
type PromiseObserver interface {
	// Partition begins the promises of a partition; what it returns is told how
	// they go.
	Partition(name string) promise.Observer
	// Finished tells what became of them. An error that is no *promise.Error means
	// that not all could be run.
	Finished(partition string, report promise.Report, err error)
}

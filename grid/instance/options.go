// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"time"

	"slapos/grid/firewall"
	"slapos/grid/pass"
	"slapos/grid/supervision"
	"slapos/promise"
)

// Options configure [Pass] and [PromisePass]. Empty optional fields mean none,
// unless said otherwise.
type Options struct {
	Node       pass.Node
	Supervisor supervision.Options
	Firewall   *firewall.Options // nil: partitions have no firewall rules
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; if empty, partitions have none.
	CertificateRepository string

	// MinFreeSpace is in bytes; 0 means no check (D-26). See
	// [pass.DefaultMinFreeSpace].
	MinFreeSpace int64
	// Partial means that others process partitions of this node, too: this pass says
	// nothing of all of them.
	Partial bool
	// ForceStop stops services instead of starting them.
	ForceStop bool
	// MaximumPeriodicity is after how many seconds a partition is processed
	// again; 0: at every pass, negative: only when it changes. Releases may set
	// their own (GRID-46). See [DefaultMaximumPeriodicity].
	MaximumPeriodicity int
	// PromiseTimeout limits each promise; 0: no limit. See [DefaultPromiseTimeout].
	PromiseTimeout time.Duration
	// PartitionTimeout limits an instance's buildout; 0: no limit.
	PartitionTimeout time.Duration
	// StorageHome is the root of data disks, absolute.
	StorageHome string
	// IPv4GlobalNetwork is written into the profiles.
	IPv4GlobalNetwork string
	// Promises receives the results of the partitions' promises; may be nil.
	Promises PromiseObserver
}

// Defaults for absent keys (GRID-5). This package doesn't fill them in: 0 is a
// value (D-26).
const (
	DefaultMaximumPeriodicity = 86400
	DefaultPromiseTimeout     = 20 * time.Second
)

// A PromiseObserver receives the results of partitions' promises. Several
// goroutines call its methods, which must not block.
type PromiseObserver interface {
	// Partition announces the promises of a partition; the observer that it
	// returns receives their results.
	Partition(name string) promise.Observer
	// Finished receives their overall result. An error other than
	// *promise.Error means that not all could be run.
	Finished(partition string, report promise.Report, err error)
}

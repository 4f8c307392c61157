// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"log/slog"
	"time"

	"slapos/grid/firewall"
	"slapos/grid/supervision"
	"slapos/manager"
	"slapos/slap"
)

// Options of the passes. Empty optional fields mean none, unless said
// otherwise.
type Options struct {
	ComputerID string
	// MasterURL as configured, for the profiles of instances (GRID-57).
	MasterURL    string
	SoftwareRoot string // directory of Software Releases
	InstanceRoot string // directory of partitions
	// CertificateRepository is the directory of the partitions' keys and
	// certificates; empty: partitions have none.
	CertificateRepository string

	Master   *slap.Client
	Managers []manager.Manager
	Logger   *slog.Logger
	// Hide takes passwords and tokens out of what leaves the agent: errors that
	// the master is told, and the log and the error that partitions are shown.
	// Nil: it all goes out as it is. The Logger does its own.
	Hide func(text string) string
	// Only limits the pass to these partitions, or to the releases with these
	// URLs or md5 sums of URLs.
	Only []string
	// Jobs is how many releases or partitions are processed at once (D-6).
	Jobs int
	// Environment of the agent, "NAME=value", cleaned for children (GRID-12).
	Environment []string
	// Python is the interpreter that bootstraps zc.buildout (D-2), empty for
	// the first one found.
	Python string
	// Buildout is a script that bootstraps instead of zc.buildout's module.
	Buildout      string
	BuildoutDebug bool
	// SharedParts and BuildTimeParts are directories, in order.
	SharedParts, BuildTimeParts []string
	// Force processes what is complete, too ("develop").
	Force bool

	Software SoftwareOptions
	Instance InstanceOptions
	Firewall *firewall.Options // nil: partitions have no firewall rules

	Supervisor supervision.Options

	// Progress shows how far a pass over releases or instances is; nil: nowhere.
	Progress Progress

	// Now is the clock; default: time.Now.
	Now func() time.Time
}

// SoftwareOptions are those of [SoftwarePass] alone.
type SoftwareOptions struct {
	// MinFreeSpace is in bytes; 0: the disk is not looked at (D-26).
	MinFreeSpace   int64
	GarbageCollect bool
	// BuildoutNetworkCache are the options of section [networkcache] that
	// buildout is given, by name (GRID-32).
	BuildoutNetworkCache map[string]string
	// Cache holds built releases; nil: there is none.
	Cache ReleaseCache
	// Upload says that built releases go to the cache.
	Upload bool
	// Prefixes of URLs that are not fetched, not uploaded, and never built but
	// only fetched (NC-2).
	DownloadBlacklist, UploadBlacklist, DownloadForced []string
	// UploadTries and UploadDelay are how often an upload is tried, and the
	// wait after the first failure, which doubles each time (D-21). See
	// DefaultUploadTries and DefaultUploadDelay.
	UploadTries int
	UploadDelay time.Duration
}

// A ReleaseCache keeps built releases. A release is a directory; its name and
// the cache's key are the md5 sum of its URL.
type ReleaseCache interface {
	// Fetch makes directory hold the release of url, and says false when the
	// cache has none that fits. Directory doesn't exist before, nor after a
	// failure: a release appears whole.
	Fetch(ctx context.Context, url, directory string, logger *slog.Logger) (found bool, err error)
	// Push stores the release of url and the shared parts that it uses, each a
	// directory. The file .completed is not part of it. Failing is no harm, and
	// one call is one attempt.
	Push(ctx context.Context, url, directory string, parts []string, logger *slog.Logger) error
}

// Progress is told how far a long pass is, for a user who watches.
type Progress interface {
	// Plan tells how many releases or partitions there are.
	Plan(items int)
	// Begin and End tell of each release or partition that is worked on.
	Begin(item string)
	End(item string)
	// Step tells what is being done.
	Step(item, doing string)
}

// unwatched is the progress that nobody watches.
type unwatched struct{}

func (unwatched) Plan(int)            {}
func (unwatched) Begin(string)        {}
func (unwatched) End(string)          {}
func (unwatched) Step(string, string) {}

// InstanceOptions are those of the passes over partitions.
type InstanceOptions struct {
	// MinFreeSpace is in bytes; 0: the disk is not looked at (D-26).
	MinFreeSpace int64
	// ForceStop stops services instead of starting them.
	ForceStop bool
	// MaximumPeriodicity is how many seconds a partition may stay unprocessed;
	// 0: always processed, negative: until it changes. Releases may have their
	// own (GRID-46). It has no default here, see DefaultMaximumPeriodicity.
	MaximumPeriodicity int
	// PromiseTimeout of one promise; 0: no limit. See DefaultPromiseTimeout.
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

// What options are when their keys are absent (GRID-5). Nothing below fills them
// in: 0 and the empty text are values (D-26).
const (
	DefaultMinFreeSpace       = 1000 << 20
	DefaultMaximumPeriodicity = 86400
	DefaultPromiseTimeout     = 20 * time.Second
	DefaultUploadTries        = 3
	DefaultUploadDelay        = 20 * time.Second
)

// withDefaults fills what must not be nil.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hide == nil {
		o.Hide = func(text string) string { return text }
	}
	if o.Progress == nil {
		o.Progress = unwatched{}
	}
	return o
}

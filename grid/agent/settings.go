// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"time"

	"slapos/grid/instance"
	"slapos/grid/pass"
	"slapos/grid/report"
	"slapos/grid/software"
	"slapos/grid/supervision"
)

// Defaults for absent keys. This package doesn't fill them in.
const (
	DefaultPoll   = time.Minute
	DefaultWait   = 5 * time.Minute
	DefaultReport = time.Hour
	DefaultFull   = time.Hour
)

// Settings are what the configuration says. What the passes share is in Node and
// Supervisor; those of Software and Instance are not used.
type Settings struct {
	Node       pass.Node
	Supervisor supervision.Options
	Software   software.Options
	Instance   instance.Options
	PIDFiles   PIDFiles

	// Poll is the time between two looks at a master that can't wait; Wait is how long
	// one that can is asked to.
	Poll, Wait time.Duration
	// Full is after how long everything is looked at, whatever the master says.
	Full time.Duration
	// Report is the time between two reports of usage.
	Report time.Duration
	// Garbage is the time between two removals of releases that the master doesn't
	// list; 0: never.
	Garbage time.Duration
	// Jobs are what else is to be done regularly.
	Jobs []Job
	// Listen is an address of the loopback for metrics, unless empty.
	Listen string
}

// PIDFiles are those of the passes.
type PIDFiles struct{ Software, Instance, Report string }

// A Job is something that is done regularly.
type Job struct {
	Name  string
	Every time.Duration
	// Jitter is how much later each run may be.
	Jitter time.Duration
	Run    func(ctx context.Context) error
}

func (s *Settings) report() report.Options {
	return report.Options{
		Node: s.Node, Supervisor: s.Supervisor,
		CertificateRepository: s.Instance.CertificateRepository, StorageHome: s.Instance.StorageHome,
	}
}

func (s *Settings) now() time.Time {
	if s.Node.Now == nil {
		return time.Now()
	}
	return s.Node.Now()
}

// full is Full, spread over nodes and partitions.
func (s *Settings) full() time.Duration { return spread(s.Full) }

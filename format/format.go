// SPDX-License-Identifier: GPL-3.0-or-later

// Package format prepares a computer for its partitions: users, directories,
// network addresses, taps and tuns, control groups. It keeps a description of
// the result and sends it to the master.
//
// The work has five stages, each of which can be looked at alone:
//
//	Definition  what the administrator asks for
//	Want        works out from it, and from what an earlier run saved, how the
//	            computer should be: arithmetic, nothing is changed
//	Present     reads how the machine is
//	Plan        the ordered difference, printable
//	Apply       carries the plan out
//
// [Run] goes through all of them. It can be interrupted anywhere: the next run
// computes the same and does what is missing. If the machine is as it should
// be, the plan is empty.
//
// Files and addresses are those of slapos.core 1.26.1: it can take over a
// computer formatted here, and the reverse.
package format

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"slapos/manager"
	"slapos/manager/cgroup"
	"slapos/slap"
	"slapos/slap/wholefile"
)

// Options of a run.
type Options struct {
	Definition

	MasterURL string // for the log
	// Post sends the description to the master.
	Post func(ctx context.Context, computer slap.Dict) error

	ComputerXML      string // the state that a run leaves for the next one
	ComputerJSON     string // the same, optional
	OutputDefinition string // optional

	// DryRun stops at the plan.
	DryRun bool

	Managers []manager.Manager
	Machine  Machine
	// PublicAddressServices are asked for the public IPv4 address; none if empty.
	PublicAddressServices []string

	Logger   *slog.Logger
	Progress func(done, total int)
	Now      func() time.Time
}

// Result is the result of a run.
type Result struct {
	Computer *Computer
	// Plan is the changes that were made or, in a dry run, would be made.
	Plan Plan

	failures []PartitionFailure
}

// PostError says that the computer is formatted and its description saved, but
// the master did not accept that.
type PostError struct{ Err error }

func (e *PostError) Error() string { return e.Err.Error() }
func (e *PostError) Unwrap() error { return e.Err }

// PartitionFailure says why a partition's directories are not ready.
type PartitionFailure struct {
	Reference string
	Err       error
}

// PartitionsError says that partitions are not ready because of what is in
// their directories. The others are ready, and the computer's description is
// saved.
type PartitionsError struct {
	Failures []PartitionFailure
	// Post is nil if the master accepted the description.
	Post error
}

func (e *PartitionsError) Error() string {
	var texts []string
	for _, failure := range e.Failures {
		texts = append(texts, fmt.Sprintf("partition %s: %v", failure.Reference, failure.Err))
	}
	if e.Post != nil {
		texts = append(texts, fmt.Sprintf("the master was not told: %v", e.Post))
	}
	return strings.Join(texts, "; ") + ": see what is in the place of that directory, remove or unmount it, and format again; all other partitions are ready"
}

func hasFailed(failures []PartitionFailure, partition *Partition) bool {
	return slices.ContainsFunc(failures, func(f PartitionFailure) bool { return f.Reference == partition.Reference })
}

// Run formats the computer. After a [*PostError] everything is done except
// informing the master, after a [*PartitionsError] everything except some
// partitions; after any other error nothing was saved. The result is never nil.
func Run(ctx context.Context, o Options) (*Result, error) {
	o.setDefaults()
	result := &Result{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	public := make(chan func(*Computer), 1)
	if !o.DryRun {
		// It touches nothing of ours: its result is applied below. If nobody
		// reads that, it ends with ctx; the channel has room for it.
		go func() { public <- publicAddress(ctx, o.PublicAddressServices) }()
	}

	previous, err := o.loadPrevious()
	if err != nil {
		return result, err
	}
	if err := o.format(ctx, previous, result); err != nil || o.DryRun {
		return result, err
	}
	if err := o.describeSystem(result.Computer, previous); err != nil {
		return result, err
	}
	(<-public)(result.Computer)
	state := state{computerXML: o.ComputerXML, computerJSON: o.ComputerJSON, now: o.Now, log: o.Logger}
	document := result.Computer.document()
	failures, err := state.save(result.Computer, document, result.failures, func(name string) error {
		_, err := o.Machine.user(ctx, name)
		return err
	})
	if err != nil {
		return result, err
	}
	o.Logger.Info(fmt.Sprintf("Posting information to '%s'", o.MasterURL))
	err = o.Post(ctx, document)
	if errors.Is(err, slap.ErrNotFound) { // FMT-87
		err = fmt.Errorf("%w: this computer is not known to the master, or computer_id %q and the certificates do not match", err, o.ComputerID)
	}
	switch {
	case len(failures) > 0:
		return result, &PartitionsError{Failures: failures, Post: err}
	case err != nil:
		return result, &PostError{Err: err}
	}
	return result, nil
}

func (o *Options) setDefaults() {
	o.Machine.setDefaults()
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Input != nil && o.Managers != nil {
		o.Logger.Warn("Computer needs config in constructor to allow managers.", "logger", "slapos.format") // FMT-67
		o.Managers = nil
	}
}

// loadPrevious reads the state that an earlier run saved, and logs whether
// there is any.
func (o *Options) loadPrevious() (previous *Computer, err error) {
	if o.Input == nil {
		if previous, err = loadPrevious(o.ComputerXML); err != nil {
			return nil, err
		}
		if previous == nil {
			o.Logger.Warn(fmt.Sprintf("Creating new computer data with id '%s'", o.ComputerID))
		} else {
			o.Logger.Debug(fmt.Sprintf("Loading previous computer data from '%s'", o.ComputerXML))
		}
		if n := newPartitions(&o.Definition, previous); n > 0 {
			o.Logger.Info(fmt.Sprintf("Adding %d new partitions", n))
		}
	}
	return previous, nil
}

// format plans and applies, and repeats that if an added address turned out to
// be in use elsewhere.
func (o *Options) format(ctx context.Context, previous *Computer, result *Result) error {
	o.Logger.Info("Updating computer")
	if err := o.Machine.CGroups.Available(); err != nil && o.AlterUser {
		level := slog.LevelWarn
		if previous != nil && o.Limits == (cgroup.Limits{}) { // known since the first run, and nothing is asked for
			level = slog.LevelDebug
		}
		o.Logger.Log(ctx, level, "partitions are not limited by control groups", "error", err)
	}
	refused := map[LinkAddress]bool{}
	for {
		err := o.formatOnce(ctx, previous, refused, result)
		var refusal *refusedError
		if !errors.As(err, &refusal) {
			return err
		}
		for _, address := range refusal.addresses {
			o.Logger.Warn(fmt.Sprintf("address %s is in use by another machine on the network of %s", address.Address, address.Link))
			refused[address] = true
		}
	}
}

func (o *Options) formatOnce(ctx context.Context, previous *Computer, refused map[LinkAddress]bool, result *Result) error {
	present, err := o.Machine.Present(ctx, &o.Definition, previous)
	if err != nil {
		return err
	}
	wanted, err := Want(&o.Definition, previous, present, refused, o.Logger)
	if err != nil {
		return err
	}
	result.Computer = wanted.Computer
	if o.OutputDefinition != "" && wanted.Fault == nil {
		if err := wholefile.Write(o.OutputDefinition, wanted.Computer.outputDefinition(), 0o666); err != nil {
			return fmt.Errorf("write definition: %w", err)
		}
		o.Logger.Info(fmt.Sprintf("Stored computer definition in '%s'", o.OutputDefinition))
	}
	if err := wanted.askManagers(ctx, o.Managers); err != nil {
		wanted.Fault = &Fault{Partition: -1, Err: err}
	}
	planned := makePlan(wanted, present)
	for _, text := range planned.warnings {
		o.Logger.Warn(text)
	}
	result.Plan, result.failures = append(result.Plan, planned.plan...), planned.failures
	if o.DryRun {
		if planned.fault == nil && len(planned.failures) > 0 {
			return &PartitionsError{Failures: planned.failures}
		}
		return planned.fault
	}
	failures, err := planned.plan.Apply(ctx, &o.Machine, o.Logger, o.Progress)
	result.failures = append(result.failures, failures...)
	if err != nil {
		return err
	}
	return planned.fault
}

// askManagers gets the managers' part of the plan (FMT-43).
func (w *Wanted) askManagers(ctx context.Context, managers []manager.Manager) error {
	for _, m := range managers {
		err := m.Format(ctx, &manager.Computer{
			Reference:    w.Computer.Reference,
			SoftwareRoot: w.Computer.SoftwareRoot,
			InstanceRoot: w.Computer.InstanceRoot,
			Do: func(description string, apply func(context.Context) error) {
				w.Managed = append(w.Managed, Step{Action: "manager", Command: description, change: managed{do: apply}})
			},
		})
		if err != nil {
			return fmt.Errorf("manager %s: %w", m.Name(), err)
		}
	}
	return nil
}

// describeSystem fills in what the master wants to know about the machine.
func (o *Options) describeSystem(computer, previous *Computer) (err error) {
	if previous != nil {
		computer.PublicIPv4 = previous.PublicIPv4
	}
	computer.PythonVersion = runtime.Version() // FMT-72: there is no Python
	computer.OSType, err = osType(o.Machine.Etc)
	return err
}

// publicAddress looks up the public address and returns how to apply it: if the
// services don't answer in time, what was known before is kept.
func publicAddress(ctx context.Context, services []string) func(*Computer) {
	address, answered := lookUpPublicIPv4(ctx, services)
	return func(computer *Computer) {
		if answered {
			computer.PublicIPv4 = address
		}
	}
}

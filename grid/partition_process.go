// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"

	"slapos/grid/pass"
	"slapos/promise"
	"slapos/slap"
	"slapos/slap/confined"
)

// What a pass does with a partition, by the state that the master wants and
// whether its .timestamp says that this was done already (GRID-43 to GRID-60):
//
//	                        ┌ started: promises, in anomaly mode
//	         ┌ up to date ──┴ other: nothing ──────────────────────────┐
//	managers─┤                                                         ├─ managers
//	         └ changed: .timestamp goes                                │
//	             started:   certificate ─ install ─ start ─ firewall   │
//	                          ─ promises ─ tell started ─ tell requests┤
//	             stopped:   certificate ─ install ─ firewall           │
//	                          ─ stop ─ tell stopped ─ tell requests ───┤
//	             destroyed: certificate ─ stop ─ no firewall           │
//	                          ─ tell stopped ──────────────────────────┤
//	                                                                   │
//	             success: .timestamp is written, after the managers ───┘
//
// .timestamp is what makes a partition up to date. It goes before and comes
// after everything else, so an agent that is killed in between is followed by
// one that does all again.
var (
	beginSteps = []pass.Step[*partition]{
		{Name: "certificate", Do: (*partition).refreshCertificate},
		{Name: "forget error", Do: (*partition).forgetError},
	}
	deploySteps = []pass.Step[*partition]{
		{Name: "free space", Do: (*partition).checkSpace},
		{Name: "software link", Do: (*partition).linkRelease},
		{Name: "permissions", Do: (*partition).checkMode},
		{Name: "profile", Do: (*partition).writeProfile},
		{Name: "buildout", Do: (*partition).runBuildout},
		{Name: "retention", Do: (*partition).lockRetention},
	}
	startedSteps = concat(beginSteps, deploySteps, []pass.Step[*partition]{
		{Name: "start", Do: (*partition).startServices},
		{Name: "firewall", Do: (*partition).openFirewall},
		{Name: "promises", Do: (*partition).testPromises},
		{Name: "report started", Do: (*partition).reportStarted},
		{Name: "report requests", Do: (*partition).reportRequested},
	})
	// An instance is stopped even if it can't be deployed, or is not known, any
	// more.
	stoppedSteps = concat(beginSteps, deploySteps, []pass.Step[*partition]{
		{Name: "firewall", Do: (*partition).openFirewall},
		{Name: "stop", Do: (*partition).stopServices, Always: true},
		{Name: "report stopped", Do: (*partition).reportStopped},
		{Name: "report requests", Do: (*partition).reportRequested},
	})
	destroyedSteps = concat(beginSteps, []pass.Step[*partition]{
		{Name: "stop", Do: (*partition).stopServices, Always: true},
		{Name: "firewall", Do: (*partition).closeFirewall},
		{Name: "report stopped", Do: (*partition).reportStopped},
	})
	unknownSteps = concat(beginSteps, []pass.Step[*partition]{
		{Name: "refuse", Do: (*partition).refuseState},
	})
)

func concat(lists ...[]pass.Step[*partition]) []pass.Step[*partition] {
	var all []pass.Step[*partition]
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func (t *partition) steps() []pass.Step[*partition] {
	switch t.wanted.RequestedState {
	case slap.StateStarted:
		return startedSteps
	case slap.StateStopped:
		return stoppedSteps
	case slap.StateDestroyed:
		return destroyedSteps
	}
	return unknownSteps
}

// process brings the partition to the state that the master wants.
func (t *partition) process(ctx context.Context) error {
	t.log.Debug(fmt.Sprintf("Check if %s requires processing...", t.id.Partition))
	// What was noted belongs to a processing that didn't end.
	if err := t.root.Clear(t.requestedFile()); err != nil {
		return err
	}
	for _, m := range t.node.Managers {
		if err := m.Instance(ctx, t.managed()); err != nil {
			return err
		}
	}
	upToDate, err := t.isUpToDate()
	if err == nil && upToDate {
		err = t.keepUp(ctx)
	} else if err == nil {
		err = t.deploy(ctx)
	}
	// A manager's failure tells more than what it could not put right.
	for _, m := range t.node.Managers {
		if failure := m.InstanceTearDown(ctx, t.managed()); failure != nil {
			return failure
		}
	}
	if t.started {
		if failure := t.services.DropUnset(ctx, t.log); err == nil {
			err = failure
		}
	}
	if err != nil || upToDate {
		return err
	}
	return t.writeTimestamp()
}

// keepUp is all there is to do for a partition that is up to date.
func (t *partition) keepUp(ctx context.Context) error {
	if t.wanted.RequestedState != slap.StateStarted || t.node.Instance.ForceStop {
		t.log.Debug("Partition already up-to-date. skipping.")
		return nil
	}
	t.log.Debug("Partition already up-to-date.")
	if t.services.IsIdle() {
		if _, err := t.startGroup(ctx); err != nil {
			return err
		}
	}
	return t.checkAnomalies(ctx)
}

// deploy runs the steps, with a copy of the log in the partition.
func (t *partition) deploy(ctx context.Context) error {
	before := t.log
	defer func() { t.log = before }()
	file, err := t.openInstanceLog()
	if err != nil {
		t.log.Warn(fmt.Sprintf("No log is written in %s: %v", t.path, err))
	} else {
		defer file.Close()
	}
	t.log.Info(fmt.Sprintf("Processing Computer Partition %s.", t.id.Partition))
	t.logPlaces()
	t.log.Info(fmt.Sprintf("  Instance status: %s", t.wanted.RequestedState))
	err = pass.RunSteps(ctx, t, t.log, t.steps())
	var failed *promise.Error
	if err != nil && !errors.As(err, &failed) {
		t.showError(ctx, err)
	}
	return err
}

func (t *partition) logPlaces() {
	t.log.Info(fmt.Sprintf("  Software URL: %s", t.url))
	t.log.Info(fmt.Sprintf("  Software path: %s", t.release))
	t.log.Info(fmt.Sprintf("  Instance path: %s", t.path))
}

// showError leaves the error in the partition, and brings the results of its
// promises up to date, whatever they are (GRID-54).
func (t *partition) showError(ctx context.Context, failure error) {
	if err := t.root.Write(t.errorFile(), []byte(t.node.Hide(failure.Error())), confined.AgentFile); err != nil {
		t.log.Warn(fmt.Sprintf("The error could not be written to %s: %v", t.root.Join(t.errorFile()), err))
	}
	if t.wanted.RequestedState != slap.StateStarted || ctx.Err() != nil {
		return
	}
	if err := t.runPromises(ctx, promise.Forced); err != nil {
		t.log.Debug("Ignored result of promises", "error", err)
	}
}

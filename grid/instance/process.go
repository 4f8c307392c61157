// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"

	"slapos/grid/pass"
	"slapos/promise"
	"slapos/slap"
	"slapos/slap/confined"
)

// The steps of processing a partition, see the drawing of the package.
var (
	beginSteps = []pass.Step[*deployment]{
		{Name: "certificate", Do: (*deployment).RefreshCertificate},
		{Name: "forget error", Do: (*deployment).forgetError},
	}
	deploySteps = []pass.Step[*deployment]{
		{Name: "free space", Do: (*deployment).checkSpace},
		{Name: "software link", Do: (*deployment).linkRelease},
		{Name: "permissions", Do: (*deployment).checkMode},
		{Name: "profile", Do: (*deployment).writeProfile},
		{Name: "buildout", Do: (*deployment).runBuildout},
		{Name: "retention", Do: (*deployment).lockRetention},
	}
	startedSteps = concat(beginSteps, deploySteps, []pass.Step[*deployment]{
		{Name: "start", Do: (*deployment).startServices},
		{Name: "firewall", Do: (*deployment).openFirewall},
		{Name: "promises", Do: (*deployment).requirePromises},
		{Name: "report started", Do: (*deployment).reportStarted},
		{Name: "report requests", Do: (*deployment).reportRequested},
	})
	// An instance is stopped even if it can't be deployed or isn't known any
	// more.
	stoppedSteps = concat(beginSteps, deploySteps, []pass.Step[*deployment]{
		{Name: "firewall", Do: (*deployment).openFirewall},
		{Name: "stop", Do: (*deployment).StopServices, Always: true},
		{Name: "report stopped", Do: (*deployment).ReportStopped},
		{Name: "report requests", Do: (*deployment).reportRequested},
	})
	destroyedSteps = concat(beginSteps, []pass.Step[*deployment]{
		{Name: "stop", Do: (*deployment).StopServices, Always: true},
		{Name: "firewall", Do: (*deployment).closeFirewall},
		{Name: "report stopped", Do: (*deployment).ReportStopped},
	})
	unknownSteps = concat(beginSteps, []pass.Step[*deployment]{
		{Name: "refuse", Do: (*deployment).refuseState},
	})
)

func concat(lists ...[]pass.Step[*deployment]) []pass.Step[*deployment] {
	var all []pass.Step[*deployment]
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

func (d *deployment) steps() []pass.Step[*deployment] {
	switch d.Wanted.RequestedState {
	case slap.StateStarted:
		return startedSteps
	case slap.StateStopped:
		return stoppedSteps
	case slap.StateDestroyed:
		return destroyedSteps
	}
	return unknownSteps
}

// process brings the partition into the state that the master wants.
func (d *deployment) process(ctx context.Context) error {
	d.Log.Debug(fmt.Sprintf("Check if %s requires processing...", d.ID.Partition))
	// Old notes belong to a processing that didn't end.
	if err := d.Root.Clear(d.requestedFile()); err != nil {
		return err
	}
	for _, m := range d.Node.Managers {
		if err := m.Instance(ctx, d.Managed()); err != nil {
			return err
		}
	}
	upToDate, err := d.isUpToDate()
	if err == nil && upToDate {
		err = d.keepUp(ctx)
	} else if err == nil {
		err = d.deploy(ctx)
	}
	// A manager's failure must not hide the failure before it.
	for _, m := range d.Node.Managers {
		if failure := m.InstanceTearDown(ctx, d.Managed()); failure != nil {
			return failure
		}
	}
	if d.started {
		if failure := d.Services.DropUnset(ctx, d.Log); err == nil {
			err = failure
		}
	}
	if err != nil || upToDate {
		return err
	}
	return d.writeTimestamp()
}

// keepUp is all that an up-to-date partition needs.
func (d *deployment) keepUp(ctx context.Context) error {
	if d.Wanted.RequestedState != slap.StateStarted || d.options.ForceStop {
		d.Log.Debug("Partition already up-to-date. skipping.")
		return nil
	}
	d.Log.Debug("Partition already up-to-date.")
	if d.Services.IsIdle() {
		if err := d.startGroup(ctx).Err(); err != nil {
			return err
		}
	}
	return d.checkAnomalies(ctx)
}

// deploy runs the steps, and copies the log into the partition.
func (d *deployment) deploy(ctx context.Context) error {
	before := d.Log
	defer func() { d.Log = before }()
	file, err := d.openInstanceLog()
	if err != nil {
		d.Log.Warn(fmt.Sprintf("No log is written in %s: %v", d.Path, err))
	} else {
		defer file.Close()
	}
	d.Log.Info(fmt.Sprintf("Processing Computer Partition %s.", d.ID.Partition))
	d.logPlaces()
	d.Log.Info(fmt.Sprintf("  Instance status: %s", d.Wanted.RequestedState))
	err = pass.RunSteps(ctx, d, d.Log, d.steps())
	var failed *promise.Error
	if err != nil && !errors.As(err, &failed) {
		d.showError(ctx, err)
	}
	return err
}

func (d *deployment) logPlaces() {
	d.Log.Info(fmt.Sprintf("  Software URL: %s", d.url))
	d.Log.Info(fmt.Sprintf("  Software path: %s", d.release))
	d.Log.Info(fmt.Sprintf("  Instance path: %s", d.Path))
}

// showError writes the error into the partition, and refreshes the results of
// its promises, whatever they are (GRID-54).
func (d *deployment) showError(ctx context.Context, failure error) {
	if err := d.Root.Write(d.errorFile(), []byte(d.Node.Hide(failure.Error())), confined.AgentFile); err != nil {
		d.Log.Warn(fmt.Sprintf("The error could not be written to %s: %v", d.Root.Join(d.errorFile()), err))
	}
	if d.Wanted.RequestedState != slap.StateStarted || ctx.Err() != nil {
		return
	}
	if _, err := d.runPromises(ctx, promise.Forced); err != nil {
		d.Log.Debug("Ignored result of promises", "error", err)
	}
}

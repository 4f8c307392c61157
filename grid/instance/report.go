// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"slapos/grid/pass"
	"slapos/slap"
)

func (d *deployment) reportStarted(ctx context.Context) (pass.Outcome, error) {
	if d.options.ForceStop {
		return pass.Skipped, nil
	}
	return pass.Ended(d.Node.Master.Started(ctx, d.ID))
}

// requestedFile is where code in the partition notes the instances that it asks
// for, one reference on a line.
func (d *deployment) requestedFile() string {
	return ".slapos-request-transaction-" + d.ID.Partition
}

// reportRequested tells the master which instances the partition asked for
// while it was processed, so that others may go (GRID-53).
func (d *deployment) reportRequested(ctx context.Context) (pass.Outcome, error) {
	content, err := d.Root.ReadOwn(d.requestedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped, nil
	}
	if err != nil {
		return pass.Failed, err
	}
	var references []string
	for _, reference := range strings.Split(string(content), "\n") {
		if reference != "" {
			references = append(references, reference)
		}
	}
	err = d.Node.Master.RelatedInstances(ctx, d.ID, references)
	if errors.Is(err, slap.ErrNotFound) {
		d.Log.Warn(fmt.Sprintf("NotFoundError: %v. \nCannot send requested instance list to master. "+
			"Please check if this feature is implemented on SlapOS Master.", err))
		return pass.Skipped, nil
	}
	if err != nil && !errors.Is(err, slap.ErrConnection) {
		// The partition's user wrote what the master can't take: that is no
		// reason to take the master for lost.
		return pass.Failed, fmt.Errorf("report requested instances: %v", err)
	}
	return pass.Ended(err)
}

// errorFile shows the partition's user why the last processing failed.
func (d *deployment) errorFile() string { return ".slapgrid-" + d.ID.Partition + "-error.log" }

func (d *deployment) forgetError(context.Context) (pass.Outcome, error) {
	return pass.Ended(d.Root.Clear(d.errorFile()))
}

// refuseState is for what the master may come to ask of future agents.
func (d *deployment) refuseState(context.Context) (pass.Outcome, error) {
	return pass.Failed, fmt.Errorf("Computer Partition %s has unsupported state: %s", slap.PythonRepr(d.ID.Partition), d.Wanted.RequestedState)
}

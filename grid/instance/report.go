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

func (d *deployment) reportStarted(ctx context.Context) pass.Outcome {
	if d.options.ForceStop {
		return pass.Skipped
	}
	return pass.Ended(d.Node.Master.Started(ctx, d.ID))
}

// requestedFile lists the instances that code in the partition requests, one
// reference per line.
func (d *deployment) requestedFile() string {
	return ".slapos-request-transaction-" + d.ID.Partition
}

// reportRequested reports which instances the partition requested during its
// processing, so that the master can remove others (GRID-53).
func (d *deployment) reportRequested(ctx context.Context) pass.Outcome {
	content, err := d.Root.ReadOwn(d.requestedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped
	}
	if err != nil {
		return pass.Failed(err)
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
		return pass.Skipped
	}
	if err != nil && !errors.Is(err, slap.ErrConnection) {
		// The rejected text comes from the partition's user: it doesn't mean
		// that the master is lost.
		return pass.Failed(fmt.Errorf("report requested instances: %v", err))
	}
	return pass.Ended(err)
}

// errorFile has the error of the last processing, for the partition's user.
func (d *deployment) errorFile() string { return errorFileOf(d.ID.Partition) }

func errorFileOf(partition string) string { return ".slapgrid-" + partition + "-error.log" }

func (d *deployment) forgetError(context.Context) pass.Outcome {
	return pass.Ended(d.Root.Clear(d.errorFile()))
}

// refuseState is for states that only future agents may know.
func (d *deployment) refuseState(context.Context) pass.Outcome {
	return pass.Failed(fmt.Errorf("Computer Partition %s has unsupported state: %s", slap.PythonRepr(d.ID.Partition), d.Wanted.RequestedState))
}

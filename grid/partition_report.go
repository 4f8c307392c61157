// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"slapos/grid/pass"
	"slapos/slap"
)

func (t *partition) reportStarted(ctx context.Context) (pass.Outcome, error) {
	if t.node.Instance.ForceStop {
		return pass.Skipped, nil
	}
	return pass.Done, t.node.Master.Started(ctx, t.id)
}

// reportStopped tells the master, whatever it answers (GRID-52).
func (t *partition) reportStopped(ctx context.Context) (pass.Outcome, error) {
	if err := t.node.Master.Stopped(ctx, t.id); err != nil {
		t.log.Debug("Ignored failure to report a stopped partition", "error", err)
		return pass.Skipped, ctx.Err()
	}
	return pass.Done, nil
}

// requestedFile is where code in the partition notes the instances that it asks
// for, one reference on a line.
func (t *partition) requestedFile() string {
	return ".slapos-request-transaction-" + t.id.Partition
}

// reportRequested tells the master which instances the partition asked for
// while it was processed, so that others may go (GRID-53).
func (t *partition) reportRequested(ctx context.Context) (pass.Outcome, error) {
	content, err := t.root.ReadOwn(t.requestedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped, nil
	}
	if err != nil {
		return "", err
	}
	var references []string
	for _, reference := range strings.Split(string(content), "\n") {
		if reference != "" {
			references = append(references, reference)
		}
	}
	err = t.node.Master.RelatedInstances(ctx, t.id, references)
	if errors.Is(err, slap.ErrNotFound) {
		t.log.Warn(fmt.Sprintf("NotFoundError: %v. \nCannot send requested instance list to master. "+
			"Please check if this feature is implemented on SlapOS Master.", err))
		return pass.Skipped, nil
	}
	if err != nil && !errors.Is(err, slap.ErrConnection) {
		// The partition's user wrote what the master can't take: that is no
		// reason to take the master for lost.
		return "", fmt.Errorf("report requested instances: %v", err)
	}
	return pass.Done, err
}

// errorFile shows the partition's user why the last processing failed.
func (t *partition) errorFile() string { return ".slapgrid-" + t.id.Partition + "-error.log" }

func (t *partition) forgetError(context.Context) (pass.Outcome, error) {
	return pass.Done, t.root.Clear(t.errorFile())
}

// refuseState is for what the master may come to ask of future agents.
func (t *partition) refuseState(context.Context) (pass.Outcome, error) {
	return "", fmt.Errorf("Computer Partition %s has unsupported state: %s", slap.PythonRepr(t.id.Partition), t.wanted.RequestedState)
}

// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/confined"
)

// announce tells the master that the release is being built. Not every master
// wants to know.
func (r *release) announce(ctx context.Context) (pass.Outcome, error) {
	err := r.node.Master.BuildingRelease(ctx, r.url, r.node.ComputerID)
	if errors.Is(err, slap.ErrNotFound) {
		return pass.Skipped, nil
	}
	if err != nil {
		return "", r.untold("is being built", err)
	}
	r.log.Info(fmt.Sprintf("Installing software release %s ...", r.url))
	return pass.Done, nil
}

// forgetCompletion takes the mark away while the release changes, so that the
// next pass builds again what this one can't finish.
func (r *release) forgetCompletion(context.Context) (pass.Outcome, error) {
	if !r.isComplete() {
		return pass.Skipped, nil
	}
	root, err := confined.Open(r.directory)
	if err != nil {
		return "", err
	}
	defer root.Close()
	return pass.Done, root.Clear(completedFile)
}

func (r *release) reportAvailable(ctx context.Context) (pass.Outcome, error) {
	return pass.Done, r.untold("is available", r.node.Master.AvailableRelease(ctx, r.url, r.node.ComputerID))
}

func (r *release) reportDestroyed(ctx context.Context) (pass.Outcome, error) {
	return pass.Done, r.untold("is destroyed", r.node.Master.DestroyedRelease(ctx, r.url, r.node.ComputerID))
}

// untold says what the master would not hear: some of its answers say nothing.
func (r *release) untold(news string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("tell the master that %s %s: %w", r.url, news, err)
}

// complete marks the release (GRID-23).
func (r *release) complete(context.Context) (pass.Outcome, error) {
	if r.root == nil {
		root, err := confined.Open(r.directory)
		if err != nil {
			return "", err
		}
		r.root = root
	}
	return pass.Done, r.root.Write(completedFile, []byte(r.node.Now().Local().Format(time.ANSIC)), confined.AgentFile)
}

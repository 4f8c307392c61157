// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"time"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap/confined"
)

// IsComplete reports whether a release is installed.
func IsComplete(softwareRoot, url string) bool {
	place, err := confined.OpenPlace(softwareRoot)
	if err != nil {
		return false
	}
	defer place.Close()
	r := &release{place: place, name: buildout.ReleaseName(url)}
	return r.isComplete()
}

func (r *release) isComplete() bool { return r.has(buildout.CompletedFile) }

// forgetCompletion removes the mark while the release changes, so that if this
// pass doesn't finish, the next one builds again.
func (r *release) forgetCompletion(context.Context) pass.Outcome {
	if !r.isComplete() {
		return pass.Skipped
	}
	root, err := r.place.Open(r.name, r.place.UID)
	if err != nil {
		return pass.Failed(err)
	}
	defer root.Close()
	return pass.Ended(root.Clear(buildout.CompletedFile))
}

// complete marks the release (GRID-23), after it and the shared parts that it
// uses have reached the disk (GRID-107).
func (r *release) complete(context.Context) pass.Outcome {
	if err := r.root.SyncAll(); err != nil {
		return pass.Failed(err)
	}
	if parts := r.node.SharedParts.List(); len(parts) > 0 { // those of this node are in the last one
		shared, err := confined.Open(parts[len(parts)-1])
		if err == nil {
			err = errors.Join(shared.SyncAll(), shared.Close())
		}
		if err != nil && !confined.IsAbsent(err) {
			return pass.Failed(err)
		}
	}
	return pass.Ended(r.root.Write(buildout.CompletedFile, []byte(r.node.Now().Local().Format(time.ANSIC)), confined.AgentFile))
}

// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap/confined"
)

// An unbuiltError is the failure of an instance whose release isn't there, or isn't
// complete.
type unbuiltError struct{ error }

func (e *unbuiltError) Unwrap() error { return e.error }

// waiting replaces the failure of an instance that needs nothing but its release,
// which this node is to build: it waits, and the line says how long (GRID-110).
func (d *deployment) waiting(failure error) error {
	var unbuilt *unbuiltError
	if !d.supplied || !errors.As(failure, &unbuilt) {
		return failure
	}
	if locks, err := d.Node.StateDirectory(); err == nil {
		if since, builds := buildout.Since(locks, d.release); builds {
			return &pass.WaitError{Reason: fmt.Sprintf("waits for %s (building since %s)", d.url, age(d.Node.Now().Sub(since))), Err: failure}
		}
	}
	if d.releases.isComplete(d.release) {
		return failure // waiting would not help
	}
	return &pass.WaitError{Reason: fmt.Sprintf("waits for %s (not built yet)", d.url), Err: failure}
}

// isComplete reports whether a release was built to its end.
func (r *releases) isComplete(release string) bool {
	root, err := r.open(release)
	if err != nil {
		return !confined.IsAbsent(err) && !errors.Is(err, fs.ErrNotExist)
	}
	defer root.Close()
	return root.Exists(buildout.CompletedFile)
}

// age is a duration in its largest unit, rounded down.
func age(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}

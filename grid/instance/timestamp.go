// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"io/fs"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
)

// timestampFile has the master's timestamp of the last successful processing;
// the file's modification time says when that was.
const timestampFile = ".timestamp"

// timestampNote is the agent's own copy. The partition's user can write the
// other and knows the master's timestamp: alone, it could suppress a request to
// stop.
func (d *deployment) timestampNote() string { return d.ID.Partition + ".timestamp" }

// timestamp returns the master's, or none if the partition has to be processed
// anyway (GRID-45).
func (d *deployment) timestamp() (timestamp string, ok bool) {
	if d.options.ForceStop && d.Wanted.RequestedState == slap.StateStarted {
		return "", false
	}
	return d.Wanted.Timestamp()
}

// isUpToDate reports whether there is nothing to do. If there is something, it
// first removes the timestamp, so that every pass retries after a failure.
func (d *deployment) isUpToDate() (bool, error) {
	wanted, given := d.timestamp()
	if d.Node.Force || !given {
		return false, nil
	}
	periodicity := d.releases.periodicity(d.release)
	if periodicity == 0 {
		return false, nil
	}
	state, err := d.Node.OpenState()
	if err != nil {
		return false, err
	}
	defer state.Close()
	shown, info, err := d.Root.ReadFile(timestampFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, d.begun(state)
	}
	if err == nil && string(shown) == wanted {
		noted, notedInfo, err := state.ReadFile(d.timestampNote())
		if errors.Is(err, fs.ErrNotExist) { // last processed by the original, or by a former version
			noted, notedInfo, err = shown, info, nil
		}
		if err == nil && string(noted) == wanted && isRecent(notedInfo.ModTime(), periodicity, d.Node.Now()) {
			return true, nil
		}
	}
	if err := d.begun(state); err != nil {
		return false, err
	}
	return false, d.Root.Clear(timestampFile)
}

// begun makes the agent's note if it is missing: from now on the note counts.
func (d *deployment) begun(state *confined.Directory) error {
	if state.Exists(d.timestampNote()) {
		return nil
	}
	return state.Write(d.timestampNote(), nil, confined.AgentFile)
}

// isRecent applies a periodicity in seconds; a negative one never ends.
func isRecent(processed time.Time, periodicity int, now time.Time) bool {
	return periodicity < 0 || now.Sub(processed).Seconds() <= float64(periodicity)
}

func (d *deployment) writeTimestamp() error {
	timestamp, given := d.timestamp()
	if !given {
		return nil
	}
	state, err := d.Node.OpenState()
	if err != nil {
		return err
	}
	defer state.Close()
	if err := d.Root.SyncAll(); err != nil { // what the timestamp vouches for (GRID-107)
		return err
	}
	if err := state.Write(d.timestampNote(), []byte(timestamp), confined.AgentFile); err != nil {
		return err
	}
	return d.Root.Write(timestampFile, []byte(timestamp), confined.AgentFile)
}

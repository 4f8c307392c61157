// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
)

// timestampFile holds the master's timestamp of what was processed last with
// success; when that was is the time of the file.
const timestampFile = ".timestamp"

// timestamp is the master's, unless the partition has to be processed whatever
// it is (GRID-45).
func (t *partition) timestamp() (timestamp string, ok bool) {
	if t.node.Instance.ForceStop && t.wanted.RequestedState == slap.StateStarted {
		return "", false
	}
	return t.wanted.Timestamp()
}

// isUpToDate tells whether there is nothing to process. If there is, the
// timestamp goes first, so that a failure is tried again at every pass.
func (t *partition) isUpToDate() (bool, error) {
	wanted, given := t.timestamp()
	if t.node.Force || !given {
		return false, nil
	}
	periodicity := t.node.periodicity(t.release)
	if periodicity == 0 {
		return false, nil
	}
	processed, info, err := t.root.ReadFile(timestampFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil && string(processed) == wanted && isRecent(info.ModTime(), periodicity, t.node.Now()) {
		return true, nil
	}
	return false, t.root.Clear(timestampFile)
}

// isRecent applies a periodicity in seconds, of which a negative one never
// ends.
func isRecent(processed time.Time, periodicity int, now time.Time) bool {
	return periodicity < 0 || now.Sub(processed).Seconds() <= float64(periodicity)
}

func (t *partition) writeTimestamp() error {
	timestamp, given := t.timestamp()
	if !given {
		return nil
	}
	return t.root.Write(timestampFile, []byte(timestamp), confined.AgentFile)
}

// periodicities of releases, read once in a pass.
type periodicities struct{ known sync.Map }

// periodicity is that of a release, or else the node's (GRID-46).
func (p *node) periodicity(release string) int {
	if release == "" {
		return p.Instance.MaximumPeriodicity
	}
	read, _ := p.periodicities.known.LoadOrStore(release, sync.OnceValue(func() int {
		periodicity, err := readPeriodicity(release)
		if err == nil {
			return periodicity
		}
		if !errors.Is(err, fs.ErrNotExist) {
			p.Logger.Error(fmt.Sprintf("Ignored the periodicity of %s: %v", release, err))
		}
		return p.Instance.MaximumPeriodicity
	}))
	return read.(func() int)()
}

// readPeriodicity removes a file that holds no number.
func readPeriodicity(release string) (int, error) {
	const name = "periodicity"
	root, err := confined.Open(release)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	content, err := root.Read(name)
	if err != nil {
		return 0, err
	}
	periodicity, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s is no whole number", filepath.Join(release, name)), root.Clear(name))
	}
	return periodicity, nil
}

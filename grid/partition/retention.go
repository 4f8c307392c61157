// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
)

// A partition may ask to be kept for some days after the master destroys it.
// The delay is noted at its first installation, the date at the first attempt
// to destroy it (GRID-84). Both are Python's text of a float.
const (
	RetentionDelayFile = ".slapos-retention-lock-delay" // days
	RetentionDateFile  = ".slapos-retention-lock-date"  // seconds since 1970
)

// A retention is the lock of a partition. The partition's user can write the
// files in the partition, so the agent's own notes bound them: a partition is
// never kept longer than noted (GRID-97). That user, and an administrator, can
// give the lock up.
type retention struct {
	root, state *confined.Directory
	id          string
}

func (r *retention) delayNote() string { return r.id + ".retention-delay" }
func (r *retention) dateNote() string  { return r.id + ".retention-date" }

// LockRetention notes how long the partition is kept after its destruction is
// requested. The note belongs to the owner of its Software Release, uid and
// gid.
func (p *Partition) LockRetention(uid, gid int) error {
	return p.withRetention(func(r *retention) error { return r.lock(retentionDelay(p.Filter(), p.Log), uid, gid) })
}

// RetentionOver reports whether the partition may be destroyed now, see
// [Partition.LockRetention].
func (p *Partition) RetentionOver() (over bool, err error) {
	err = p.withRetention(func(r *retention) (err error) {
		over, err = r.over(p.Node.Now())
		return err
	})
	return over, err
}

// ForgetState removes the agent's notes on a destroyed partition, except its
// firewall rules, which stay if they could not be removed from the machine.
func (p *Partition) ForgetState() error {
	return p.withRetention(func(r *retention) error {
		return errors.Join(r.state.Remove(r.delayNote()), r.state.Remove(r.dateNote()), r.state.Remove(p.ID.Partition+".timestamp"))
	})
}

func (p *Partition) withRetention(do func(*retention) error) error {
	state, err := p.Node.OpenState()
	if err != nil {
		return err
	}
	defer state.Close()
	return do(&retention{root: p.Root, state: state, id: p.ID.Partition})
}

// retentionDelay reads the delay that a user asked for, in days.
func retentionDelay(filter slap.Dict, log *slog.Logger) float64 {
	value, given := filter["retention_delay"]
	if !given || value == nil {
		return 0
	}
	days, err := parseFloat(slap.PythonString(value))
	if err != nil {
		log.Warn(fmt.Sprintf("Retention delay value (%.100q) is not valid, ignoring.", slap.PythonString(value)))
		return 0
	}
	return days
}

// parseFloat reads what Python's float() reads, except values that no clock
// reaches.
func parseFloat(text string) (float64, error) {
	number, err := slap.ParsePythonFloat(text)
	if err == nil && (math.IsNaN(number) || math.IsInf(number, 0)) {
		err = errors.New("not a finite number")
	}
	return number, err
}

// lock notes the delay of a partition at its first installation and never
// changes it. The file belongs to the owner of its Software Release, uid and
// gid.
func (r *retention) lock(days float64, uid, gid int) error {
	if !r.state.Exists(r.delayNote()) {
		noted := days
		// Another agent has installed it.
		if shown, present, err := readRetention(r.root, RetentionDelayFile); err == nil && present {
			noted = shown
		}
		if err := r.state.Write(r.delayNote(), []byte(slap.PythonString(noted)), confined.AgentFile); err != nil {
			return fmt.Errorf("note the retention delay: %w", err)
		}
	}
	if r.root.Exists(RetentionDelayFile) {
		return nil
	}
	text := slap.PythonString(days)
	if err := r.root.Write(RetentionDelayFile, []byte(text), confined.Attributes{Mode: 0o644, UID: uid, GID: gid}); err != nil {
		return fmt.Errorf("write %s: %w", RetentionDelayFile, err)
	}
	return nil
}

// over reports whether a partition may be destroyed now. The first call notes
// the date from which it may, in a file of the delay's owner.
func (r *retention) over(now time.Time) (bool, error) {
	if err := r.noteDate(now); err != nil {
		return false, err
	}
	days, hasDelay, err := r.read(RetentionDelayFile, r.delayNote())
	if err != nil {
		return false, err
	}
	date, hasDate, err := r.read(RetentionDateFile, r.dateNote())
	if err != nil {
		return false, err
	}
	if !hasDate && hasDelay && days > 0 {
		date, hasDate = float64(now.Unix())+days*86400, true
		if noted, present, err := readRetention(r.state, r.dateNote()); err == nil && present {
			date = min(date, noted)
		}
		text := []byte(slap.PythonString(date))
		if err := r.state.Write(r.dateNote(), text, confined.AgentFile); err != nil {
			return false, fmt.Errorf("note the retention date: %w", err)
		}
		uid, gid := -1, -1
		if info, err := r.root.Lstat(RetentionDelayFile); err == nil {
			uid, gid = confined.Owner(info)
		}
		if err := r.root.Write(RetentionDateFile, text, confined.Attributes{Mode: 0o644, UID: uid, GID: gid}); err != nil {
			return false, fmt.Errorf("write %s: %w", RetentionDateFile, err)
		}
	}
	return !hasDate || float64(now.UnixNano())/1e9 >= date, nil
}

// noteDate notes the date that the noted delay leads to, before the partition's
// files are looked at: their user may have written one already. A delay of zero
// leads to now.
func (r *retention) noteDate(now time.Time) error {
	days, noted, err := readRetention(r.state, r.delayNote())
	if err != nil || !noted || r.state.Exists(r.dateNote()) {
		return err
	}
	date := slap.PythonString(float64(now.Unix()) + days*86400)
	if err := r.state.Write(r.dateNote(), []byte(date), confined.AgentFile); err != nil {
		return fmt.Errorf("note the retention date: %w", err)
	}
	return nil
}

// read reads a file of the partition, bounded by the agent's note.
func (r *retention) read(name, note string) (number float64, present bool, err error) {
	noted, hasNote, err := readRetention(r.state, note)
	if err != nil {
		return 0, false, err
	}
	number, present, err = readRetention(r.root, name)
	switch {
	case !hasNote:
		return number, present, err
	case err != nil:
		return noted, true, nil
	}
	return min(number, noted), present, nil
}

// readRetention ignores anything but a regular file: the agent makes no others.
func readRetention(root *confined.Directory, name string) (number float64, present bool, err error) {
	if info, err := root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return 0, false, nil
	}
	content, err := root.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err == nil {
		if number, err = parseFloat(string(content)); err != nil {
			err = errors.New("it holds no number") // its content may be somebody else's, so don't quote it
		}
	}
	if err != nil {
		// Better kept too long than lost: somebody may want what is in there.
		return 0, false, fmt.Errorf("retention lock: correct or remove %s: %w", root.Join(name), err)
	}
	return number, true, nil
}

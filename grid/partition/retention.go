// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
)

// A partition may ask to be kept for some days after it was destroyed at the
// master: at its first installation the delay is noted, at the first attempt
// to destroy it the date (GRID-84). Both are Python's text of a float.
const (
	RetentionDelayFile = ".slapos-retention-lock-delay" // days
	RetentionDateFile  = ".slapos-retention-lock-date"  // seconds since 1970
)

// LockRetention notes for how long the partition is kept once it is destroyed. The
// note belongs to the owner of its Software Release, uid and gid.
func (p *Partition) LockRetention(uid, gid int) error {
	return lockRetention(p.Root, retentionDelay(p.Filter(), p.Log), uid, gid)
}

// RetentionOver says whether the partition may be destroyed now, see
// [Partition.LockRetention].
func (p *Partition) RetentionOver() (bool, error) { return retentionOver(p.Root, p.Node.Now()) }

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

// parseFloat reads what Python's float() reads, but for values that no clock
// reaches.
func parseFloat(text string) (float64, error) {
	number, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err == nil && (math.IsNaN(number) || math.IsInf(number, 0)) {
		err = errors.New("not a finite number")
	}
	return number, err
}

// lockRetention notes the delay of a partition at its first installation; it is
// never changed afterwards. The file belongs to the owner of its Software
// Release, uid and gid.
func lockRetention(root *confined.Directory, days float64, uid, gid int) error {
	if root.Exists(RetentionDelayFile) {
		return nil
	}
	text := slap.PythonString(days)
	if err := root.Write(RetentionDelayFile, []byte(text), confined.Attributes{Mode: 0o644, UID: uid, GID: gid}); err != nil {
		return fmt.Errorf("write %s: %w", RetentionDelayFile, err)
	}
	return nil
}

// retentionOver says whether a partition may be destroyed now. The first time
// it is asked it notes the date from which that is so, in a file of the delay's
// owner.
func retentionOver(root *confined.Directory, now time.Time) (bool, error) {
	days, hasDelay, err := readRetention(root, RetentionDelayFile)
	if err != nil {
		return false, err
	}
	date, hasDate, err := readRetention(root, RetentionDateFile)
	if err != nil {
		return false, err
	}
	if !hasDate && hasDelay && days > 0 {
		date, hasDate = float64(now.Unix())+days*86400, true
		info, err := root.Lstat(RetentionDelayFile)
		if err != nil {
			return false, err
		}
		uid, gid := confined.Owner(info)
		if err := root.Write(RetentionDateFile, []byte(slap.PythonString(date)), confined.Attributes{Mode: 0o644, UID: uid, GID: gid}); err != nil {
			return false, fmt.Errorf("write %s: %w", RetentionDateFile, err)
		}
	}
	return !hasDate || float64(now.UnixNano())/1e9 >= date, nil
}

// readRetention takes anything but a regular file for none: no agent made it.
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
			err = errors.New("it holds no number") // what it holds may be somebody else's
		}
	}
	if err != nil {
		// Better kept too long than lost: somebody may want what is in there.
		return 0, false, fmt.Errorf("retention lock: correct or remove %s: %w", root.Join(name), err)
	}
	return number, true, nil
}

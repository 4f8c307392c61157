// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"slapos/promise"
	"slapos/slap"
	"slapos/slap/confined"
)

// A Calendar says what a partition needs if the master wants nothing else.
type Calendar struct {
	// Processed is false while the last wanted state has not been reached: the next
	// pass does everything again.
	Processed bool
	// Again is when a processed partition is to be processed again; zero: never.
	Again time.Time
	// Promises is when one is due; zero: none, or the partition isn't to run.
	Promises time.Time
	// Names are those of the partition, see [Names].
	Names []string
}

// Folders are those of a partition in which files appear that a pass takes notice of:
// promises, then services.
func Folders() (promises, services []string) {
	for _, kind := range promise.Kinds() {
		promises = append(promises, kind.Folder())
	}
	return promises, []string{"etc/run", "etc/service"}
}

// Names are what the folders of a partition have, as "etc/run/web", sorted.
func Names(directory *confined.Directory) ([]string, error) {
	promises, services := Folders()
	names := []string{}
	for _, folder := range slices.Concat(promises, services) {
		entries, err := directory.Entries(folder)
		if err != nil && !confined.IsAbsent(err) {
			return nil, err
		}
		for _, entry := range entries {
			names = append(names, folder+"/"+entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Due reads what a partition needs next, see [Calendar], and calls visit, unless nil,
// with its opened directory. It runs and changes nothing.
func Due(options Options, wanted *slap.Partition, visit func(*confined.Directory)) (Calendar, error) {
	p := newPass(options)
	defer p.close()
	opened, err := p.partitions.Open(wanted, p.node.Logger)
	if err != nil {
		return Calendar{}, err
	}
	d := p.newDeployment(opened)
	defer d.Close()
	if visit != nil {
		visit(d.Root)
	}
	var calendar Calendar
	if calendar.Names, err = Names(d.Root); err != nil {
		return Calendar{}, fmt.Errorf("partition %s: %w", d.ID.Partition, err)
	}
	if err := d.readCalendar(&calendar); err != nil {
		return Calendar{}, fmt.Errorf("partition %s: %w", d.ID.Partition, err)
	}
	if wanted.RequestedState != slap.StateStarted || options.ForceStop {
		return calendar, nil
	}
	checks, err := promise.Due(promise.Options{
		Directory: d.Path, Root: d.Root, PartitionID: d.ID.Partition, Environ: d.environment(), Now: d.Node.Now,
	})
	if err != nil {
		return Calendar{}, err
	}
	calendar.Promises = checks
	return calendar, nil
}

// readCalendar reads the state of the deployment.
func (d *deployment) readCalendar(calendar *Calendar) error {
	timestamp, given := d.timestamp()
	if !given {
		return nil
	}
	shown, info, err := d.Root.ReadFile(timestampFile)
	if errors.Is(err, fs.ErrNotExist) || err == nil && string(shown) != timestamp {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := d.Node.OpenState()
	if err != nil {
		return err
	}
	defer state.Close()
	noted, notedInfo, err := state.ReadFile(d.timestampNote())
	if err == nil && string(noted) == timestamp {
		info = notedInfo
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	calendar.Processed = true
	if periodicity := d.releases.periodicity(d.release); periodicity >= 0 {
		calendar.Again = info.ModTime().Add(time.Duration(min(periodicity, maximumAgain)) * time.Second)
	}
	return nil
}

// maximumAgain bounds a periodicity in seconds, which a release may set, to centuries.
const maximumAgain = 1 << 33

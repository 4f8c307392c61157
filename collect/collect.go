// SPDX-License-Identifier: GPL-3.0-or-later

// Package collect samples what a node and its partitions use, keeps the samples
// in the collector's database, and makes files and reports from them.
//
// [Collector.Pass] takes one sample, usually once a minute: the processes of
// the partitions' users, the machine, the sizes of the partitions' folders. The
// database is slapos.core's, which can continue with it. Then the pass writes
// the files: csv files of the current day, an archive of each completed day,
// consumption reports that node report sends to the master, and the monitor
// files of partitions. It deletes old rows that were reported.
//
// [OpenHistory] reads the database for people: [History.Read] sums up samples,
// [Plot] draws the result.
//
// Partitions belong to users who may try to harm the collector, which is root.
// It never follows anything below a partition out of it, see folder.go and
// monitor.go.
package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Partition is a partition as the collector sees it.
type Partition struct {
	User string // whose processes are the partition's
	Path string // its directory
}

// ID is the partition's reference: slappart3.
func (p Partition) ID() string { return filepath.Base(p.Path) }

// Options configure a [Collector]. Fields after Logger are optional.
type Options struct {
	ComputerID   string
	InstanceRoot string
	Partitions   []Partition
	KeepDays     int // in the database, today included
	Folders      Folders
	Heating      Heating
	Sensors      string                        // the program sensors; "": the kernel's own list
	Slice        func(partition string) string // directory of a partition's control group; may be nil
	Textfile     string                        // directory for node_exporter; "": none
	Counters     string                        // file that keeps the counters of the last pass; "": none
	Logger       *slog.Logger

	Now      func() time.Time // default time.Now
	Interval time.Duration    // between two reads of counters, if there was no recent pass; default 2 s
	Proc     string           // default /proc
	Sys      string           // default /sys
	Etc      string           // default /etc
}

// Folders says how the sizes of partitions are measured.
type Folders struct {
	Measure      bool
	Cycle        time.Duration // between two measurements of a partition; 0: each pass
	PIDDirectory string        // must exist
}

// ErrAccess is returned if processes of other users can't be read.
var ErrAccess = errors.New("processes of other users can't be read")

// A Collector takes samples.
type Collector struct {
	Options
}

// New returns a collector and fills in the defaults.
func New(options Options) *Collector {
	if options.Now == nil {
		options.Now = time.Now
	}
	// The kernel counts in hundredths of a second: 2 s resolve half a percent
	// of one processor.
	options.Interval = cmp.Or(options.Interval, 2*time.Second)
	options.Proc = cmp.Or(options.Proc, "/proc")
	options.Sys = cmp.Or(options.Sys, "/sys")
	options.Etc = cmp.Or(options.Etc, "/etc")
	return &Collector{Options: options}
}

// DatabasePath returns the path of a node's database.
func DatabasePath(instanceRoot string) string {
	return filepath.Join(instanceRoot, "var/data-log/collector.db")
}

func (c *Collector) logDirectory() string { return filepath.Join(c.InstanceRoot, "var/data-log") }

// reportDirectories returns the directory of all reports and the one of reports
// to send.
func (c *Collector) reportDirectories() (kept, outgoing string) {
	return filepath.Join(c.InstanceRoot, "var/consumption-report"), filepath.Join(c.InstanceRoot, "var/xml_report", c.ComputerID)
}

// Pass takes one sample and writes all files. It returns [ErrAccess] before
// anything is stored; after any other error the database has what was collected
// so far, and the next pass continues.
func (c *Collector) Pass(ctx context.Context) error {
	c.Logger.Info("Collecting data...")
	stamp := stampOf(c.Now()) // COL-5: one time for all rows
	sample, err := c.takeSample(ctx)
	if err != nil {
		return err
	}
	if err := c.makeDirectories(); err != nil {
		return err
	}
	store, err := openStore(ctx, DatabasePath(c.InstanceRoot))
	if err != nil {
		return err
	}
	err = c.passWith(ctx, store, stamp, sample)
	if err = errors.Join(err, store.close()); err != nil {
		return err
	}
	c.Logger.Info("Finished collecting.")
	c.Logger.Info(strings.Repeat("=", 80))
	return nil
}

func (c *Collector) passWith(ctx context.Context, store *store, stamp stamp, sample *sample) error {
	c.Logger.Info("Inserting computer information into database...")
	machine, err := c.readMachine(ctx, sample)
	if err != nil {
		return err
	}
	heating, err := c.testHeating(ctx, store)
	if err != nil {
		return err
	}
	slices := c.readSlices()
	err = store.transaction(ctx, func(t *transaction) error {
		return errors.Join(t.insertMachine(stamp, machine), t.insertHeating(stamp, c.Heating, heating),
			t.insertProcesses(stamp, sample.processes, machine), t.insertSlices(stamp, slices))
	})
	if err != nil {
		return err
	}
	c.Logger.Info("Done.")
	c.Logger.Info("Inserting user information into database...")
	if err := c.measureFolders(ctx, store, stamp); err != nil {
		return err
	}
	c.Logger.Info("Done.")
	c.Logger.Info("Writing csv, XML and JSON files...")
	if err := c.writeFiles(ctx, store, stamp); err != nil {
		return err
	}
	c.Logger.Info("Done.")
	if c.Textfile != "" {
		return c.writeTextfile(ctx, store, machine, sample.processes, slices)
	}
	return nil
}

type fileWriter func(context.Context, *store, stamp) error

// writeFiles is COL-14. Simultaneous passes write one after the other.
func (c *Collector) writeFiles(ctx context.Context, store *store, stamp stamp) error {
	unlock, err := lock(ctx, c.logDirectory(), lockPatience, c.Logger)
	if err != nil {
		return err
	}
	defer unlock()
	for _, write := range []fileWriter{c.writeDayTables, c.archiveDays, c.writeConsumption, c.writeMonitors} {
		if err := write(ctx, store, stamp); err != nil {
			return err
		}
	}
	return store.collectGarbage(ctx, c.Now().UTC(), c.KeepDays)
}

// makeDirectories is COL-9.
func (c *Collector) makeDirectories() error {
	kept, outgoing := c.reportDirectories()
	for _, directory := range []string{c.logDirectory(), kept, outgoing} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	return os.Chmod(c.logDirectory(), 0o755)
}

// A stamp is a time as rows have it, in UTC.
type stamp struct{ date, time string }

const (
	dateLayout = "2006-01-02"
	timeLayout = "15:04:05"
)

func stampOf(moment time.Time) stamp {
	moment = moment.UTC()
	return stamp{date: moment.Format(dateLayout), time: moment.Format(timeLayout)}
}

// stampTime returns the time of a row; it fails if that isn't valid.
func stampTime(date, clock string) (time.Time, error) {
	moment, err := time.Parse(dateLayout+" "+timeLayout, date+" "+clock)
	if err != nil {
		return moment, fmt.Errorf("row of %q %q: not a date and time", date, clock)
	}
	return moment, nil
}

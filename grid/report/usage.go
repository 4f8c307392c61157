// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"path/filepath"
	"slices"

	"slapos/grid/partition"
	"slapos/slap"
	"slapos/slap/confined"
)

// usageDirectory holds usage reports, in a partition and, by partition or
// computer, in the instance root.
const usageDirectory = "var/xml_report"

// collectedUsage is what one partition used, and the files that say so. They
// are deleted once the master has it: the next run sends what couldn't be sent.
type collectedUsage struct {
	partition *partition.Partition
	movements []usageMovement
	files     []usageFile
	unsent    bool  // the master may accept it next time
	refused   error // the master will never accept it
}

type usageFile struct {
	root *confined.Directory
	name string
}

// collect reads the valid reports of the partition: those in its own directory
// and the machine's reports on it. It leaves the others.
func (u *collectedUsage) collect(shared *confined.Directory) error {
	left := reportBytes
	ours, err := u.collectFrom(u.partition.Root, usageDirectory, &left)
	if shared != nil {
		theirs, sharedErr := u.collectFrom(shared, u.partition.ID.Partition, &left)
		ours, err = append(ours, theirs...), errors.Join(err, sharedErr)
	}
	u.files = ours
	return err
}

func (u *collectedUsage) collectFrom(root *confined.Directory, directory string, left *int) ([]usageFile, error) {
	names, err := fileNames(root, directory)
	var files []usageFile
	for _, name := range names {
		file := usageFile{root, path.Join(directory, name)}
		content, err := root.Read(file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if *left -= len(content); *left < 0 {
			u.partition.Log.Warn("Usage reports in " + root.Join(directory) + " are too large: the rest waits for the next run")
			break
		}
		var movements []usageMovement
		if err == nil {
			movements, err = parsePartitionUsage(content)
		}
		if err != nil {
			u.partition.Log.Info(fmt.Sprintf("The XML file %s is not a valid usage report and stays where it is", root.Join(file.name)), slog.Any("error", err))
			continue
		}
		u.movements = append(u.movements, movements...)
		files = append(files, file)
	}
	return files, err
}

// forget deletes the files that were sent.
func (u *collectedUsage) forget() {
	for _, file := range u.files {
		if err := file.root.Remove(file.name); err != nil {
			u.partition.Log.Error("Cannot delete a usage report that was sent: " + err.Error())
		}
	}
	u.files = nil
}

// openSharedUsage opens the reports outside partitions; it returns nil if the
// directory doesn't exist.
func (r *report) openSharedUsage() (*confined.Directory, error) {
	root, err := confined.Open(filepath.Join(r.node.InstanceRoot, usageDirectory))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return root, err
}

// sendComputerUsage sends the reports on the computer unchanged.
func (r *report) sendComputerUsage(ctx context.Context, shared *confined.Directory) error {
	if shared == nil {
		return nil
	}
	names, err := fileNames(shared, r.node.ComputerID)
	for _, name := range names {
		name = path.Join(r.node.ComputerID, name)
		content, readErr := shared.Read(name)
		if readErr == nil {
			readErr = validateComputerUsage(content)
		}
		if readErr != nil {
			r.node.Logger.Info(fmt.Sprintf("The XML file %s is not a valid usage report and stays where it is", shared.Join(name)), slog.Any("error", readErr))
			continue
		}
		if sendErr := r.node.Master.UseComputer(ctx, r.node.ComputerID, string(content)); sendErr != nil {
			err = errors.Join(err, fmt.Errorf("send usage report %s: %w", name, sendErr))
			continue
		}
		err = errors.Join(err, shared.Remove(name))
	}
	return err
}

// sendUsage sends the usage of all partitions as one report. If the master
// refuses it, each partition's is sent alone, so that one can't hold up others:
// files of a refused partition stay, like invalid reports. It returns any other
// failure, after which the unsent usage waits for the next run.
func (r *report) sendUsage(ctx context.Context, collected []*collectedUsage) error {
	collected = slices.DeleteFunc(slices.Clone(collected), func(u *collectedUsage) bool { return len(u.files) == 0 })
	if len(collected) == 0 {
		return nil
	}
	err := r.sendAggregate(ctx, collected)
	switch {
	case err == nil:
		return nil
	case isRefused(err) && len(collected) == 1:
		collected[0].refused = fmt.Errorf("Cannot report usage for '%s': %w", collected[0].partition.ID.Partition, err)
		return nil
	case isRefused(err):
		var failure error
		for i := range collected {
			failure = cmp.Or(failure, r.sendUsage(ctx, collected[i:i+1]))
		}
		return failure
	}
	for _, u := range collected {
		u.unsent = true
	}
	return fmt.Errorf("Cannot report usage: %w", err)
}

func (r *report) sendAggregate(ctx context.Context, collected []*collectedUsage) error {
	var reports []partitionUsage
	for _, u := range collected {
		reports = append(reports, partitionUsage{u.partition.ID.Partition, u.movements})
	}
	report := aggregateUsage(r.node.ComputerID, reports, r.node.Now())
	r.node.Logger.Debug("Final xml report: " + report)
	if err := validateComputerUsage([]byte(report)); err != nil {
		return err
	}
	if err := r.node.Master.UseComputer(ctx, r.node.ComputerID, report); err != nil {
		return err
	}
	for _, u := range collected {
		u.forget()
	}
	return nil
}

// isRefused reports whether the master would give the same answer again.
func isRefused(err error) bool {
	var answer *slap.HTTPError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}

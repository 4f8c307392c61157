// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"slapos/slap/confined"
)

// preRemove runs the scripts of etc/prerm of a destroyed partition, under the
// supervisor, before its files are removed. The report pass waits for those
// named in the file it leaves (MGR-42).
type preRemove struct {
	hooks
	log *slog.Logger
}

const (
	preRemoveGroup = "prerm"
	// WaitList names the processes, GROUP:PROGRAM one per line, that must have
	// ended before the partition is destroyed.
	WaitList = ".slapos-report-wait-service-list"
)

func newPreRemove(config Config) Manager { return &preRemove{log: config.Logger} }

func (*preRemove) Name() string { return "prerm" }

func (m *preRemove) Report(ctx context.Context, partition *Partition) error {
	if partition.Retention != nil {
		if destroyable, err := partition.Retention(ctx); err != nil || !destroyable {
			return err
		}
	}
	programs, err := preRemovePrograms(partition)
	if err != nil || len(programs) == 0 {
		return err
	}
	m.log.Info("Adding pre-delete scripts to supervisord...")
	err = startGroup(ctx, partition.Supervisor, preRemoveGroup, programs, func(program string) {
		m.log.Info(fmt.Sprintf("Starting pre-delete process '%s'...", program))
	})
	if err != nil {
		return err
	}
	directory, end, err := partition.directory()
	if err != nil {
		return err
	}
	defer end()
	var waitFor strings.Builder
	for _, program := range programs {
		fmt.Fprintf(&waitFor, "%s-%s:%s\n", partition.ID, preRemoveGroup, program.Name)
	}
	return directory.Write(WaitList, []byte(waitFor.String()), confined.AgentFile)
}

// preRemovePrograms is one program for each file in etc/prerm, links followed:
// they usually lead into the software release.
func preRemovePrograms(partition *Partition) ([]Program, error) {
	directory := filepath.Join(partition.Path, "etc", "prerm")
	entries, err := os.ReadDir(directory)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var programs []Program
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		if information, err := os.Stat(path); err == nil && information.Mode().IsRegular() {
			programs = append(programs, Program{Name: entry.Name(), Command: path, UID: partition.UID, GID: partition.GID})
		}
	}
	return programs, nil
}

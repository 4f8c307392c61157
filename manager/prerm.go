// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"slapos/slap/confined"
)

// preRemove runs the scripts in etc/prerm of a destroyed partition, under the
// supervisor, before its files are removed. The report pass waits for the
// processes listed in a file that it leaves (MGR-42).
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
	programs, err := preRemovePrograms(partition, m.log)
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

// preRemovePrograms returns a program for each file in etc/prerm. It follows
// links, which usually lead into the software release, but with the rights of
// the partition's user: files that the user can't see aren't shown to that
// user, and delay nothing (MGR-44).
func preRemovePrograms(partition *Partition, log *slog.Logger) (programs []Program, err error) {
	rights, err := confined.TakeRights(partition.UID, partition.GID, nil)
	if err != nil {
		return nil, err
	}
	defer rights.Close()
	directory := filepath.Join(partition.Path, "etc", "prerm")
	_ = rights.Do(func() error {
		names, err := preRemoveNames(directory)
		if err != nil && !os.IsNotExist(err) {
			log.Warn(fmt.Sprintf("Ignored pre-delete scripts: %v", err))
		}
		for _, name := range names {
			path := filepath.Join(directory, name)
			if information, err := os.Stat(path); err == nil && information.Mode().IsRegular() {
				programs = append(programs, Program{Name: name, Command: path, UID: partition.UID, GID: partition.GID})
			}
		}
		return nil
	})
	return programs, nil
}

func preRemoveNames(directory string) ([]string, error) {
	opened, err := os.OpenFile(directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	names, err := opened.Readdirnames(confined.MaxEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err // in the directory's order, as the original: another one would be another group to its supervisor
}

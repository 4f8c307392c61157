// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
)

// devPerm gives a partition's user the block devices that are requested in
// .slapos-disk-permission, a JSON list of objects {"disk": PATH}. It never
// takes ownership back (MGR-23).
type devPerm struct {
	hooks
	log    *slog.Logger
	system System
	// allowed are the only devices that may be given; nil allows any (MGR-21).
	allowed []string
}

const diskRequest = ".slapos-disk-permission"

func newDevPerm(config Config) Manager {
	m := &devPerm{log: config.Logger, system: config.System}
	if value, limited := config.Managers["devperm"]["allowed-disk-for-vm"]; limited {
		m.allowed = []string{}
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); line != "" {
				m.allowed = append(m.allowed, line)
			}
		}
	}
	return m
}

func (*devPerm) Name() string { return "devperm" }

// Instance does the same as InstanceTearDown (MGR-20).
func (m *devPerm) Instance(ctx context.Context, partition *Partition) error {
	return m.InstanceTearDown(ctx, partition)
}

func (m *devPerm) InstanceTearDown(ctx context.Context, partition *Partition) error {
	request, found, err := partition.request(diskRequest)
	if err != nil || !found {
		return err
	}
	var entries []struct {
		Disk *string `json:"disk"`
	}
	if err := json.Unmarshal(request, &entries); err != nil {
		m.log.Warn("Bad disk configuration file", "partition", partition.ID, "error", err)
		return nil
	}
	devices := m.blockDevices(ctx)
	var failures []error
	for _, entry := range entries {
		if entry.Disk == nil {
			m.log.Warn("disk request without a disk", "partition", partition.ID)
			continue
		}
		failures = append(failures, m.give(partition, *entry.Disk, devices))
	}
	return errors.Join(failures...)
}

// give transfers one device; refusals are warnings.
func (m *devPerm) give(partition *Partition, wanted string, devices []string) error {
	log := m.log.With("partition", partition.ID, "disk", wanted)
	// The check below uses the real path, so a link cannot get around it.
	disk, err := filepath.EvalSymlinks(wanted)
	if err != nil {
		log.Warn("disk cannot be resolved", "error", err)
		return nil
	}
	if m.allowed != nil && !slices.Contains(m.allowed, disk) {
		log.Warn("disk is not in the list of allowed disks", "path", disk, "allowed", m.allowed)
		return nil
	}
	if !slices.Contains(devices, disk) {
		log.Warn("disk is not a block device known to lsblk", "path", disk)
		return nil
	}
	uid, err := m.system.Owner(disk)
	if err != nil {
		return fmt.Errorf("read owner of disk: %w", err)
	}
	if uid == partition.UID {
		return nil
	}
	gid, err := m.system.GroupID("disk")
	if err != nil {
		return fmt.Errorf("give %s to %s: %w", disk, partition.User, err)
	}
	m.log.Warn(fmt.Sprintf("Transfer ownership of %s to %s", disk, partition.User))
	return m.system.Chown(disk, partition.UID, gid)
}

// blockDevices lists the paths of disks and of their partitions (MGR-22).
func (m *devPerm) blockDevices(ctx context.Context) []string {
	output, err := m.system.Run(ctx, "lsblk", "--json", "--output-all")
	if err != nil {
		m.log.Info("lsblk call failed", "error", err)
		return nil
	}
	paths, err := parseBlockDevices(output)
	if err != nil {
		m.log.Info("lsblk output not supported", "error", err)
	}
	return paths
}

func parseBlockDevices(output []byte) ([]string, error) {
	type device struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	var listing struct {
		Devices []struct {
			device
			Children []device `json:"children"`
		} `json:"blockdevices"`
	}
	if err := json.Unmarshal(output, &listing); err != nil {
		return nil, err
	}
	if listing.Devices == nil {
		return nil, errors.New("no list of block devices")
	}
	var paths []string
	for _, disk := range listing.Devices {
		if disk.Type == "disk" && disk.Path != "" {
			paths = append(paths, disk.Path)
		}
		for _, part := range disk.Children {
			if part.Type == "part" && part.Path != "" {
				paths = append(paths, part.Path)
			}
		}
	}
	return paths, nil
}

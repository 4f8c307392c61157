// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/grid"
	"slapos/grid/firewall"
	"slapos/grid/supervisor"
	"slapos/manager"
)

// gridOptions turns the merged options into those of package grid, with the
// defaults of GRID-5.
func (e *environment) gridOptions(merged map[string]string, file *pytext.Configuration) (grid.Options, error) {
	options := grid.Options{
		ComputerID: merged["computer_id"], MasterURL: merged["master_url"],
		CertificateRepository: merged["certificate_repository_path"],
		Logger:                e.log, Hide: hideSecrets, Environment: e.environ,
		Python: e.expandUser(merged["python"]), Buildout: merged["buildout"],
		SharedParts: lines(merged["shared_part_list"]), BuildTimeParts: lines(merged["build_time_part_list"]),
		Now: e.now,
	}
	options.Instance.IPv4GlobalNetwork = merged["ipv4_global_network"]
	for _, fill := range []func(map[string]string, *pytext.Configuration, *grid.Options) error{
		e.fillPlaces, fillNumbers, fillSwitches, fillFirewall, e.fillManagers, e.fillNetworkCache, e.fillSupervisor,
	} {
		if err := fill(merged, file, &options); err != nil {
			return grid.Options{}, err
		}
	}
	var err error
	options.Master, err = e.openNodeMaster(merged)
	return options, err
}

func (e *environment) fillPlaces(merged map[string]string, _ *pytext.Configuration, options *grid.Options) error {
	for _, place := range []struct {
		name   string
		target *string
	}{
		{"software_root", &options.SoftwareRoot},
		{"instance_root", &options.InstanceRoot},
		{"instance_storage_home", &options.Instance.StorageHome},
	} {
		if merged[place.name] == "" {
			continue
		}
		path, err := filepath.Abs(merged[place.name])
		if err != nil {
			return fmt.Errorf("%s: %w", place.name, err)
		}
		*place.target = path
	}
	return nil
}

func fillNumbers(merged map[string]string, _ *pytext.Configuration, options *grid.Options) error {
	var err error
	if options.Jobs, err = wholeOption(merged, "jobs", runtime.NumCPU()); err != nil {
		return err
	}
	if options.Instance.MaximumPeriodicity, err = wholeOption(merged, "maximum_periodicity", grid.DefaultMaximumPeriodicity); err != nil {
		return err
	}
	if options.Instance.PromiseTimeout, err = secondsOption(merged, grid.DefaultPromiseTimeout, "promise_timeout"); err != nil {
		return err
	}
	if options.Instance.PartitionTimeout, err = secondsOption(merged, 0, "partition_timeout", "partition-timeout"); err != nil {
		return err
	}
	if options.Software.MinFreeSpace, err = sizeOption(merged, "software_min_free_space", grid.DefaultMinFreeSpace); err != nil {
		return err
	}
	options.Instance.MinFreeSpace, err = sizeOption(merged, "instance_min_free_space", grid.DefaultMinFreeSpace)
	return err
}

func fillSwitches(merged map[string]string, _ *pytext.Configuration, options *grid.Options) error {
	var err error
	if options.Supervisor.LaunchForbidden, err = isTrue(merged, "forbid_supervisord_automatic_launch"); err != nil {
		return err
	}
	if merged["develop"] != "" { // an empty text is no, as for the original
		options.Force, err = isTrue(merged, "develop") // GRID-4
	}
	return err
}

func fillFirewall(_ map[string]string, file *pytext.Configuration, options *grid.Options) error {
	section, err := file.Section("firewall")
	if err != nil || section == nil {
		return err
	}
	options.Firewall = &firewall.Options{
		Command:           textOption(section, "firewall_cmd", firewall.DefaultCommand),
		ReloadCommand:     textOption(section, "reload_config_cmd", firewall.DefaultReloadCommand),
		AuthorizedSources: lines(section["authorized_sources"]),
		Executable:        section["firewall_executable"],
		LogFile:           textOption(section, "log_file", firewall.DefaultLogFile),
		DBusExecutable:    section["dbus_executable"],
		DBusLogFile:       textOption(section, "dbus_log_file", firewall.DefaultDBusLogFile),
		Testing:           looseOption(section, "testing", false, true), // any text is true for the original
	}
	return nil
}

// checkFirewall is for the passes that change rules.
func checkFirewall(options *grid.Options) error {
	if options.Firewall != nil && options.Firewall.Command == "" {
		return &valueError{key: "firewall_cmd", want: "must be a program", without: "it is " + firewall.DefaultCommand}
	}
	return nil
}

// fillManagers makes the managers, with sections [manager:NAME] under NAME
// (MGR-2).
func (e *environment) fillManagers(merged map[string]string, file *pytext.Configuration, options *grid.Options) error {
	config := manager.Config{Options: merged, Managers: map[string]map[string]string{}, Logger: e.log}
	var err error
	if config.Firewall, err = file.Section("firewall"); err != nil {
		return err
	}
	for _, name := range file.Sections() {
		if rest, found := strings.CutPrefix(name, "manager"); found && rest != "" {
			if config.Managers[rest[1:]], err = file.Section(name); err != nil {
				return err
			}
		}
	}
	options.Managers, err = manager.New(manager.ParseList(merged["manager_list"]), config)
	return err
}

// fillNetworkCache reads the options of NC-1 that grid passes use.
func (e *environment) fillNetworkCache(merged map[string]string, _ *pytext.Configuration, options *grid.Options) error {
	software := &options.Software
	software.BuildoutNetworkCache = merged
	if key := e.signatureKeyFile(merged); key != "" {
		software.BuildoutNetworkCache["signature-private-key-file"] = key
	}
	// An empty list of the new name is none, as for the original.
	blacklist := cmp.Or(merged["download-from-binary-cache-url-blacklist"], merged["binary-cache-url-blacklist"])
	software.DownloadBlacklist = lines(blacklist)
	software.UploadBlacklist = lines(merged["upload-to-binary-cache-url-blacklist"])
	software.DownloadForced = lines(merged["download-from-binary-cache-force-url-list"])
	software.UploadTries, software.UploadDelay = grid.DefaultUploadTries, grid.DefaultUploadDelay
	software.Cache, software.Upload = e.releaseCache(merged, software.MinFreeSpace)
	return nil
}

func (e *environment) fillSupervisor(merged map[string]string, _ *pytext.Configuration, options *grid.Options) error {
	insecure, err := isTrue(merged, "master_insecure")
	options.Supervisor.Executable = e.executable
	options.Supervisor.WatchdogCommand = supervisor.Watchdog{
		Executable: e.executable, MasterURL: merged["master_url"], ComputerID: merged["computer_id"],
		CertificateRepository: merged["certificate_repository_path"], InstanceRoot: options.InstanceRoot,
		CAFile: merged["master_ca_file"], Insecure: insecure,
	}.Command()
	return err
}

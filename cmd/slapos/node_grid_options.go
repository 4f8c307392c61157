// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"slapos/grid"
	"slapos/grid/supervisor"
	"slapos/manager"
	"slapos/promise"
)

// gridOptions turns the merged options into those of package grid, with the
// defaults of GRID-5.
func (e *environment) gridOptions(merged map[string]string, file *configuration) (grid.Options, error) {
	options := grid.Options{
		ComputerID: merged["computer_id"], MasterURL: merged["master_url"],
		CertificateRepository: merged["certificate_repository_path"],
		Logger:                e.log, Environment: e.environ,
		Python: e.expandUser(merged["python"]), Buildout: merged["buildout"],
		SharedParts: lines(merged["shared_part_list"]), BuildTimeParts: lines(merged["build_time_part_list"]),
		Now: e.now,
	}
	options.Instance.IPv4GlobalNetwork = merged["ipv4_global_network"]
	for _, fill := range []func(map[string]string, *configuration, *grid.Options) error{
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

func (e *environment) fillPlaces(merged map[string]string, _ *configuration, options *grid.Options) error {
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

func fillNumbers(merged map[string]string, _ *configuration, options *grid.Options) error {
	var err error
	if options.Jobs, err = numberOption(merged, runtime.NumCPU(), "jobs"); err != nil {
		return err
	}
	if options.Jobs < 1 {
		return fmt.Errorf("jobs must be 1 or more, not %d", options.Jobs)
	}
	if options.Instance.MaximumPeriodicity, err = numberOption(merged, grid.DefaultMaximumPeriodicity, "maximum_periodicity"); err != nil {
		return err
	}
	if options.Instance.PromiseTimeout, err = secondsOption(merged, grid.DefaultPromiseTimeout, "promise_timeout"); err != nil {
		return err
	}
	if options.Instance.PromiseTimeout == 0 { // D-26: written so
		options.Instance.PromiseTimeout = promise.NoTimeout
	}
	if options.Instance.PartitionTimeout, err = secondsOption(merged, 0, "partition_timeout", "partition-timeout"); err != nil {
		return err
	}
	for name, target := range map[string]*int64{
		"software_min_free_space": &options.Software.MinFreeSpace,
		"instance_min_free_space": &options.Instance.MinFreeSpace,
	} {
		text, given := merged[name]
		if !given {
			*target = grid.DefaultMinFreeSpace
			continue
		}
		if *target, err = grid.ParseSize(text); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func fillSwitches(merged map[string]string, _ *configuration, options *grid.Options) error {
	var err error
	if options.Supervisor.LaunchForbidden, err = isTrue(merged, "forbid_supervisord_automatic_launch"); err != nil {
		return err
	}
	options.Force, err = isTrue(merged, "develop") // GRID-4
	return err
}

func fillFirewall(_ map[string]string, file *configuration, options *grid.Options) error {
	section, err := file.Section("firewall")
	if err != nil || section == nil {
		return err
	}
	isTesting, ok := parseBoolean(section["testing"])
	if !ok {
		isTesting = section["testing"] != "" // any other text is true, as for the original
	}
	options.Firewall = &grid.FirewallOptions{
		Command: section["firewall_cmd"], ReloadCommand: section["reload_config_cmd"],
		AuthorizedSources: lines(section["authorized_sources"]),
		Executable:        section["firewall_executable"], DBusExecutable: section["dbus_executable"],
		LogFile: section["log_file"], DBusLogFile: section["dbus_log_file"],
		Testing: isTesting,
	}
	return nil
}

// fillManagers makes the managers, with sections [manager:NAME] under NAME
// (MGR-2).
func (e *environment) fillManagers(merged map[string]string, file *configuration, options *grid.Options) error {
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
func (e *environment) fillNetworkCache(merged map[string]string, _ *configuration, options *grid.Options) error {
	software := &options.Software
	software.BuildoutNetworkCache = merged
	if key := e.signatureKeyFile(merged); key != "" {
		software.BuildoutNetworkCache["signature-private-key-file"] = key
	}
	blacklist := cmp.Or(merged["download-from-binary-cache-url-blacklist"], merged["binary-cache-url-blacklist"])
	software.DownloadBlacklist = lines(blacklist)
	software.UploadBlacklist = lines(merged["upload-to-binary-cache-url-blacklist"])
	software.DownloadForced = lines(merged["download-from-binary-cache-force-url-list"])
	software.Cache, software.Upload = e.releaseCache(merged, software.MinFreeSpace)
	return nil
}

func (e *environment) fillSupervisor(merged map[string]string, _ *configuration, options *grid.Options) error {
	insecure, err := isTrue(merged, "master_insecure")
	options.Supervisor.Executable = e.executable
	options.Supervisor.WatchdogCommand = supervisor.Watchdog{
		Executable: e.executable, MasterURL: merged["master_url"], ComputerID: merged["computer_id"],
		CertificateRepository: merged["certificate_repository_path"], InstanceRoot: options.InstanceRoot,
		CAFile: merged["master_ca_file"], Insecure: insecure,
	}.Command()
	return err
}

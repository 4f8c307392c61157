// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/firewall"
	"slapos/grid/instance"
	"slapos/grid/pass"
	"slapos/grid/report"
	"slapos/grid/software"
	"slapos/grid/supervision"
	"slapos/grid/supervisor"
	"slapos/manager"
)

// gridOptions are those of all passes. What passes share is here once, in Node and
// Supervisor, and goes to the pass that runs.
type gridOptions struct {
	Node       pass.Node
	Supervisor supervision.Options
	Software   software.Options
	Instance   instance.Options
}

func (o *gridOptions) forSoftware() software.Options {
	options := o.Software
	options.Node, options.Supervisor = o.Node, o.Supervisor
	return options
}

func (o *gridOptions) forInstance() instance.Options {
	options := o.Instance
	options.Node, options.Supervisor = o.Node, o.Supervisor
	return options
}

func (o *gridOptions) forReport() report.Options {
	return report.Options{
		Node: o.Node, Supervisor: o.Supervisor,
		CertificateRepository: o.Instance.CertificateRepository, StorageHome: o.Instance.StorageHome,
	}
}

// gridOptions turns the merged options into those of the passes, with the
// defaults of GRID-5.
func (e *environment) gridOptions(merged map[string]string, file *pytext.Configuration) (gridOptions, error) {
	var options gridOptions
	options.Node = pass.Node{
		ComputerID: merged["computer_id"], MasterURL: merged["master_url"],
		Logger: e.log, Hide: hideSecrets, Environment: e.environ,
		Python: e.expandUser(merged["python"]), Buildout: merged["buildout"],
		SharedParts: pass.Lines(merged["shared_part_list"]), BuildTimeParts: pass.Lines(merged["build_time_part_list"]),
		Now: e.now,
	}
	options.Instance.CertificateRepository = merged["certificate_repository_path"]
	options.Instance.IPv4GlobalNetwork = merged["ipv4_global_network"]
	for _, fill := range []func(map[string]string, *pytext.Configuration, *gridOptions) error{
		e.fillPlaces, fillNumbers, fillSwitches, fillFirewall, e.fillManagers, e.fillNetworkCache, e.fillSupervisor,
	} {
		if err := fill(merged, file, &options); err != nil {
			return gridOptions{}, err
		}
	}
	var err error
	options.Node.Master, err = e.openNodeMaster(merged, masterOrigin(file, merged["master_url"]))
	return options, err
}

func (e *environment) fillPlaces(merged map[string]string, _ *pytext.Configuration, options *gridOptions) error {
	for _, place := range []struct {
		name   string
		target *string
	}{
		{"software_root", &options.Node.SoftwareRoot},
		{"instance_root", &options.Node.InstanceRoot},
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

func fillNumbers(merged map[string]string, _ *pytext.Configuration, options *gridOptions) error {
	var err error
	if options.Node.Jobs, err = wholeOption(merged, "jobs", runtime.NumCPU()); err != nil {
		return err
	}
	if options.Instance.MaximumPeriodicity, err = wholeOption(merged, "maximum_periodicity", instance.DefaultMaximumPeriodicity); err != nil {
		return err
	}
	if options.Instance.PromiseTimeout, err = secondsOption(merged, instance.DefaultPromiseTimeout, "promise_timeout"); err != nil {
		return err
	}
	if options.Instance.PartitionTimeout, err = secondsOption(merged, 0, "partition_timeout", "partition-timeout"); err != nil {
		return err
	}
	if options.Software.MinFreeSpace, err = sizeOption(merged, "software_min_free_space", pass.DefaultMinFreeSpace); err != nil {
		return err
	}
	options.Instance.MinFreeSpace, err = sizeOption(merged, "instance_min_free_space", pass.DefaultMinFreeSpace)
	return err
}

func fillSwitches(merged map[string]string, _ *pytext.Configuration, options *gridOptions) error {
	var err error
	if options.Supervisor.LaunchForbidden, err = isTrue(merged, "forbid_supervisord_automatic_launch"); err != nil {
		return err
	}
	if merged["develop"] != "" { // an empty text is no, as for the original
		options.Node.Force, err = isTrue(merged, "develop") // GRID-4
	}
	return err
}

func fillFirewall(_ map[string]string, file *pytext.Configuration, options *gridOptions) error {
	section, err := file.Section("firewall")
	if err != nil || section == nil {
		return err
	}
	options.Instance.Firewall = &firewall.Options{
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
func checkFirewall(options *gridOptions) error {
	if options.Instance.Firewall != nil && options.Instance.Firewall.Command == "" {
		return &valueError{key: "firewall_cmd", want: "must be a program", without: "it is " + firewall.DefaultCommand}
	}
	return nil
}

// fillManagers makes the managers, with sections [manager:NAME] under NAME
// (MGR-2).
func (e *environment) fillManagers(merged map[string]string, file *pytext.Configuration, options *gridOptions) error {
	config := manager.Config{Options: merged, Managers: map[string]map[string]string{}, Logger: e.log}
	var err error
	if config.Firewall, err = file.Section("firewall"); err != nil {
		return err
	}
	if len(config.Firewall) > 0 {
		config.Firewall["firewall_cmd"] = textOption(config.Firewall, "firewall_cmd", firewall.DefaultCommand)
	}
	for _, name := range file.Sections() {
		if rest, found := strings.CutPrefix(name, "manager"); found && rest != "" {
			if config.Managers[rest[1:]], err = file.Section(name); err != nil {
				return err
			}
		}
	}
	options.Node.Managers, err = manager.New(manager.ParseList(merged["manager_list"]), config)
	return err
}

// fillNetworkCache reads the options of NC-1 that grid passes use.
func (e *environment) fillNetworkCache(merged map[string]string, _ *pytext.Configuration, options *gridOptions) error {
	o := &options.Software
	o.BuildoutNetworkCache = merged
	key, passphrase := e.signatureKeyFile(merged)
	if passphrase != "" { // buildout would ask for it, and nobody answers
		o.BuildoutNetworkCache = maps.Clone(merged)
		delete(o.BuildoutNetworkCache, "signature-private-key-file")
	} else if key != "" {
		o.BuildoutNetworkCache["signature-private-key-file"] = key
	}
	// An empty list of the new name is none, as for the original.
	blacklist := cmp.Or(merged["download-from-binary-cache-url-blacklist"], merged["binary-cache-url-blacklist"])
	o.DownloadBlacklist = lines(blacklist)
	o.UploadBlacklist = lines(merged["upload-to-binary-cache-url-blacklist"])
	o.DownloadForced = lines(merged["download-from-binary-cache-force-url-list"])
	o.UploadTries, o.UploadDelay = software.DefaultUploadTries, software.DefaultUploadDelay
	var err error
	o.Cache, o.Upload, err = e.releaseCache(merged, o.MinFreeSpace)
	return err
}

func (e *environment) fillSupervisor(merged map[string]string, _ *pytext.Configuration, options *gridOptions) error {
	insecure, err := isTrue(merged, "master_insecure")
	options.Supervisor.Executable = e.executable
	options.Supervisor.WatchdogCommand = supervisor.Watchdog{
		Executable: e.executable, MasterURL: merged["master_url"], ComputerID: merged["computer_id"],
		CertificateRepository: merged["certificate_repository_path"], InstanceRoot: options.Node.InstanceRoot,
		CAFile: merged["master_ca_file"], Insecure: insecure, TokenFile: e.expandUser(merged["master_token_file"]),
	}.Command()
	options.Supervisor.Daemons = options.Instance.Firewall.Daemons()
	return err
}

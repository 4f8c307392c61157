// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/manager"
	"slapos/manager/cgroup"
)

// A formatUsageError is reported twice, in the log and to the user (FMT-6).
type formatUsageError struct {
	text string
	key  string // that has the value, or misses it; may be empty
}

func (e *formatUsageError) Error() string { return e.text }

func formatUsagef(text string, arguments ...any) error {
	return &formatUsageError{text: fmt.Sprintf(text, arguments...)}
}

// readFormatOptions checks the merged options, in the original's order, and
// turns them into those of package format.
func (e *environment) readFormatOptions(merged map[string]string, dryRun bool) (*format.Options, error) {
	for _, name := range []string{"bridge_name", "no_bridge"} { // FMT-7
		if merged[name] != "" {
			return nil, &formatUsageError{text: fmt.Sprintf("Option '%s' is totally deprecated, please update your config file", name), key: name}
		}
	}
	run := &format.Options{DryRun: dryRun, Logger: e.log, Progress: e.formatProgress()}
	if err := readFormatBooleans(merged, &run.Definition); err != nil {
		return nil, err
	}
	if !dryRun {
		if missing := run.Machine.MissingPrograms(&run.Definition); missing != nil { // FMT-8
			return nil, formatUsagef("Some required binaries are missing or not functional: %s", strings.Join(missing, ","))
		}
	}
	for _, name := range []string{"computer_id", "instance_root", "master_url", "software_root", "computer_xml"} { // FMT-9
		if merged[name] == "" {
			return nil, &formatUsageError{text: fmt.Sprintf("Parameter '%s' is not defined.", name), key: name}
		}
	}
	for _, name := range []string{"key_file", "cert_file", "master_ca_file"} { // FMT-10
		path, given := merged[name]
		if _, err := os.Stat(path); given && err != nil {
			return nil, criticalf("File '%s' does not exist or is not readable.", path)
		}
	}
	if err := e.readPartitionAmount(merged, &run.Definition); err != nil {
		return nil, err
	}
	e.log.Debug("Started.")
	if dryRun {
		e.log.Info("Dry-run mode enabled.")
	}
	if run.CreateTap && run.AlterNetwork {
		with := map[bool]string{true: "with", false: "without"}
		e.log.Info(fmt.Sprintf("Tap creation mode enabled (%s IPv6).", with[run.TapIPv6]))
	}
	if err := fillFormatOptions(merged, run); err != nil {
		return nil, err
	}
	var err error
	if run.Limits, err = readLimits(merged); err != nil {
		return nil, err
	}
	run.Managers, err = manager.New(manager.ParseList(merged["manager_list"]), manager.Config{Options: merged, Logger: e.log})
	if err != nil {
		return nil, err
	}
	if path := merged["input_definition_file"]; path != "" {
		e.log.Info(fmt.Sprintf("Using definition file '%s'", path))
		if run.Input, err = readFormatInput(path, run.PartitionAmount, run.Limits); err != nil {
			return nil, fmt.Errorf("definition file %s: %w", path, err)
		}
	}
	return run, nil
}

func readFormatBooleans(merged map[string]string, d *format.Definition) error {
	for _, option := range []struct {
		name   string
		target *bool
		usual  bool
	}{
		{"alter_network", &d.AlterNetwork, true},
		{"alter_user", &d.AlterUser, true},
		{"partition_has_ipv6_range", &d.PartitionHasIPv6Range, true},
		{"create_tap", &d.CreateTap, true},
		{"create_tun", &d.CreateTun, false},
		{"tap_ipv6", &d.TapIPv6, true},
		{"tun_ipv6", &d.TunIPv6, true},
	} {
		ruleOf(option.name, truthKind)
		text, given := merged[option.name]
		if !given {
			*option.target = option.usual
			continue
		}
		var ok bool
		if *option.target, ok = parseBoolean(text); !ok {
			return &formatUsageError{text: fmt.Sprintf(`Option '%s' needs to be "True" or "False", wrong value: '%s'`, option.name, pytext.Shortened(text)), key: option.name}
		}
	}
	return nil
}

// readPartitionAmount checks that the prefix shift leaves each partition its
// address, range, tap and tun (FMT-11).
func (e *environment) readPartitionAmount(merged map[string]string, d *format.Definition) error {
	if _, given := merged["partition_amount"]; !given {
		return errors.New("partition_amount is missing: set the number of partitions in section [slapformat]")
	}
	var err error
	if d.PartitionAmount, err = wholeOption(merged, "partition_amount", 0); err != nil {
		return err
	}
	if d.PrefixShift, err = wholeOption(merged, "ipv6_prefixshift", 16); err != nil {
		return err
	}
	if 1<<d.PrefixShift < 4*d.PartitionAmount {
		return criticalf("ipv6_prefixshift %d is too small for partition_amount %d", d.PrefixShift, d.PartitionAmount)
	}
	return nil
}

// readLimits reads the limits of package cgroup.
func readLimits(merged map[string]string) (limits cgroup.Limits, err error) {
	for _, key := range []string{"memory_max", "cpu_weight", "pids_max"} {
		ruleOf(key, limitKind)
		text, given := merged[key]
		if !given {
			continue
		}
		if limits, err = limits.With(map[string]string{key: text}); err != nil {
			return limits, &valueError{key: key, value: text, want: limitForms[key]}
		}
	}
	return limits, nil
}

var limitForms = map[string]string{
	"memory_max": "must be a size such as 512M or 4G, or max",
	"cpu_weight": "must be a whole number from 1 to 10000, or max",
	"pids_max":   "must be a whole number from 1, or max",
}

func fillFormatOptions(merged map[string]string, run *format.Options) error {
	for name, target := range map[string]*string{
		"computer_id":                 &run.ComputerID,
		"master_url":                  &run.MasterURL,
		"instance_root":               &run.InstanceRoot,
		"software_root":               &run.SoftwareRoot,
		"instance_storage_home":       &run.InstanceStorageHome,
		"certificate_repository_path": &run.CertificateRepository,
		"interface_name":              &run.InterfaceName,
		"ipv6_interface":              &run.IPv6Interface,
		"ipv4_local_network":          &run.IPv4LocalNetwork,
		"ipv6_local_network":          &run.IPv6LocalNetwork,
		"tap_gateway_interface":       &run.TapGatewayInterface,
		"computer_xml":                &run.ComputerXML,
		"computer_json":               &run.ComputerJSON,
		"output_definition_file":      &run.OutputDefinition,
	} {
		*target = merged[name]
	}
	isBlank := func(name string) bool { value, given := merged[name]; return given && value == "" }
	run.Blank = format.Blank{InstanceStorageHome: isBlank("instance_storage_home"), IPv6Interface: isBlank("ipv6_interface")}
	run.Version = version
	run.SoftwareUser = textOption(merged, "software_user", format.DefaultSoftwareUser)
	if run.SoftwareUser == "" {
		return &valueError{key: "software_user", want: "must be the name of a user", without: "it is " + format.DefaultSoftwareUser}
	}
	// Without a base name the original's partitions are called None0, None1...
	for name, target := range map[string]*string{
		"partition_base_name": &run.PartitionBaseName,
		"user_base_name":      &run.UserBaseName,
		"tap_base_name":       &run.TapBaseName,
	} {
		*target = "None"
		if value, given := merged[name]; given {
			*target = value
		}
	}
	run.PublicAddressServices = format.PublicAddressServices
	if services, given := merged["public_ipv4_service_list"]; given {
		run.PublicAddressServices = strings.Fields(services)
	}
	return nil
}

// readFormatInput reads a definition file: no interpolation, and software_user
// may be in any section (FMT-65).
func readFormatInput(path string, partitions int, limits cgroup.Limits) (*format.Input, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	configuration, err := pytext.ParseConfiguration(path, content)
	if err != nil {
		return nil, err
	}
	if !configuration.Has("computer") {
		return nil, errors.New("there is no section [computer]")
	}
	return format.ParseInput(configuration.Raw, partitions, limits)
}

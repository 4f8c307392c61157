// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/format"
	"slapos/slap"
)

// Section [slapos] wins over [slapformat], the command line over both (FMT-1);
// three paths are made absolute (FMT-12).
func TestFormatSettings(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	path := filepath.Join(t.TempDir(), "slapos.cfg")
	content := "[slapformat]\nsoftware_root = /format\ncomputer_xml = saved.xml\ncomputer_json = saved.json\npartition_amount = 3\n" +
		"[slapos]\nsoftware_root = /slapos\nalter_user = True\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := formatSettings(configuration, map[string]string{"alter_user": "False", "input_definition_file": "in.cfg"})
	if err != nil {
		t.Fatal(err)
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"software_root": "/slapos", "partition_amount": "3", "alter_user": "False", "computer_json": "saved.json",
		"computer_xml": filepath.Join(working, "saved.xml"), "input_definition_file": filepath.Join(working, "in.cfg"),
	} {
		if merged[key] != want {
			t.Errorf("%s is %q, want %q", key, merged[key], want)
		}
	}
}

// FMT-4.
func TestFormatDelay(t *testing.T) {
	e, _, stderr := newTestEnvironment(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.delayFormat(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(stderr.String(), "INFO Sleeping for ") {
		t.Errorf("%v, %s", err, stderr)
	}
}

// FMT-15 to FMT-17: exit codes and last words.
func TestReportFormat(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		want []string
	}{
		{nil, 0, []string{"INFO slapos successfully prepared the computer."}},
		{errors.New("no disk"), 1, []string{"ERROR slapos failed to prepare the computer.", "no disk"}},
		// The last word is the error (a run that ends with 2 succeeded in part).
		{&format.PostError{Err: slap.ErrNotFound}, 2, []string{"INFO slapos successfully prepared the computer.", "ERROR failed to transfer information to 'http://m/'"}},
	} {
		e, _, stderr := newTestEnvironment(t)
		err := e.reportFormat(t.Context(), &format.Options{MasterURL: "http://m/"}, test.err)
		code := 0
		var exit *exitError
		if errors.As(err, &exit) {
			code = exit.code
		}
		if code != test.code || err != nil && code == 0 {
			t.Errorf("%v: exit code %d, %v", test.err, code, err)
		}
		rest := stderr.String()
		for _, words := range test.want {
			_, after, found := strings.Cut(rest, words)
			if rest = after; !found {
				t.Errorf("%v: no %q, or too early, in %s", test.err, words, stderr)
			}
		}
	}
}

// FMT-86: key and certificate count together only.
func TestPostComputer(t *testing.T) {
	posts := 0
	master := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/loadComputerConfigurationFromXML" && strings.HasPrefix(r.FormValue("xml"), "<marshal>") {
			posts++
		}
	}))
	defer master.Close()
	e, _, _ := newTestEnvironment(t)
	options := map[string]string{"master_url": master.URL, "computer_id": "COMP-1", "key_file": "/no/such.key", "master_insecure": "true"}
	if err := e.postComputer(options, "")(t.Context(), slap.Dict{"reference": "COMP-1"}); err != nil || posts != 1 {
		t.Errorf("with a key alone: %d posts, %v", posts, err)
	}
	options["cert_file"] = "/no/such.crt"
	if err := e.postComputer(options, "")(t.Context(), slap.Dict{"reference": "COMP-1"}); err == nil || posts != 1 {
		t.Errorf("with files that don't exist: %d posts, %v", posts, err)
	}
}

// FMT-13: the options by all their names.
func TestFormatCommandLine(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	var names []string
	for _, f := range newNodeFormatCommand(e).Flags {
		names = append(names, f.Names()...)
	}
	for _, option := range strings.Fields(`cfg x computer_xml computer_json i input_definition_file o output_definition_file
		alter_user alter_network now n dry_run c console`) {
		if !slices.Contains(names, option) {
			t.Errorf("no option %s", option)
		}
	}
}

// FMT-14: each key arrives, and has its default when it is absent.
func TestFormatKeys(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	read := func(merged map[string]string) *format.Options {
		t.Helper()
		for key, value := range map[string]string{
			"computer_id": "COMP-1", "master_url": "http://m/", "software_root": "/s", "instance_root": "/i", "computer_xml": "/x", "partition_amount": "7",
		} {
			merged[key] = value
		}
		options, err := e.readFormatOptions(merged, true)
		if err != nil {
			t.Fatal(err)
		}
		return options
	}
	d := read(map[string]string{}).Definition
	if d.ComputerID != "COMP-1" || d.SoftwareRoot != "/s" || d.InstanceRoot != "/i" || d.PartitionAmount != 7 || d.SoftwareUser != "slapsoft" ||
		d.PrefixShift != 16 || !d.PartitionHasIPv6Range || !d.CreateTap || !d.TapIPv6 || d.CreateTun || !d.TunIPv6 || !d.AlterUser || !d.AlterNetwork ||
		d.InterfaceName+d.IPv6Interface+d.IPv4LocalNetwork+d.TapGatewayInterface+d.InstanceStorageHome+d.CertificateRepository != "" || d.Blank != (format.Blank{}) {
		t.Errorf("defaults %+v", d)
	}
	options := read(map[string]string{
		"interface_name": "eth0", "ipv6_interface": "eth1", "ipv4_local_network": "10.0.0.0/16", "partition_base_name": "part", "user_base_name": "user",
		"tap_base_name": "tap", "software_user": "soft", "partition_has_ipv6_range": "false", "ipv6_prefixshift": "8", "create_tap": "False",
		"tap_ipv6": "false", "tap_gateway_interface": "gw0", "create_tun": "true", "tun_ipv6": "false", "instance_storage_home": "/storage",
		"certificate_repository_path": "/pki", "computer_json": "/j", "output_definition_file": "/o", "alter_user": "FALSE", "alter_network": "false",
	})
	d = options.Definition
	if d.InterfaceName != "eth0" || d.IPv6Interface != "eth1" || d.IPv4LocalNetwork != "10.0.0.0/16" || d.PartitionBaseName != "part" ||
		d.UserBaseName != "user" || d.TapBaseName != "tap" || d.SoftwareUser != "soft" || d.PartitionHasIPv6Range || d.PrefixShift != 8 || d.CreateTap ||
		d.TapIPv6 || d.TapGatewayInterface != "gw0" || !d.CreateTun || d.TunIPv6 || d.InstanceStorageHome != "/storage" ||
		d.CertificateRepository != "/pki" || d.AlterUser || d.AlterNetwork || options.ComputerJSON != "/j" || options.OutputDefinition != "/o" {
		t.Errorf("options %+v", options)
	}
	d = read(map[string]string{"ipv6_interface": "", "instance_storage_home": ""}).Definition
	if d.Blank != (format.Blank{InstanceStorageHome: true, IPv6Interface: true}) {
		t.Errorf("keys without values %+v", d)
	}
}

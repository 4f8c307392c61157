// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/collect"
	"slapos/manager"
)

// Each command has the options of the original by all their names: GRID-1, GRID-2.
func TestGridCommandLines(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	common := strings.Fields(`cfg instance-root software-root master-url computer-id supervisord-socket
		supervisord-configuration-path buildout pidfile key_file cert_file signature_private_key_file master_ca_file
		certificate_repository_path maximum-periodicity promise-timeout partition-timeout now maximal_delay`)
	for name, test := range map[string]struct {
		command  *cli.Command
		has, not []string
	}{
		"software": {newNodeSoftwareCommand(e), append([]string{"buildout-debug", "garbage-collect", "force", "all", "only-sr", "only"}, common...), []string{"develop", "force-stop"}},
		"instance": {newNodeInstanceCommand(e), append([]string{"buildout-debug", "force-stop", "force", "all", "only-cp", "only"}, common...), []string{"develop", "garbage-collect"}},
		"promise":  {newNodePromiseCommand(e), append([]string{"only-cp", "only"}, common...), []string{"develop", "force", "all", "force-stop"}},
		"report":   {newNodeReportCommand(e), common, []string{"develop", "force", "all", "only-cp", "only"}},
		"prune":    {newNodePruneCommand(e), []string{"cfg", "dry-run", "additional-software-directory"}, []string{"now"}},
		"bang":     {newNodeBangCommand(e), []string{"cfg", "m", "message"}, []string{"now"}},
		"boot":     {newNodeBootCommand(e), []string{"cfg", "m", "message"}, []string{"now"}},
	} {
		var names []string
		for _, f := range test.command.Flags {
			names = append(names, f.Names()...)
		}
		for _, option := range test.has {
			if !slices.Contains(names, option) {
				t.Errorf("node %s: no option %s", name, option)
			}
		}
		for _, option := range test.not {
			if slices.Contains(names, option) {
				t.Errorf("node %s: option %s", name, option)
			}
		}
	}
}

// Section [networkcache] is laid over [slapos], the command line over both, and
// four switches are the command line's alone: GRID-4.
func TestMergeGridOptions(t *testing.T) {
	file, err := pytext.ParseConfiguration("slapos.cfg", []byte(`[DEFAULT]
place = /srv
[slapos]
Instance_Root = %(place)s/instances
computer_id = FILE
master_url = http://slapos/
force = true
force_stop = true
now = true
buildout_debug = true
shared_part_list =
  /a
    /b
[networkcache]
master_url = http://networkcache/
computer_id = CACHE
`))
	if err != nil {
		t.Fatal(err)
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	options := new(passOptions)
	for _, f := range options.flags() {
		if err := f.Apply(set); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Parse([]string{"--computer-id", "LINE", "--promise-timeout", "7"}); err != nil {
		t.Fatal(err)
	}
	if err := options.read(cli.NewContext(nil, set, nil)); err != nil {
		t.Fatal(err)
	}
	merged, err := mergeGridOptions(options.given, file)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"instance_root": "/srv/instances", "computer_id": "LINE", "master_url": "http://networkcache/",
		"promise_timeout": "7", "shared_part_list": "\n/a\n/b",
	} {
		if merged[key] != want {
			t.Errorf("%s is %q, want %q", key, merged[key], want)
		}
	}
	for _, key := range []string{"force", "force_stop", "now", "buildout_debug"} {
		if value, found := merged[key]; found {
			t.Errorf("%s = %s of the file acts", key, value)
		}
	}
}

// Options that are neither number nor switch, and their defaults: GRID-5, CLI-24.
func TestGridTexts(t *testing.T) {
	usual, err := gridOptionsOf(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if usual.Node.Buildout != "" || usual.Node.SharedParts != "" || usual.Node.BuildTimeParts != "" || usual.Instance.StorageHome != "" ||
		usual.Instance.IPv4GlobalNetwork != "" || len(usual.Node.Managers) > 0 || usual.Instance.Firewall != nil || usual.Instance.CertificateRepository != "" {
		t.Errorf("without keys: %+v", usual)
	}
	set, err := gridOptionsOf(t, map[string]string{
		"buildout": "/b/bootstrap", "shared_part_list": "\n/a\n/b", "build_time_part_list": "/c", "instance_storage_home": "disks",
		"ipv4_global_network": "10.0.0.0/8", "partition-timeout": "4", "manager_list": "devperm, prerm",
	})
	if err != nil {
		t.Fatal(err)
	}
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if set.Node.Buildout != "/b/bootstrap" || !slices.Equal(set.Node.SharedParts.List(), []string{"/a", "/b"}) || set.Node.SharedParts != "\n/a\n/b" || set.Node.BuildTimeParts != "/c" ||
		set.Instance.StorageHome != filepath.Join(working, "disks") || set.Instance.IPv4GlobalNetwork != "10.0.0.0/8" ||
		set.Instance.PartitionTimeout.Seconds() != 4 || len(set.Node.Managers) != 2 {
		t.Errorf("with keys: %+v", set)
	}
	if got := set.Node.Hide("401 Client Error: Unauthorized for url: http://me:s3cret@master/"); got != "401 Client Error: Unauthorized for url: http://me:***@master/" {
		t.Errorf("the master got %q", got)
	}
}

// What must be there is, and what is named exists: GRID-6.
func TestGridChecks(t *testing.T) {
	directory := t.TempDir()
	file := filepath.Join(directory, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := func(change ...string) map[string]string {
		merged := map[string]string{"computer_id": "C", "instance_root": "/i", "master_url": "http://m/", "software_root": "/s"}
		for i := 0; i < len(change); i += 2 {
			merged[change[i]] = change[i+1]
		}
		return merged
	}
	for _, test := range []struct {
		merged map[string]string
		want   string
	}{
		{map[string]string{}, "Missing mandatory parameters: computer_id, instance_root, master_url, software_root"},
		{full("master_url", "", "computer_id", ""), "Mandatory parameters present but empty: computer_id, master_url"},
		{full("key_file", file), "Missing mandatory parameters: cert_file, certificate_repository_path"},
		{full("cert_file", file, "key_file", file, "certificate_repository_path", directory), ""},
		{full(), ""},
	} {
		if err := requireGridOptions(test.merged); (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%v: %v, want %q", test.merged, err, test.want)
		}
	}
	for _, key := range []string{
		"key_file", "cert_file", "master_ca_file", "shacache-ca-file", "shacache-cert-file", "shacache-key-file",
		"shadir-ca-file", "shadir-cert-file", "shadir-key-file", "signature-private-key-file", "signature_private_key_file",
	} {
		if err := checkGridFiles(full(key, file)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if err := checkGridFiles(full(key, file+".no")); err == nil || !strings.Contains(err.Error(), file+".no") {
			t.Errorf("%s names nothing: %v", key, err)
		}
	}
	for path, fails := range map[string]bool{directory: false, file: true, directory + "/no": true} {
		if err := checkGridFiles(full("certificate_repository_path", path)); (err != nil) != fails {
			t.Errorf("certificate_repository_path = %s: %v", path, err)
		}
	}
}

// CLI-25, NC-1, NC-2: lists of the network cache, one URL prefix a line, and the old name
// of one; nothing of it without URLs.
func TestGridNetworkCache(t *testing.T) {
	usual, err := gridOptionsOf(t, map[string]string{"binary-cache-url-blacklist": "http://old/"})
	if err != nil {
		t.Fatal(err)
	}
	if usual.Software.Cache != nil || usual.Software.Upload || !slices.Equal(usual.Software.DownloadBlacklist, []string{"http://old/"}) {
		t.Errorf("without URLs: %+v", usual.Software)
	}
	set, err := gridOptionsOf(t, map[string]string{
		"download-binary-cache-url": "http://127.0.0.1:1/cache", "download-binary-dir-url": "http://127.0.0.1:1/dir",
		"upload-binary-cache-url": "http://127.0.0.1:1/cache", "upload-binary-dir-url": "http://127.0.0.1:1/dir",
		"download-from-binary-cache-url-blacklist": "\n http://a/ \n\nhttp://b/", "binary-cache-url-blacklist": "http://old/",
		"upload-to-binary-cache-url-blacklist": "/", "download-from-binary-cache-force-url-list": "http://forced/",
	})
	if err != nil {
		t.Fatal(err)
	}
	software := set.Software
	if software.Cache == nil || !software.Upload || !slices.Equal(software.DownloadBlacklist, []string{"http://a/", "http://b/"}) ||
		!slices.Equal(software.UploadBlacklist, []string{"/"}) || !slices.Equal(software.DownloadForced, []string{"http://forced/"}) {
		t.Errorf("with URLs: %+v", software)
	}
}

// MGR-2, CLI-25: a manager gets its section's options.
func TestManagerSections(t *testing.T) {
	e, _, stderr := newTestEnvironment(t)
	file, err := pytext.ParseConfiguration("slapos.cfg", []byte("[slapos]\nmanager_list = devperm\n[manager:devperm]\nallowed-disk-for-vm =\n  /dev/null\n"))
	if err != nil {
		t.Fatal(err)
	}
	slapos, err := file.Section("slapos")
	if err != nil {
		t.Fatal(err)
	}
	var options gridOptions
	if err := e.fillManagers(slapos, file, &options); err != nil || len(options.Node.Managers) != 1 {
		t.Fatal(options.Node.Managers, err)
	}
	partition := &manager.Partition{ID: "slappart0", Path: t.TempDir(), UID: 1, GID: 1}
	request := []byte(`[{"disk": "/dev/zero"}]`)
	if err := os.WriteFile(filepath.Join(partition.Path, ".slapos-disk-permission"), request, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := options.Node.Managers[0].Instance(t.Context(), partition); err != nil || !strings.Contains(stderr.String(), "disk is not in the list of allowed disks") {
		t.Errorf("%v: %s", err, stderr)
	}
}

// COL-6, COL-7: folder sizes are taken once a day unless said otherwise; the keys of the
// example configuration that nobody reads change nothing.
func TestCollectFolders(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	for own, want := range map[string]collect.Folders{
		"": {Measure: true, Cycle: 24 * time.Hour, PIDDirectory: "/srv/var/run"},
		"[collect]\nenable = false\ntime_cycle = 7\npid_folder = /x\nuse_quota = true\n":                                    {Measure: true, Cycle: 24 * time.Hour, PIDDirectory: "/srv/var/run"},
		"[collect]\nreport_disk_usage = False\ndisk_snapshot_time_cycle = 0\ndisk_snapshot_process_pid_foder = /run/pids\n": {PIDDirectory: "/run/pids"},
	} {
		text := "[slapos]\ncomputer_id = C\ninstance_root = /srv\n[slapformat]\npartition_amount = 1\nheating_sensor_id = s\ncomputer_model_id = m\npartition_base_name = p\nuser_base_name = u\n" + own
		file, err := pytext.ParseConfiguration("slapos.cfg", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		settings, err := e.collectSettings(file)
		if err != nil || settings.Folders != want || settings.KeepDays != 15 || settings.ComputerID != "C" || settings.Heating.Model != "m" ||
			settings.Heating.Sensor != "s" || !slices.Equal(settings.Partitions, []collect.Partition{{User: "u0", Path: "/srv/p0"}}) {
			t.Errorf("%q: %+v, %v", own, settings, err)
		}
	}
}

// Cron mails all output, so only the log is written if the output is not a
// terminal. D-15: elsewhere.
func TestNoStatusLineElsewhere(t *testing.T) {
	e := &environment{stderr: io.Discard, now: time.Now}
	var options gridOptions
	e.watchPass(&options)
	if options.Node.Progress != nil || options.Node.Logger != nil {
		t.Error("progress is shown where nobody watches")
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"slapos/slap/testkit"
)

const unitDirectory = "../../docs/packaging/systemd"

// exposures are what `systemd-analyze security` may say of each unit, from 0 to
// 10: what it could do to the machine if its program were somebody else's.
var exposures = map[string]float64{
	"slapos-proxy.service":        1.5, // a user of its own, its directory, the network
	"slapos-cache.service":        1.5,
	"slapos-node@collect.service": 3.5, // reads everything, writes below instance_root
	"slapos-node@format.service":  5.5, // makes users and interfaces
	"slapos-boot.service":         5.5,
	"slapos-agent.service":        7, // the same
	"slapos-node@.service":        7, // builds and promises, as users, may do what those may
	"slapos-supervisord.service":  8, // so may services
}

// No unit gets more rights than it needs, as systemd's own reckoning has it.
func TestUnitExposure(t *testing.T) {
	analyze := testkit.Program(t, "systemd-analyze", "systemd")
	units, err := filepath.Glob(unitDirectory + "/*.service")
	if err != nil || len(units) != len(exposures) {
		t.Fatalf("%d units, %d with a limit, %v", len(units), len(exposures), err)
	}
	for _, unit := range units {
		path, name := unit, filepath.Base(unit)
		if instance := strings.Replace(name, "@.", "@software.", 1); instance != name { // it wants a template's instance
			path = testkit.WriteFile(t, filepath.Join(t.TempDir(), instance), testkit.ReadFile(t, unit))
		}
		output, err := exec.CommandContext(t.Context(), analyze, "--no-pager", "security", "--offline=true", path).CombinedOutput()
		found := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindSubmatch(output)
		if err != nil || found == nil {
			t.Fatalf("%s: %v\n%s", name, err, output)
		}
		exposure, err := strconv.ParseFloat(string(found[1]), 64)
		if limit, known := exposures[name]; err != nil || !known || exposure > limit {
			t.Errorf("%s: exposure %s, want at most %v", name, found[1], limit)
		}
	}
}

const (
	unitsMaster = `[slapproxy]
host = 127.0.0.1
port = 5000
database_uri = /var/lib/slapos-proxy/proxy.db
[slapos]
computer_id = COMP-1
`
	unitsNode = `[slapos]
computer_id = COMP-1
master_url = http://127.0.0.1:5000/
master_rest_url = http://127.0.0.1:5000/hateoas
software_root = /opt/slapgrid
instance_root = /srv/slapgrid
shared_part_list = /opt/slapgrid/shared
python = PYTHON
software_min_free_space = 0
instance_min_free_space = 0
[slapformat]
interface_name = wire0
ipv6_interface = wire0
ipv4_local_network = 10.0.0.0/16
partition_amount = 2
create_tap = true
create_tun = true
computer_xml = /opt/slapos/slapos.xml
partition_base_name = slappart
user_base_name = slapuser
tap_base_name = slaptap
software_user = slapsoft
[networkcache]
`
	// The hour that format waits is not the unit's.
	unitsFormatNow = "[Service]\nExecStart=\nExecStart=/usr/bin/slapos node format --now\n"
)

// The units of the packages do the real work with the rights that they have:
// a master, a cache server and a node, from format to a running service, under
// systemd.
func TestUnits(t *testing.T) {
	python := testkit.Python(t)
	m := testkit.NewMachine(t)
	for _, setting := range []string{"/proc/sys/kernel/pid_max", "/sys/kernel/uevent_seqnum"} {
		if _, err := m.Try("sh", "-c", "test ! -w "+setting); err != nil {
			t.Fatalf("the test's machine can change %s of this one", setting)
		}
	}
	installUnits(t, m, python)
	m.InNetwork(func() error {
		wire := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "wire0"}}
		if err := netlink.LinkAdd(wire); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(wire); err != nil {
			return err
		}
		return netlink.AddrAdd(wire, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8::1"), Mask: net.CIDRMask(64, 128)}})
	})
	must := func(words ...string) string { t.Helper(); return m.Run(words...) }
	start := func(unit string) {
		t.Helper()
		if output, err := m.Try("systemctl", "start", unit); err != nil {
			journal, _ := m.Try("journalctl", "-b", "--no-pager", "-u", unit)
			t.Fatalf("%s: %v\n%s%s", unit, err, output, journal)
		}
	}
	start("slapos-proxy.service")
	start("slapos-cache.service")
	answer := ""
	testkit.Eventually(t, testkit.Patience, "the master answers", func() bool {
		var err error
		answer, err = m.Try("slapos", "computer", "list")
		return err == nil
	}, func() any {
		journal, _ := m.Try("journalctl", "-b", "--no-pager", "-u", "slapos-*")
		return answer + "\n" + journal
	})
	for _, name := range []string{"slapos-proxy", "slapos-cache"} {
		checkServerUnit(t, m, name)
	}
	start("slapos-supervisord.service")
	start("slapos-node@format.service")
	must("slapos", "supply", "/srv/recipe/software.cfg", "COMP-1")
	start("slapos-node@software.service")
	must("slapos", "request", "one", "/srv/recipe/software.cfg")
	start("slapos-node@instance.service")
	status := must("slapos", "node", "status")
	if !strings.Contains(status, "RUNNING") {
		t.Errorf("services:\n%s", status)
	}
	start("slapos-node@collect.service")
	start("slapos-node@report.service")
	if !testkit.Exists(m.Path("/srv/slapgrid/var/data-log/collector.db")) {
		t.Error("collect keeps nothing")
	}
	testUnitsCache(t, m)
	must("slapos", "request", "one", "/srv/recipe/software.cfg", "--state", "destroyed")
	start("slapos-node@report.service")
	if status := must("slapos", "node", "status"); strings.Contains(status, "slappart0") {
		t.Errorf("after the destruction:\n%s", status)
	}
	start("slapos-boot.service")
	must("systemctl", "stop", "slapos-supervisord.service")
	if failed := must("systemctl", "list-units", "--failed", "--plain", "--no-legend", "slapos*"); strings.TrimSpace(failed) != "" {
		t.Errorf("failed units:\n%s", failed)
	}
}

// installUnits does what a package does, and makes a release that is built from
// what is there.
func installUnits(t *testing.T, m *testkit.Machine, python string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "slapos")
	build := exec.CommandContext(t.Context(), cmp.Or(os.Getenv("GO"), "go"), "build", "-buildvcs=false", "-tags", "urfave_cli_no_docs", "-trimpath", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	binary := testkit.ReadFile(t, program)
	m.Write("/usr/bin/slapos", binary, 0o755)
	m.Run("ln", "-sf", "slapos", "/usr/bin/slapos-watchdog")
	units, err := os.ReadDir(unitDirectory)
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		m.Write("/etc/systemd/system/"+unit.Name(), testkit.ReadFile(t, filepath.Join(unitDirectory, unit.Name())), 0o644)
	}
	m.Write("/etc/systemd/system/slapos-node@format.service.d/now.conf", unitsFormatNow, 0o644)
	// The recipe is built with the tools that are there: nothing can be fetched.
	m.Write("/etc/systemd/system/slapos-node@.service.d/offline.conf", "[Service]\nEnvironment=PIP_NO_BUILD_ISOLATION=0\n", 0o644)
	m.Write("/usr/lib/sysusers.d/slapos.conf", testkit.ReadFile(t, "../../docs/packaging/sysusers/slapos.conf"), 0o644)
	m.Run("systemd-sysusers")
	m.Run("mkdir", "-p", "/opt/slapgrid", "/srv/slapgrid", "/srv/recipe", "/opt/slapos/log")
	m.Write("/etc/opt/slapos/slapos-proxy.cfg", unitsMaster, 0o640)
	m.Run("chgrp", "slapos-proxy", "/etc/opt/slapos/slapos-proxy.cfg")
	m.Write("/etc/opt/slapos/slapos.cfg", strings.ReplaceAll(unitsNode, "PYTHON", python), 0o644)
	m.Write("/root/.slapos/slapos-client.cfg", "[slapos]\nmaster_url = http://127.0.0.1:5000/\nmaster_rest_url = http://127.0.0.1:5000/hateoas\n", 0o600)
	// The users of the node can reach the Python that tests have.
	real, err := filepath.EvalSymlinks(python)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{python, real} {
		for directory := filepath.Dir(path); directory != "/"; directory = filepath.Dir(directory) {
			m.Run("chmod", "o+rx", directory)
		}
	}
	for _, name := range []string{"setup.py", "tinyrecipe.py"} {
		m.Write("/srv/recipe/"+name, testkit.ReadFile(t, "testdata/standalone/recipe/"+name), 0o644)
	}
	m.Write("/srv/recipe/software.cfg", strings.ReplaceAll(testkit.ReadFile(t, "testdata/standalone/software.cfg"), "RECIPE", "/srv/recipe"), 0o644)
	m.Run("chmod", "777", "/srv/recipe") // the recipe is built where it is
	m.Run("systemctl", "daemon-reload")
}

// checkServerUnit looks at the rights of a running server, and at what it made.
func checkServerUnit(t *testing.T, m *testkit.Machine, name string) {
	t.Helper()
	pid := strings.TrimSpace(m.Run("systemctl", "show", "-P", "MainPID", name))
	status := m.Run("cat", "/proc/"+pid+"/status")
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("%s: no %q in\n%s", name, want, status)
		}
	}
	if strings.Contains(status, "Uid:\t0") {
		t.Errorf("%s runs as root", name)
	}
	if mode := m.Run("stat", "-c", "%a %U", "/var/lib/"+name); mode != "700 "+name+"\n" {
		t.Errorf("%s: its directory is %s", name, mode)
	}
	if open := m.Run("find", "/var/lib/"+name, "-type", "f", "-perm", "/077"); open != "" {
		t.Errorf("%s: others can read %s", name, open)
	}
}

// testUnitsCache stores a file in the cache server, and reads it.
func testUnitsCache(t *testing.T, m *testkit.Machine) {
	t.Helper()
	m.Write("/root/cache.cfg", `[networkcache]
download-cache-url = http://127.0.0.1:5010/shacache/cache
download-dir-url = http://127.0.0.1:5010/shacache/dir
upload-cache-url = http://127.0.0.1:5010/shacache/cache
upload-dir-url = http://127.0.0.1:5010/shacache/dir
signature-private-key-file = /root/key
signature-certificate-list =
`, 0o600)
	m.Run("slapos", "cache", "generate-signature-key", "--cert-file", "/root/cert", "/root/key", "COMP-1")
	var certificate strings.Builder
	for line := range strings.Lines(testkit.ReadFile(t, m.Path("/root/cert"))) {
		fmt.Fprintf(&certificate, "  %s", line)
	}
	m.Write("/root/cache.cfg", testkit.ReadFile(t, m.Path("/root/cache.cfg"))+certificate.String(), 0o600)
	m.Write("/root/file", "a file for the cache", 0o600)
	m.Run("slapos", "cache", "upload", "-c", "/root/cache.cfg", "-k", "key", "-f", "/root/file", "a=b")
	if text := m.Run("slapos", "cache", "download", "-c", "/root/cache.cfg", "-k", "key"); !strings.Contains(text, "a file for the cache") {
		t.Errorf("from the cache: %q", text)
	}
}

// What the target starts at boot runs without the master: nothing of it waits for
// slapos-boot.service, which does wait. Timers of what the agent does are for those
// who enable them.
func TestUnitsOfTarget(t *testing.T) {
	also := regexp.MustCompile(`(?m)^Also=(.*)$`).FindAllStringSubmatch(testkit.ReadFile(t, unitDirectory+"/slapos.target"), -1)
	var names []string
	for _, line := range also {
		names = append(names, strings.Fields(line[1])...)
	}
	if got, want := strings.Join(names, " "), "slapos-supervisord.service slapos-boot.service slapos-agent.service slapos-format.timer"; got != want {
		t.Errorf("slapos.target has %s, want %s", got, want)
	}
	for _, name := range names {
		text := testkit.ReadFile(t, filepath.Join(unitDirectory, name))
		if !strings.Contains(text, "WantedBy=slapos.target\n") || regexp.MustCompile(`(?m)^(After|Requires)=.*slapos-boot`).MatchString(text) {
			t.Errorf("%s isn't wanted by the target, or waits for slapos-boot.service", name)
		}
	}
}

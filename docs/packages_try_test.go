// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// A packager is what a distribution installs packages with.
type packager struct {
	name      string
	file      func(version string) string
	install   []string // and the file: also upgrades
	downgrade []string
	remove    []string
	purge     []string // also changed configuration; nil: there is no such thing
	verify    []string // prints nothing when all files are as they were installed
	kept      string   // what is added to the name of changed configuration that a removal leaves
}

var packagers = []packager{
	{
		name:    "dpkg",
		file:    func(version string) string { return "slapos_" + version + "_" + runtime.GOARCH + ".deb" },
		install: []string{"dpkg", "--force-confold", "-i"}, downgrade: []string{"dpkg", "--force-confold", "-i"},
		remove: []string{"dpkg", "-r", "slapos"}, purge: []string{"dpkg", "-P", "slapos"}, verify: []string{"dpkg", "--verify", "slapos"},
	},
	{
		name: "rpm", // on Debian's files, which rpm doesn't know
		file: func(version string) string {
			return "slapos-" + version + "-1." + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + ".rpm"
		},
		install: []string{"rpm", "-U", "--nodeps"}, downgrade: []string{"rpm", "-U", "--nodeps", "--oldpackage"},
		remove: []string{"rpm", "-e", "slapos"}, verify: []string{"rpm", "-V", "--nodeps", "slapos"}, kept: ".rpmsave",
	},
}

// Two releases, the later of which has another text in two configuration files.
func twoReleases(t *testing.T, formats string) (directory string) {
	t.Helper()
	s := copySource(t, t.TempDir())
	s.build()
	directory = s.release("1.26.1+7", formats)
	for _, name := range []string{"slapos-cache", "slapos.cfg.example"} {
		path := filepath.Join(s.directory, "docs/packaging/etc", name)
		testkit.WriteFile(t, path, testkit.ReadFile(t, path)+"# Of the later release.\n")
	}
	later := s.release("1.26.1+8", formats)
	for _, name := range testkit.Names(t, later) {
		if name != "SHA256SUMS" {
			if err := os.Rename(filepath.Join(later, name), filepath.Join(directory, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return directory
}

// debian makes a clean system of Debian below var/roots, once.
func debian(t *testing.T, suite string) (root string) {
	t.Helper()
	debootstrap := testkit.Program(t, "debootstrap", "debootstrap")
	root, err := filepath.Abs(filepath.Join("../var/roots", suite))
	if err != nil {
		t.Fatal(err)
	}
	if testkit.Exists(root + ".ready") {
		return root
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root); err != nil { // what an interrupted run left
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{debootstrap, "--variant=minbase", suite, root},
		{"chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends", "systemd", "dbus", "man-db", "procps", "rpm"},
	} {
		if text, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, text)
		}
	}
	testkit.WriteFile(t, root+".ready", "")
	return root
}

// Packages are installed, upgraded, downgraded, removed and purged on clean
// systems that run systemd. No service of a partition notices.
func TestPackagesOnDebian(t *testing.T) {
	testkit.Long(t, "SLAPOS_TEST_PACKAGES", "try-packages")
	testkit.Root(t)
	needPackager(t)
	packages := twoReleases(t, "deb rpm tar")
	for _, suite := range []string{"bookworm", "trixie"} {
		root := debian(t, suite)
		t.Run(suite+"/archive", func(t *testing.T) {
			n := tried{t: t, m: testkit.NewMachineOn(t, root)}
			n.m.Write("/root/archive.tar.gz", testkit.ReadFile(t, filepath.Join(packages, "slapos-1.26.1+7-linux-"+runtime.GOARCH+".tar.gz")), 0o644)
			n.m.Write("/root/.slapos/slapos-client.cfg", triedClient, 0o600)
			n.archive()
		})
		for _, p := range packagers {
			t.Run(suite+"/"+p.name, func(t *testing.T) {
				n := tried{t: t, m: testkit.NewMachineOn(t, root), packager: p}
				for _, version := range []string{"1.26.1+7", "1.26.1+8"} {
					n.m.Write("/root/"+p.file(version), testkit.ReadFile(t, filepath.Join(packages, p.file(version))), 0o644)
				}
				n.m.Write("/root/.slapos/slapos-client.cfg", triedClient, 0o600)
				n.leavesNothing()
				n.servicesLive()
			})
		}
	}
}

// A tried system is one that packages are tried on.
type tried struct {
	t        *testing.T
	m        *testkit.Machine
	packager packager
}

func (n tried) change(words []string, version string) string {
	n.t.Helper()
	if version != "" {
		words = append(words[:len(words):len(words)], "/root/"+n.packager.file(version))
	}
	n.t.Log(strings.Join(words, " "))
	text := n.m.Run(words...)
	if strings.Contains(text, "warning: unable to delete") || strings.Contains(text, "scriptlet failed") {
		n.t.Errorf("%s:\n%s", strings.Join(words, " "), text)
	}
	return text
}

// files lists what a package could have left.
func (n tried) files() string {
	n.t.Helper()
	return n.m.Run("sh", "-c", `find /usr /etc /opt /srv /var/lib -xdev \
		! -path '/var/lib/dpkg*' ! -path '/var/lib/rpm*' ! -path '/usr/lib/sysimage/rpm*' ! -path '/var/lib/systemd*' \
		! -path '/etc/passwd*' ! -path '/etc/group*' ! -path '/etc/shadow*' ! -path '/etc/gshadow*' ! -path '/etc/.pwd.lock' \
		! -path /opt/slapos ! -path /opt/slapos/log ! -path /opt/slapos/bin ! -path /etc/opt ! -path /etc/opt/slapos -printf '%p %y %m %u %l\n' | sort`)
}

// leavesNothing installs a package on a system without a node, looks at it, and
// removes it: nothing started, and nothing stays but accounts and empty directories.
func (n tried) leavesNothing() {
	n.t.Helper()
	m, t := n.m, n.t
	before := n.files()
	n.change(n.packager.install, "1.26.1+7")
	if text := m.Run("slapos", "--version"); !strings.HasPrefix(text, "slapos 1.26.1 (") {
		t.Errorf("--version: %s", text)
	}
	for _, account := range []string{"slapos-proxy", "slapos-cache"} {
		if text := m.Run("getent", "passwd", account); !strings.Contains(text, ":/var/lib/"+account+":") {
			t.Errorf("account: %s", text)
		}
	}
	if text := m.Run("readlink", "/opt/slapos/bin/slapos-watchdog", "/usr/bin/slapos-watchdog"); text != "/usr/bin/slapos-watchdog\nslapos\n" {
		t.Errorf("links: %s", text)
	}
	m.Run("test", "-d", "/opt/slapos/log", "-a", "-d", "/etc/opt/slapos")
	m.Run("man", "-w", "slapos-node-instance")
	m.Run("systemctl", "cat", "slapos.target", "slapos-supervisord.service", "slapos-proxy.service", "slapos-cache.service")
	if text := m.Run("systemctl", "list-units", "--plain", "--no-legend", "slapos*"); text != "" {
		t.Errorf("a new package started\n%s", text)
	}
	if text := m.Run("sh", "-c", "systemctl is-enabled slapos.target slapos-supervisord.service slapos-proxy.service || :"); text != "disabled\ndisabled\ndisabled\n" {
		t.Errorf("a new package enabled %q", text)
	}
	if text := m.Run(n.packager.verify...); text != "" {
		t.Errorf("changed after the installation:\n%s", text)
	}
	// By hand, as the comment of the example says.
	m.Run("sh", "-ec", "cd /etc/opt/slapos; install -m 640 -g slapos-proxy slapos-proxy.cfg.example slapos-proxy.cfg; systemctl enable --now slapos-proxy slapos-cache")
	n.answers()
	m.Run("systemctl", "enable", "slapos.target")
	m.Run("rm", "/etc/opt/slapos/slapos-proxy.cfg")
	n.change(n.packager.remove, "")
	if text := m.Run("systemctl", "list-units", "--plain", "--no-legend", "slapos*"); text != "" {
		t.Errorf("after the removal, there is\n%s", text)
	}
	if n.packager.purge != nil {
		for _, path := range configurationFiles {
			m.Run("test", "-e", path)
		}
		n.change(n.packager.purge, "")
	}
	m.Run("rm", "-r", "/var/lib/slapos-proxy", "/var/lib/slapos-cache") // data are the administrator's
	if after := n.files(); after != before {
		m.Write("/root/before", before, 0o600)
		m.Write("/root/after", after, 0o600)
		text, _ := m.Try("diff", "/root/before", "/root/after")
		t.Errorf("after everything:\n%s", text)
	}
}

// answers waits for the master and the cache server.
func (n tried) answers() {
	n.t.Helper()
	testkit.Eventually(n.t, testkit.Patience, "master and cache server answer", func() bool {
		_, err := n.m.Try("slapos", "computer", "list")
		text, _ := n.m.Try("systemctl", "is-active", "slapos-cache.service")
		return err == nil && text == "active\n"
	})
}

// archive installs the archive as packaging/README.md says.
func (n tried) archive() {
	n.t.Helper()
	n.m.Run("sh", "-ec", `cd /root; tar -xzf archive.tar.gz; cp -R slapos-1.26.1+7-linux-*/usr /
		systemd-sysusers && systemd-tmpfiles --create slapos.conf && systemctl daemon-reload
		install -D -m 644 /usr/share/doc/slapos/examples/*.example -t /etc/opt/slapos/
		cd /etc/opt/slapos; install -m 640 -g slapos-proxy slapos-proxy.cfg.example slapos-proxy.cfg
		systemctl enable --now slapos-proxy slapos-cache`)
	n.answers()
}

const (
	triedClient = "[slapos]\nmaster_url = http://127.0.0.1:5000/\nmaster_rest_url = http://127.0.0.1:5000/hateoas\n"
	triedNode   = `[slapos]
computer_id = COMP-1
master_url = http://127.0.0.1:5000/
software_root = /opt/slapgrid
instance_root = /srv/slapgrid
`
	triedService = `[program:slappart0-one]
command = /bin/sh -c "date +%%s >> /srv/slapgrid/slappart0/starts; exec sleep 1000000"
autorestart = true
startsecs = 0
`
)

// servicesLive changes packages below a running node.
func (n tried) servicesLive() {
	n.t.Helper()
	m, t := n.m, n.t
	n.change(n.packager.install, "1.26.1+7")
	m.Run("mkdir", "-p", "/opt/slapgrid/release", "/srv/slapgrid/slappart0", "/srv/slapgrid/etc/supervisord.conf.d")
	m.Write("/etc/opt/slapos/slapos.cfg", triedNode, 0o644)
	m.Write("/srv/slapgrid/slappart0/data", "data", 0o600)
	m.Write("/opt/slapgrid/release/.completed", "", 0o644)
	m.Write("/srv/slapgrid/etc/supervisord.conf.d/slappart0.conf", triedService, 0o644)
	m.Run("sh", "-ec", `cd /etc/opt/slapos; install -m 640 -g slapos-proxy slapos-proxy.cfg.example slapos-proxy.cfg
		echo '# Of the administrator.' >> /etc/default/slapos-cache
		systemctl enable --now slapos-proxy slapos-cache
		systemctl start slapos-supervisord`)
	n.answers()
	service := func() string {
		t.Helper()
		pid := ""
		testkit.Eventually(t, testkit.Patience, "the service runs", func() bool {
			text, _ := m.Try("pgrep", "-fx", "sleep 1000000")
			pid = text
			return text != ""
		})
		if starts := m.Run("cat", "/srv/slapgrid/slappart0/starts"); strings.Count(starts, "\n") != 1 {
			t.Errorf("the service started at %q", starts)
		}
		if text := m.Run("systemctl", "is-active", "slapos-supervisord.service"); text != "active\n" {
			t.Errorf("the supervisor is %s", text)
		}
		return pid
	}
	data := func() string {
		t.Helper()
		return m.Run("sh", "-c", `find /opt/slapgrid /srv/slapgrid/slappart0 -printf '%p %m %U %G %s\n' | sort`)
	}
	pid, files := service(), data()
	same := func() {
		t.Helper()
		if now := service(); now != pid {
			t.Errorf("the service was %s, now it is %s", pid, now)
		}
		if now := data(); now != files {
			t.Errorf("data were\n%s\nnow\n%s", files, now)
		}
		if text := m.Run("cat", "/etc/opt/slapos/slapos.cfg"); text != triedNode {
			t.Errorf("the configuration is\n%s", text)
		}
	}
	for _, change := range []struct {
		words            []string
		version, example string
	}{
		{n.packager.install, "1.26.1+8", "1"}, {n.packager.downgrade, "1.26.1+7", "0"}, {n.packager.install, "1.26.1+8", "1"},
	} {
		master := m.Run("systemctl", "show", "-P", "MainPID", "slapos-proxy")
		n.change(change.words, change.version)
		same()
		n.answers()
		if now := m.Run("systemctl", "show", "-P", "MainPID", "slapos-proxy"); now == master {
			t.Error("the master is still the former program")
		}
		supervisor := strings.TrimSpace(m.Run("systemctl", "show", "-P", "MainPID", "slapos-supervisord"))
		testkit.Eventually(t, testkit.Patience, "the supervisor is the new program", func() bool {
			text, _ := m.Try("readlink", "/proc/"+supervisor+"/exe")
			return text == "/usr/bin/slapos\n"
		})
		same()
		if text := m.Run("cat", "/etc/default/slapos-cache"); !strings.Contains(text, "Of the administrator") || strings.Contains(text, "Of the later release") {
			t.Errorf("changed configuration after %s:\n%s", change.version, text)
		}
		if text := m.Run("sh", "-c", "grep -c 'Of the later release' /etc/opt/slapos/slapos.cfg.example || :"); text != change.example+"\n" {
			t.Errorf("unchanged configuration after %s: %s", change.version, text)
		}
	}
	n.change(n.packager.remove, "")
	same()
	m.Run("test", "!", "-e", "/usr/bin/slapos")
	m.Run("grep", "Of the administrator", "/etc/default/slapos-cache"+n.packager.kept)
	n.change(n.packager.install, "1.26.1+8")
	same()
	if text := m.Run("slapos", "node", "status"); !strings.Contains(text, "RUNNING") {
		t.Errorf("installed again:\n%s", text)
	}
	if n.packager.purge != nil {
		n.change(n.packager.purge, "")
		same()
		for _, path := range configurationFiles {
			m.Run("test", "!", "-e", path)
		}
		n.change(n.packager.install, "1.26.1+8")
	}
	m.Run("systemctl", "stop", "slapos-supervisord")
	if text, err := m.Try("pgrep", "-fx", "sleep 1000000"); err == nil {
		t.Errorf("stopped, the service runs: %s", text)
	}
}

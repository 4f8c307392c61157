// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/manager"
	"slapos/slap"
	"slapos/slap/testkit"
)

// lines returns the command lines of a plan, without the node's directory.
func (n *node) lines(plan Plan) (lines []string) {
	for _, step := range plan {
		lines = append(lines, strings.ReplaceAll(step.Command, n.directory, ""))
	}
	return lines
}

// FMT-63: the first run with everything on.
// FMT-34, FMT-41, FMT-42, FMT-44, FMT-45, FMT-46, FMT-49, FMT-52, FMT-54, FMT-55, FMT-56.
func TestPlanOfFirstRun(t *testing.T) {
	n := newNode(t, 1)
	n.options.InstanceStorageHome = filepath.Join(n.directory, "storage")
	testkit.WriteFile(t, filepath.Join(n.directory, "storage/data1/x"), "")
	testkit.WriteFile(t, filepath.Join(n.directory, "storage/datax/x"), "")
	n.network.Links["eth0"].Addresses = prefixes("2001:db8:42:1::1/48")
	result := n.format(t)
	ipv4 := result.Computer.Partitions[0].Addresses[0].Address
	want := []string{
		"mkdir -m 0755 /srv/slapgrid",
		"mkdir -m 0755 /opt/slapgrid",
		"groupadd slapsoft",
		"useradd -d /opt/slapgrid -g slapsoft -s /bin/sh -r slapsoft",
		"chown slapsoft: /opt/slapgrid",
		"sysctl net.ipv6.ip_nonlocal_bind=1",
		"groupadd slapuser0",
		"useradd -d /srv/slapgrid/slappart0 -g slapuser0 -s /bin/sh -r -G slapsoft slapuser0",
		"ip tuntap add dev slaptap0 mode tap user slapuser0 && ip link set slaptap0 up",
		"ip addr add 2001:db8:42:8001:ffff:ffff:ffff:ffff/64 dev slaptap0 noprefixroute",
		"ip route add 10.9.0.2 dev slaptap0",
		"ip -6 route add 2001:db8:42:8001::1 dev slaptap0",
		"ip -6 route add 2001:db8:42:8001::/64 dev slaptap0 via 2001:db8:42:8001::1",
		"ip tuntap add dev slaptun0 mode tun user slapuser0 && ip link set slaptun0 up",
		"ip addr add 172.16.0.1/12 dev slaptun0",
		"ip addr add 2001:db8:42:c001::1/64 dev slaptun0",
		"ip addr add " + ipv4 + "/32 dev eth0",
		"ip addr add 2001:db8:42::2/48 dev eth0",
		"wait for duplicate address detection of 1 addresses",
		"ip -6 route add local 2001:db8:42:4001::/64 dev lo",
		"mkdir -m 0750 /srv/slapgrid/slappart0",
		"chown slapuser0: /srv/slapgrid/slappart0",
		"mkdir -m 0750 /storage/data1/slappart0",
		"chown slapuser0: /storage/data1/slappart0",
		"mkdir -p -m 0700 /pki",
	}
	if got := n.lines(result.Plan); !slices.Equal(got, want) {
		t.Errorf("plan\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	tap, tun := result.Computer.Partitions[0].Tap, result.Computer.Partitions[0].Tun
	wantTap := Device{Name: "slaptap0",
		IPv4: DeviceNetwork{Address: "10.9.0.2", Netmask: "255.255.255.0", Gateway: "10.9.0.1", Network: "10.9.0.0"},
		IPv6: DeviceNetwork{Address: "2001:db8:42:8001:ffff:ffff:ffff:ffff", Netmask: "ffff:ffff:ffff:ffff::", Gateway: "2001:db8:42:8001::1", Network: "2001:db8:42:8001::1/64"}}
	wantTun := Device{Name: "slaptun0",
		IPv4: DeviceNetwork{Address: "172.16.0.1", Netmask: "255.240.0.0", Network: "172.16.0.1/255.240.0.0"},
		IPv6: DeviceNetwork{Address: "2001:db8:42:c001::1", Netmask: "ffff:ffff:ffff:ffff::", Network: "2001:db8:42:c001::1/64"}}
	if tap != wantTap || *tun != wantTun {
		t.Errorf("tap %+v\ntun %+v", tap, tun)
	}
	if got := testkit.ReadFile(t, filepath.Join(n.directory, "sys", nonlocalBind)); got != "1" {
		t.Errorf("ip_nonlocal_bind is %q", got)
	}
}

// account removes the directory from what a test node knows of its users.
func (n *node) account(t *testing.T, name string) User {
	accounts, err := readAccounts(n.options.Machine.Etc)
	if err != nil {
		t.Fatal(err)
	}
	return accounts.Users[name]
}

func TestSecondRunChangesNothing(t *testing.T) {
	n := newNode(t, 7)
	first := n.format(t)
	if len(first.Plan) == 0 || len(n.posted) != 1 {
		t.Fatalf("first run: %d steps, %d posts", len(first.Plan), len(n.posted))
	}
	// Tests can't change owners; the record of the changes shows them.
	userOfSecond := n.account(t, "slapuser1")
	if got := n.owners[first.Computer.Partitions[1].Path]; got == "" || userOfSecond.UID == 0 {
		t.Errorf("owner of partition 1 %q, user %+v", got, userOfSecond)
	}
	n.options.AlterUser = false
	second := n.format(t)
	if got := n.lines(second.Plan); got != nil {
		t.Errorf("second plan %q", got)
	}
	if !reflect.DeepEqual(n.posted[0], n.posted[1]) {
		t.Errorf("posted\n%v\nthen\n%v", n.posted[0], n.posted[1])
	}
	n.options.AlterUser, n.commands = true, nil
	n.format(t)
	if n.commands != nil {
		t.Errorf("second run with users: %q", n.commands)
	}
}

// After a reboot directories and users exist; devices, addresses and routes are
// gone, and come back as they were. FMT-44.
func TestRunAfterRestart(t *testing.T) {
	n := newNode(t, 3)
	first := n.format(t)
	before, _ := n.network.Present(t.Context())
	fresh := newFakeNetwork(map[string][]netipPrefix{"eth0": prefixes("192.0.2.10/24", "2001:db8:1:2::1/64"), "gw0": prefixes("10.9.0.1/24")})
	n.network.NetworkState = fresh.NetworkState
	second := n.format(t)
	if !reflect.DeepEqual(first.Computer.Partitions, second.Computer.Partitions) {
		t.Errorf("partitions\n%+v\nthen\n%+v", first.Computer.Partitions[0], second.Computer.Partitions[0])
	}
	after, _ := n.network.Present(t.Context())
	for name, link := range before.Links {
		byAddress := func(a, b netipPrefix) int { return a.Addr().Compare(b.Addr()) }
		slices.SortFunc(link.Addresses, byAddress)
		if name == "eth0" {
			link.Addresses = slices.DeleteFunc(link.Addresses, func(p netipPrefix) bool { return p.Addr().IsLinkLocalUnicast() })
		}
		slices.SortFunc(after.Links[name].Addresses, byAddress)
		if !slices.Equal(link.Addresses, after.Links[name].Addresses) {
			t.Errorf("%s has %v, had %v", name, after.Links[name].Addresses, link.Addresses)
		}
	}
	if len(after.Routes) != len(before.Routes) {
		t.Errorf("%d routes, before %d", len(after.Routes), len(before.Routes))
	}
}

// Wherever a run is stopped, the next one has the result of an undisturbed run,
// and leaves nothing else behind.
func TestInterruptedRunIsCompleted(t *testing.T) {
	whole := newNode(t, 2)
	want := whole.format(t)
	stop := errors.New("stopped")
	for k := 0; ; k++ {
		n := newNode(t, 2)
		left := k
		ctx, cancel := context.WithCancel(t.Context())
		n.network.fail = func() error {
			if left--; left < 0 {
				cancel()
				return stop
			}
			return nil
		}
		_, err := Run(ctx, n.options)
		cancel()
		if err == nil {
			if k < 20 {
				t.Fatalf("only %d changes", k)
			}
			return
		}
		if !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := os.Stat(n.options.ComputerXML); err == nil || n.posted != nil {
			t.Fatalf("stopped at change %d: state was saved or posted", k)
		}
		n.network.fail = nil
		got := n.format(t)
		for i, partition := range got.Computer.Partitions {
			if !slices.Equal(partition.Addresses, want.Computer.Partitions[i].Addresses) {
				t.Fatalf("stopped at change %d: partition %d has %v, want %v", k, i, partition.Addresses, want.Computer.Partitions[i].Addresses)
			}
		}
		if a, b := len(n.network.Links["eth0"].Addresses), len(whole.network.Links["eth0"].Addresses); a != b {
			t.Fatalf("stopped at change %d: %d addresses are on eth0, want %d", k, a, b)
		}
		if len(n.network.Routes) != len(whole.network.Routes) || len(n.network.Links) != len(whole.network.Links) {
			t.Fatalf("stopped at change %d: %d routes, %d links", k, len(n.network.Routes), len(n.network.Links))
		}
	}
}

// D-8, FMT-89, FMT-90, FMT-91.
func TestDryRunChangesNothing(t *testing.T) {
	n := newNode(t, 2)
	n.options.DryRun = true
	n.network.fail = func() error { t.Error("something was changed"); return errors.New("changed") }
	result := n.format(t)
	if len(result.Plan) < 20 || n.posted != nil {
		t.Errorf("%d steps, %d posts", len(result.Plan), len(n.posted))
	}
	var found []string
	err := filepath.WalkDir(n.directory, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, strings.TrimPrefix(path, n.directory))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "/etc", "/etc/group", "/etc/os-release", "/etc/passwd", "/etc/shadow",
		"/sys", "/sys/net", "/sys/net/ipv6", "/sys/net/ipv6/ip_nonlocal_bind"}
	if !slices.Equal(found, want) {
		t.Errorf("files %q", found)
	}
	// What was printed is what is done now.
	n.network.fail, n.options.DryRun = nil, false
	if did := n.format(t); !slices.Equal(n.lines(did.Plan), n.lines(result.Plan)) {
		t.Errorf("done\n%q\nprinted\n%q", n.lines(did.Plan), n.lines(result.Plan))
	}
}

func TestDuplicateLimit(t *testing.T) {
	m := &Machine{ProcSys: t.TempDir()}
	if got := m.duplicateLimit("eth0"); got != 5*time.Second {
		t.Errorf("limit %s", got)
	}
	testkit.WriteFile(t, filepath.Join(m.ProcSys, "net/ipv6/conf/eth0/dad_transmits"), "3\n")
	testkit.WriteFile(t, filepath.Join(m.ProcSys, "net/ipv6/neigh/eth0/retrans_time_ms"), "2000\n")
	if got := m.duplicateLimit("eth0"); got != 10*time.Second {
		t.Errorf("limit %s", got)
	}
}

// A faulty partition doesn't keep those before it from being formatted.
func TestFaultyPartition(t *testing.T) {
	n := newNode(t, 3)
	n.options.TapGatewayInterface = ""
	n.network.Links["slaptap1"] = &Link{Owner: -1} // not a tap
	_, err := Run(t.Context(), n.options)
	if err == nil || !strings.Contains(err.Error(), "partition slappart1: network interface slaptap1 exists but is not a tap") {
		t.Errorf("error %v", err)
	}
	if !n.network.has("slaptap0", netipAddr("2001:db8:1:2:8001:ffff:ffff:ffff")) || n.network.Links["slaptap2"] != nil {
		t.Errorf("links %v", n.network.Links)
	}
}

// FMT-51: somebody else's tap is left alone, even if the user is new. If the
// partition's user has one that is down, an earlier run stopped there.
func TestPresentTap(t *testing.T) {
	n := newNode(t, 1)
	n.network.Links["slaptap0"] = &Link{TunTap: true, Owner: 7}
	if _, err := Run(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), "network is down") || n.network.Links["slaptap0"].Up {
		t.Errorf("error %v", err)
	}
	if _, err := Run(t.Context(), n.options); err == nil || n.network.Links["slaptap0"].Up {
		t.Errorf("second run: error %v", err)
	}
	n.network.Links["slaptap0"].Owner = n.account(t, "slapuser0").UID
	if n.format(t); !n.network.Links["slaptap0"].Up {
		t.Error("the tap is not set up")
	}
}

// A file in place of the certificate directory would stop the agent later.
func TestCertificateRepositoryIsAFile(t *testing.T) {
	n := newNode(t, 1)
	testkit.WriteFile(t, n.options.CertificateRepository, "")
	if _, err := Run(t.Context(), n.options); err == nil || !strings.Contains(err.Error(), n.options.CertificateRepository) {
		t.Errorf("error %v", err)
	}
}

// FMT-76: it will contain the partitions' keys.
func TestCertificateRepositoryIsPrivate(t *testing.T) {
	n := newNode(t, 1)
	n.options.CertificateRepository = filepath.Join(n.directory, "etc", "slapos", "pki")
	n.format(t)
	if info, err := os.Stat(n.options.CertificateRepository); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("%v, %v", info, err)
	}
}

// FMT-76, FMT-87, FMT-88.
func TestPostFails(t *testing.T) {
	for _, failure := range []error{errors.New("no route"), slap.ErrNotFound} {
		n := newNode(t, 1)
		n.postError = failure
		_, err := Run(t.Context(), n.options)
		var post *PostError
		if !errors.As(err, &post) || !errors.Is(err, failure) {
			t.Errorf("error %v", err)
		}
		if errors.Is(failure, slap.ErrNotFound) != strings.Contains(err.Error(), "computer_id") {
			t.Errorf("error %v", err)
		}
		if _, err := os.Stat(n.options.ComputerXML); err != nil {
			t.Errorf("state is not saved: %v", err)
		}
		if len(n.posted) != 1 {
			t.Errorf("posted %d times", len(n.posted))
		}
	}
}

func TestPartitionUserIsMissing(t *testing.T) {
	n := newNode(t, 1)
	n.options.AlterUser = false
	_, err := Run(t.Context(), n.options)
	if err == nil || !strings.Contains(err.Error(), "partition slappart0: there is no user slapuser0") {
		t.Errorf("error %v", err)
	}
	// Users may come from elsewhere.
	testkit.WriteFile(t, filepath.Join(n.directory, "etc/nsswitch.conf"), "passwd: files ldap [NOTFOUND=return]\n")
	n.options.Machine.Run = func(_ context.Context, words ...string) ([]byte, error) {
		if !slices.Equal(words, []string{"getent", "passwd", "slapuser0"}) {
			t.Errorf("ran %q", words)
		}
		return []byte("slapuser0:*:70001:70001::/home:/bin/sh\n"), nil
	}
	n.format(t)
}

// recordingManager records calls of its hooks.
type recordingManager struct {
	manager.Manager
	calls *[]string
	fail  error
}

func (m recordingManager) Name() string { return "recording" }

func (m recordingManager) Format(_ context.Context, computer *manager.Computer) error {
	*m.calls = append(*m.calls, "format "+computer.Reference)
	computer.Do("make something", func(context.Context) error {
		*m.calls = append(*m.calls, "apply")
		return m.fail
	})
	return nil
}

// FMT-43, FMT-70.
// MGR-3.
func TestManagers(t *testing.T) {
	n := newNode(t, 1)
	var calls []string
	n.options.Managers = []manager.Manager{recordingManager{calls: &calls, fail: errors.New("no")}}
	want := []string{"format COMP-1234", "apply"}
	if _, err := Run(t.Context(), n.options); err == nil || !slices.Equal(calls, want) {
		t.Errorf("calls %q, error %v", calls, err)
	}
	calls = nil
	n.options.Managers = []manager.Manager{recordingManager{calls: &calls}}
	result := n.format(t)
	if !slices.Equal(calls, want) || !slices.Contains(n.lines(result.Plan), "make something") {
		t.Errorf("calls %q, plan %q", calls, n.lines(result.Plan))
	}
	calls = nil
	n.options.Input = &Input{SoftwareUser: "builder", Partitions: []InputPartition{{Path: "first", User: "firstuser", Tap: "firsttap"}}}
	if n.format(t); calls != nil { // FMT-67
		t.Errorf("calls with a definition file: %q", calls)
	}
}

func BenchmarkUnchangedRun(b *testing.B) {
	n := newNode(b, 100)
	n.format(b)
	n.options.AlterUser = false
	b.ResetTimer()
	for range b.N {
		n.format(b)
	}
}

// D-12: each partition gets a control group with its limits, once.
func TestControlGroups(t *testing.T) {
	n := newNode(t, 2)
	root := filepath.Join(n.directory, "cgroup")
	testkit.WriteFile(t, filepath.Join(root, "cgroup.controllers"), "cpu memory pids\n")
	testkit.WriteFile(t, filepath.Join(root, "cgroup.subtree_control"), "cpu memory pids\n")
	n.options.Limits.PIDsMax = 100
	first := n.lines(n.format(t).Plan)
	slice := "/cgroup/slapos.slice/slapos-slappart1.slice"
	if !slices.Contains(first, "mkdir "+slice) || !slices.Contains(first, "echo 100 > "+slice+"/pids.max") {
		t.Errorf("plan %q", first)
	}
	// Files that the kernel would create are missing: that is not a failure.
	if info, err := os.Stat(filepath.Join(root, "slapos.slice")); err != nil || !info.IsDir() {
		t.Error(err)
	}
}

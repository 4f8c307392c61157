// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"slapos/slap"
	"slapos/slap/testkit"
)

// If this variable names a directory, the test program formats a node there,
// and writes a byte to descriptor 3 after each step.
const victimVariable = "SLAPOS_FORMAT_TEST_VICTIM"

// realNode is a node on the kernel's network, with the machine's programs for
// users. If the sandbox doesn't have all user numbers, root stands for the
// partitions' users.
func realNode(t *testing.T, directory string) Options {
	n := newNode(t, 2)
	o := n.options
	o.Machine.Network, o.Machine.Run, o.Machine.Chown, o.Machine.Etc = nil, nil, nil, ""
	o.InterfaceName, o.TapGatewayInterface = "net0", ""
	o.AlterUser = realRoot
	devices := canMakeDevices(t)
	o.CreateTap, o.CreateTun = devices, devices
	o.InstanceRoot, o.SoftwareRoot = filepath.Join(directory, "srv"), filepath.Join(directory, "opt")
	o.CertificateRepository, o.ComputerXML = filepath.Join(directory, "pki"), filepath.Join(directory, "slapos.xml")
	o.Machine.ProcSys = filepath.Join(directory, "sys")
	o.Post = func(context.Context, slap.Dict) error { return nil }
	return o
}

// privateUsers starts over with the sandbox's users.
func privateUsers(t *testing.T) {
	t.Helper()
	passwd := "root:x:0:0:root:/root:/bin/sh\n"
	if !realRoot {
		passwd += "slapuser0:x:0:0::/:/bin/sh\nslapuser1:x:0:0::/:/bin/sh\n"
	}
	for name, content := range map[string]string{"passwd": passwd, "group": "root:x:0:\n", "shadow": "root:*:19000:0:99999:7:::\n", "gshadow": "root:*::\n"} {
		testkit.WriteFile(t, filepath.Join("/etc", name), content)
	}
}

// A run that is killed at any moment is completed by the next one: the result
// equals that of an undisturbed run, and a third run has nothing to do.
func TestKilledRun(t *testing.T) {
	if directory := os.Getenv(victimVariable); directory != "" {
		o := realNode(t, directory)
		steps := os.NewFile(3, "steps")
		o.Progress = func(int, int) { fmt.Fprint(steps, ".") }
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return
	}
	privateEtc(t)
	undisturbed, total := "", 0
	for killed := 0; killed == 0 || killed < total; killed += 1 + total/8 {
		wire(t, "net0", "192.0.2.10/24", "2001:db8:7::1/64")
		testkit.WriteFile(t, "/proc/sys/net/ipv6/conf/net0/accept_dad", "0")
		privateUsers(t)
		directory := t.TempDir()
		testkit.WriteFile(t, filepath.Join(directory, "sys", nonlocalBind), "0\n")
		if killed > 0 {
			killAfter(t, directory, killed)
		}
		o := realNode(t, directory)
		result, err := Run(t.Context(), o)
		if err != nil {
			t.Fatalf("after a kill at step %d: %v", killed, err)
		}
		if killed == 0 {
			total = len(result.Plan)
		}
		if again, err := Run(t.Context(), o); err != nil || len(again.Plan) > 0 {
			t.Errorf("after a kill at step %d: a run too many would do %v, error %v", killed, again.Plan, err)
		}
		switch after := snapshot(t, o); {
		case undisturbed == "":
			undisturbed = after
		case after != undisturbed:
			t.Errorf("after a kill at step %d:\n%s\nundisturbed:\n%s", killed, after, undisturbed)
		}
		for _, name := range []string{"slaptap0", "slaptap1", "slaptun0", "slaptun1", "net0"} {
			remove(name)
		}
		forgetRanges(t, result.Computer)
	}
	if total < 10 {
		t.Errorf("only %d steps", total)
	}
}

// killAfter formats in its own process and kills it after some steps.
func killAfter(t *testing.T, directory string, steps int) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	victim := exec.Command("/proc/self/exe", "-test.run=^TestKilledRun$")
	// Its temporary files stay, since its test doesn't end.
	victim.Env = append(os.Environ(), victimVariable+"="+directory, "TMPDIR="+t.TempDir())
	victim.ExtraFiles = []*os.File{write}
	victim.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	for byte := make([]byte, 1); steps > 0; steps-- {
		if _, err := read.Read(byte); err != nil {
			t.Errorf("the run ended %d steps too early", steps)
			break
		}
	}
	_ = victim.Process.Kill()
	_ = victim.Wait()
	// Its last command, such as usermod, may go on for a moment. It has the
	// pipe, too.
	if _, err := io.Copy(io.Discard, read); err != nil {
		t.Error(err)
	}
}

// snapshot describes everything on the machine that formatting changes.
func snapshot(t *testing.T, o Options) string {
	t.Helper()
	var lines []string
	line := func(format string, arguments ...any) { lines = append(lines, fmt.Sprintf(format, arguments...)) }
	accounts, err := readAccounts("/etc")
	if err != nil {
		t.Fatal(err)
	}
	// Numbers of users and groups depend on what was free.
	users, groups := map[int]string{}, map[int]string{}
	for name, group := range accounts.Groups {
		groups[group.GID] = name
		line("group %s of %v", name, group.Members)
	}
	for name, user := range accounts.Users {
		users[user.UID] = max(users[user.UID], name) // several may be root
		line("user %s of %s, home %s, locked %t", name, groups[user.GID], user.Home, user.Locked)
	}
	state, err := kernelNetwork{}.Present(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The kernel itself makes the routes to addresses and their networks, some
	// time after the interface is up: a run doesn't.
	byKernel := map[netip.Prefix]bool{}
	for name, link := range state.Links {
		for _, address := range link.Addresses {
			byKernel[address.Masked()] = true
			byKernel[netip.PrefixFrom(address.Addr(), address.Addr().BitLen())] = true
			if !address.Addr().IsLinkLocalUnicast() {
				line("address %s on %s", address, name)
			}
		}
		line("link %s: up %t, owner %s", name, link.Up, users[link.Owner])
	}
	for _, route := range state.Routes {
		if !byKernel[route.Destination] && !route.Destination.Addr().IsLinkLocalUnicast() && !route.Destination.Addr().IsMulticast() {
			line("%s", routeCommand("add", route))
		}
	}
	directory := filepath.Dir(o.ComputerXML)
	err = filepath.WalkDir(directory, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		information, err := os.Stat(path)
		if err == nil {
			stat := information.Sys().(*syscall.Stat_t)
			line("%s %s %s:%s", strings.TrimPrefix(path, directory), information.Mode(), users[int(stat.Uid)], groups[int(stat.Gid)])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.ReplaceAll(strings.Join(lines, "\n"), directory, "")
}

// forgetRanges removes the routes to partitions' ranges, which lo keeps.
func forgetRanges(t *testing.T, computer *Computer) {
	t.Helper()
	for _, partition := range computer.Partitions {
		route := Route{Destination: netip.MustParsePrefix(partition.Range.Network), Link: "lo", Local: true}
		if err := (kernelNetwork{}).DeleteRoute(t.Context(), route); err != nil {
			t.Error(err)
		}
	}
}

// If a run was stopped while it waited, and another machine turned out to have
// the address, the next run must not take it for its own.
func TestUnsettledAddress(t *testing.T) {
	wire(t, "net0", "2001:db8:7::1/64")
	otherMachine(t, "net0p", "2001:db8:7::2/64")
	network := kernelNetwork{}
	address := LinkAddress{Link: "net0", Address: netip.MustParsePrefix("2001:db8:7::2/64")}
	watch, err := network.WatchDuplicates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	if err := network.AddAddress(t.Context(), address.Link, address.Address, AddressOptions{}); err != nil {
		t.Fatal(err)
	}
	if refused, _, err := watch.Wait(t.Context(), []LinkAddress{address}, time.Minute); err != nil || len(refused) != 1 {
		t.Fatalf("refused %v, %v", refused, err)
	}
	n := kernelNode(t, 1)
	n.options.CreateTap, n.options.CreateTun = false, false
	result := n.format(t)
	if got := result.Computer.Partitions[0].Addresses[1].Address; got == "2001:db8:7::2" {
		t.Errorf("partition 0 has the other machine's address")
	}
	if link, err := netlink.LinkByName("net0"); err != nil {
		t.Error(err)
	} else if addresses, _ := netlink.AddrList(link, netlink.FAMILY_V6); slices.ContainsFunc(addresses, func(a netlink.Addr) bool { return a.IP.String() == "2001:db8:7::2" }) {
		t.Errorf("net0 still has it: %v", addresses)
	}
}

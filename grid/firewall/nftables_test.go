// SPDX-License-Identifier: GPL-3.0-or-later

package firewall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// An nftablesNode is a machine with the addresses 10.0.0.1 to .4.
type nftablesNode struct {
	t    *testing.T
	root *confined.Directory
	// state is the agent's directory.
	state *confined.Directory
}

func newNftablesNode(t *testing.T) *nftablesNode {
	runtime.LockOSThread()
	loopback, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(loopback)
	}
	for i := 1; i <= 4 && err == nil; i++ {
		var address *netlink.Addr
		if address, err = netlink.ParseAddr(fmt.Sprintf("10.0.0.%d/32", i)); err == nil {
			err = netlink.AddrAdd(loopback, address)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(t.TempDir(), "slappart0")
	os.Mkdir(directory, 0o750)
	root, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	state, err := confined.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	return &nftablesNode{t, root, state}
}

func (n *nftablesNode) set(partition string, traffic Traffic) (changed bool) {
	n.t.Helper()
	before, _ := os.Stat(n.root.Join(RulesFile))
	if err := (&Firewall{backend: nftablesBackend{}}).Set(context.Background(), Place{Partition: partition, State: n.state, Directory: n.root, Addresses: traffic.Addresses},
		traffic.Rules(slog.Default()), slog.Default()); err != nil {
		n.t.Fatal(err)
	}
	after, err := os.Stat(n.root.Join(RulesFile))
	if err != nil {
		n.t.Fatal(err)
	}
	return !os.SameFile(before, after)
}

// reaches reports whether a connection from one address to another succeeds.
// The firewall must accept or reject it, never leave it without an answer.
func (n *nftablesNode) reaches(from, to string) bool {
	n.t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(to, "0"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer listener.Close()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	connection, err := dialer.Dial("tcp", listener.Addr().String())
	if err == nil {
		connection.Close()
		return true
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		n.t.Errorf("%s to %s: %v", from, to, err)
	}
	return false
}

func (n *nftablesNode) expect(what string, want map[string]bool) {
	n.t.Helper()
	for pair, reachable := range want {
		from, to, _ := strings.Cut(pair, ">")
		if n.reaches("10.0.0."+from, "10.0.0."+to) != reachable {
			n.t.Errorf("%s: %s is not %v", what, pair, reachable)
		}
	}
}

func TestNftables(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNET) {
		return
	}
	n := newNftablesNode(t)
	n.expect("before", map[string]bool{"2>1": true})

	restricted := trafficTo("10.0.0.1")
	restricted.Peers = []slap.Address{{IP: "10.0.0.3"}}
	if !n.set("slappart0", restricted) {
		t.Error("nothing changed at first")
	}
	n.expect("accept mode", map[string]bool{"2>1": false, "4>1": false, "3>1": true, "2>4": true})
	if n.set("slappart0", restricted) {
		t.Error("the same rules changed something")
	}

	restricted.Authorized = []string{"10.0.0.4/31"}
	n.set("slappart0", restricted)
	n.expect("network authorized", map[string]bool{"2>1": false, "4>1": true, "3>1": true})

	open := trafficTo("10.0.0.2")
	open.Filter = slap.Dict{"fw_restricted_access": "off", "fw_rejected_sources": "10.0.0.4"}
	n.set("slappart1", open)
	n.expect("reject mode", map[string]bool{"4>2": false, "3>2": true, "2>1": false, "4>1": true})

	n.set("slappart0", Traffic{Addresses: []slap.Address{{Interface: "route_a", IP: "10.0.0.3"}, {Interface: "route_b", IP: "10.0.0.4"}}})
	n.expect("other addresses", map[string]bool{"2>1": true, "2>3": false, "1>4": false})

	flushRuleset(t)
	n.expect("rules lost", map[string]bool{"2>3": true})
	if !n.set("slappart1", open) {
		t.Error("lost rules were not put back")
	}
	n.expect("rules back", map[string]bool{"4>2": false, "3>2": true})

	n.set("slappart0", Traffic{})
	n.set("slappart1", Traffic{})
	n.expect("removed", map[string]bool{"2>1": true, "4>2": true})
	if chains := nftablesChains(t); !slices.Equal(chains, []string{"forward", "input"}) {
		t.Errorf("chains left: %v", chains)
	}
	if n.set("slappart1", Traffic{}) {
		t.Error("removing nothing changed something")
	}
}

func flushRuleset(t *testing.T) {
	t.Helper()
	connection, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	connection.FlushRuleset()
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
}

func nftablesChains(t *testing.T) []string {
	t.Helper()
	connection, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := connection.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, chain := range chains {
		names = append(names, chain.Name)
	}
	slices.Sort(names)
	return names
}

// TestNftablesLosesNothingAtOnce changes rules under traffic: a rejected source
// never gets through during the change.
func TestNftablesLosesNothingAtOnce(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNET) {
		return
	}
	n := newNftablesNode(t)
	traffic := trafficTo("10.0.0.1")
	n.set("slappart0", traffic)
	for i := range 10 {
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer close(done)
			for j := range 5 {
				other := traffic
				other.Authorized = []string{fmt.Sprintf("10.1.%d.%d", i, j)}
				n.set("slappart0", other)
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			if n.reaches("10.0.0.2", "10.0.0.1") {
				t.Fatal("a packet got through")
			}
		}
	}
}

func TestNftablesWithoutRights(t *testing.T) {
	if testkit.AsOrdinaryUser(t) {
		return
	}
	_, err := nftablesBackend{}.apply(context.Background(), "slappart0", nil, trafficTo("10.0.0.1").Rules(slog.Default()))
	if err == nil || !strings.Contains(err.Error(), "run as root") {
		t.Error(err)
	}
}

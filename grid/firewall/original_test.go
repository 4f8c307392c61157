// SPDX-License-Identifier: GPL-3.0-or-later

package firewall

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// likeSlapos sets the rules of a partition with slapos.core, but for firewalld.
const likeSlapos = `
import logging, types
from slapos.grid.slapgrid import Slapgrid
logger = logging.getLogger("test")
logger.disabled = True
class Node(Slapgrid):
  def __init__(self): self.logger = logger
  def _addFirewallRule(self, command): return True
  _removeFirewallRule = _addFirewallRule
for line in sys.stdin:
  c = json.loads(line)
  node = Node()
  node.instance_root = c["Root"]
  node.firewall_conf = {"firewall_cmd": "true", "reload_config_cmd": "true", "authorized_sources": c["Authorized"] or []}
  filter_dict = {key: value for key, value in c["Filter"].items() if value is not None} if c["Filter"] is not None else None
  partition = types.SimpleNamespace(getId=lambda: "slappart0", _filter_dict=filter_dict,
    getFullHostingIpAddressList=lambda: [(a["Interface"], a["IP"]) for a in c["Peers"] or []])
  node._setupComputerPartitionFirewall(partition, [(a["Interface"], a["IP"]) for a in c["Addresses"] or []], drop_entries=c["Drop"])
  path = os.path.join(c["Root"], "slappart0/.slapos-firewalld-rules")
  out = {}
  if os.path.exists(path):
    out["rules"] = content(path)
    os.unlink(path)
  answer(out)
`

// The file with a partition's rules has slapos.core's bytes and mode, and is there
// only where that program writes one (GRID-80 to GRID-82): the first time, and for up
// to one routed address, since with several each removes the rules of the one before.
func TestRulesFileLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	type settings struct {
		Root             string
		Addresses, Peers []slap.Address
		Authorized       []string
		Filter           map[string]string
		Drop             bool
	}
	ip := func() string {
		return random.One("10.0.0.1", "10.0.0.2", "192.168.7.255", "0.0.0.0", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1", "10.0.0", "10.0.0.01", "", "é")
	}
	source := func() string {
		return random.One("1.2.3.4", "10.0.0.0/8", "10.1.2.3/16", "1.2.3.4/32", "10.7.0.0/255.255.0.0", "", "x", "2001:db8::/32", "1.2.3", "256.1.1.1")
	}
	cases := make([]settings, random.Cases(300, 10000))
	for i := range cases {
		c := settings{Root: filepath.Join(t.TempDir(), "instances"), Drop: random.IntN(8) == 0}
		for range random.IntN(3) {
			c.Addresses = append(c.Addresses, slap.Address{Interface: random.One("", "slaptun0", "xroute_"), IP: ip()})
		}
		if random.IntN(5) > 0 {
			c.Addresses = append(c.Addresses, slap.Address{Interface: random.One("route_", "route_slaptap0"), IP: ip()})
		}
		for range random.IntN(5) {
			c.Peers = append(c.Peers, slap.Address{Interface: random.One("", "route_a"), IP: ip()})
		}
		if random.IntN(4) > 0 {
			c.Filter = map[string]string{}
			for range random.IntN(4) {
				c.Authorized = append(c.Authorized, source())
			}
			for _, name := range []string{"fw_authorized_sources", "fw_rejected_sources"} {
				if random.IntN(3) > 0 {
					c.Filter[name] = strings.Join([]string{source(), source(), source()}[:random.IntN(4)], " ")
				}
			}
			if random.IntN(3) > 0 {
				c.Filter["fw_restricted_access"] = random.One("off", "on", "", "Off")
			}
		}
		cases[i] = c
		if err := os.MkdirAll(filepath.Join(c.Root, "slappart0"), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(c.Root, "state"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	files := testkit.Original(t, likeSlapos, cases, func(c settings, theirs map[string][]byte) {
		f := &Firewall{backend: applied{}}
		root, err := confined.Open(filepath.Join(c.Root, "slappart0"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		state, err := confined.Open(filepath.Join(c.Root, "state"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = state.Close() }()
		traffic := Traffic{Addresses: c.Addresses, Peers: c.Peers, Filter: slap.Dict{}, Authorized: c.Authorized}
		for name, value := range c.Filter {
			traffic.Filter[name] = value
		}
		rules := traffic.Rules(log)
		if c.Drop {
			rules = nil
		}
		if err := f.Set(t.Context(), Place{Partition: "slappart0", State: state, Directory: root, Addresses: c.Addresses}, rules, log); err != nil {
			t.Fatal(err)
		}
		want, written := theirs["rules"]
		got := ""
		if root.Exists(RulesFile) {
			got = testkit.Content(t, root.Join(RulesFile))
		}
		if got != string(want) || root.Exists(RulesFile) != written {
			t.Fatalf("%+v\nslapos.core %q\nwe          %q", c, want, got)
		}
	})
	t.Logf("%d files of %d partitions", files, len(cases))
}

// applied takes all rules.
type applied struct{}

func (applied) apply(context.Context, string, []Rule, []Rule) (bool, error) { return true, nil }

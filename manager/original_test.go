// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// likeSlapos calls the managers of slapos.core with partitions that only record. The
// answer has the programs of each group, and the files in the partition.
const likeSlapos = `
import logging, types
from slapos.grid import SlapObject
from slapos.manager import portredir, prerm, whitelistfirewall
logging.disable(logging.CRITICAL)
portredir.which = lambda name: "/bin/socat"
class Firewall(whitelistfirewall.Manager):
  def _fwCommunicate(self, *arguments): return "yes"
  def _reloadFirewalld(self): pass
class Supervisor:
  def __enter__(self): return self
  def __exit__(self, *a): pass
  def getProcessInfo(self, name): return {"start": 1}
class Partition(SlapObject.Partition):
  def getUserGroupId(self): return 2003, 2103
  def getSupervisorRPC(self): return Supervisor()
  def createRetentionLockDate(self): pass
  def checkRetentionIsAuthorized(self): return True
  def writeSupervisorConfigurationFiles(self):
    for group, programs in self.supervisor_conf.items():
      if group != self.partition_id:
        out[group] = "".join("%s|%s|%d\n" % (name, command, as_user) for name, command, as_user in programs.values()).encode()
for line in sys.stdin:
  c = json.loads(line)
  out = {}
  ips = types.SimpleNamespace(getInstanceParameterDict=lambda: {"ip_list": [("lo", ip) for ip in c["IPs"] or []]})
  p = Partition("/none", c["Path"], "", "", "", "", ips, "COMP", "slappart3", "", "", None, logging.getLogger("x"))
  portredir.Manager({}).instanceTearDown(p)
  prerm.Manager({}).report(p)
  Firewall({"firewall": {"firewall_cmd": "x"}}).instanceTearDown(p)
  for name in ".slapos-report-wait-service-list", ".slapos-whitelist-firewall.md5sum":
    path = os.path.join(c["Path"], name)
    if os.path.exists(path):
      out[name] = content(path)
      os.unlink(path)
  answer(out)
`

// What managers leave, and the programs that they give to the supervisor, are
// slapos.core's: neither program restarts them when the other has written them
// (MGR-31, MGR-41, MGR-53).
func TestFilesLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	type settings struct {
		Path string
		IPs  []string
	}
	cases := make([]settings, random.Cases(200, 5000))
	for i := range cases {
		c := settings{Path: t.TempDir()}
		reachable(t, filepath.Dir(c.Path), c.Path)
		for range random.IntN(4) {
			c.IPs = append(c.IPs, random.One("10.0.0.4", "2001:db8::5", "2001:DB8:0::6", "::1"))
		}
		var entries []map[string]any
		for range random.IntN(6) {
			entry := map[string]any{}
			put := func(key string, values ...any) {
				if value := values[random.IntN(len(values))]; value != nil {
					entry[key] = value
				}
			}
			put("type", nil, "tcp", "udp", "TCP", "UdP", "sctp")
			put("srcPort", nil, 80, 1023, 1024, 2000, 2001, "2001", "x", []int{4}, 65535)
			put("destPort", nil, 1, 80, "8080", 65535, "y")
			put("srcAddress", nil, nil, "10.0.0.1", "::1", "::ffff:10.0.0.1", "host", "2001:db8:0:0:1::", "1:2:3:4:5:6:7:8", "::")
			put("destAddress", nil, nil, "127.0.0.1", "::2", "2001:DB8::0:7", "name", "::ffff:0:1")
			entries = append(entries, entry)
		}
		if entries != nil {
			request, err := json.Marshal(entries)
			if err != nil {
				t.Fatal(err)
			}
			testkit.WriteFile(t, filepath.Join(c.Path, redirectRequest), string(request))
		}
		for range random.IntN(5) {
			testkit.WriteFile(t, filepath.Join(c.Path, "etc/prerm/"+random.One("a", "b", "c", "z-é", "10", "drop.sh")), "")
		}
		if random.IntN(2) == 0 {
			testkit.WriteFile(t, filepath.Join(c.Path, whitelistRequest), random.One("[]", `["10.0.0.1"]`, "[ \"::1\", 3 ]\n", "{}", "[", "null", `["é"]`))
		}
		cases[i] = c
	}
	firewallCommand := testkit.WriteFile(t, filepath.Join(t.TempDir(), "firewall-cmd"), "#!/bin/sh\necho yes\n")
	if err := os.Chmod(firewallCommand, 0o755); err != nil {
		t.Fatal(err)
	}
	files := testkit.Original(t, likeSlapos, cases, func(c settings, theirs map[string][]byte) {
		supervisor := newRecorder()
		partition := &Partition{ID: "slappart3", Path: c.Path, UID: 2003, GID: 2103, User: "slapuser3", State: slap.StateStarted, Supervisor: supervisor}
		for _, ip := range c.IPs {
			partition.Addresses = append(partition.Addresses, slap.Address{IP: ip})
		}
		config := Config{
			Logger: slog.New(slog.DiscardHandler), System: socatAt("/bin/socat"), Firewall: map[string]string{"firewall_cmd": firewallCommand},
		}
		managers, err := New([]string{"portredir", "prerm", "whitelistfirewall"}, config)
		if err != nil {
			t.Fatal(err)
		}
		for i, run := range []func() error{
			func() error { return managers[0].InstanceTearDown(t.Context(), partition) },
			func() error { return managers[1].Report(t.Context(), partition) },
			func() error { return managers[2].InstanceTearDown(t.Context(), partition) },
		} {
			if err := run(); err != nil {
				t.Fatal(i, err)
			}
		}
		ours := map[string]string{}
		for group, programs := range supervisor.groups {
			var text strings.Builder
			for _, p := range programs {
				asUser := 0
				if p.UID == partition.UID {
					asUser = 1
				}
				fmt.Fprintf(&text, "%s|%s|%d\n", p.Name, p.Command, asUser)
			}
			ours["slappart3-"+group] = text.String()
		}
		for _, name := range []string{WaitList, whitelistDigest} {
			if path := filepath.Join(c.Path, name); testkit.Exists(path) {
				ours[name] = testkit.Content(t, path)
			}
		}
		for name, want := range theirs {
			if ours[name] != string(want) {
				t.Errorf("%s of %+v\nslapos.core %q\nwe          %q", name, c, want, ours[name])
			}
			delete(ours, name)
		}
		if len(ours) > 0 {
			t.Errorf("%+v: only ours %q", c, ours)
		}
	})
	t.Logf("%d files and groups of %d partitions", files, len(cases))
}

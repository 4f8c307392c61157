// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/testkit"
)

// likeSlapos has slapos.core write the files of a computer, whose fields a line of
// input gives.
const likeSlapos = `
import logging, types
import slapos.format as f
from slapos.util import dumps
f.pwd = types.SimpleNamespace(getpwnam=lambda name: None)
logger = logging.getLogger("test")
def device(new, d):
  for family in "IPv4", "IPv6":
    for attribute, field in ("addr", "Address"), ("netmask", "Netmask"), ("gateway", "Gateway"), ("network", "Network"):
      setattr(new, family.lower() + "_" + attribute, d[family][field])
  return new

def partition(p, software_user):
  user = f.User(p["User"])
  user.setPath(p["Path"])
  user.additional_group_list = [software_user]
  r = p["Range"]
  new = f.Partition(p["Reference"], p["Path"], user, [{"addr": a["Address"], "netmask": a["Netmask"]} for a in p["Addresses"] or []],
    r and {"addr": r["Address"], "netmask": r["Netmask"], "network": r["Network"], "prefixlen": r["PrefixLength"]},
    device(f.Tap(p["Tap"]["Name"]), p["Tap"]), p["Tun"] and device(f.Tun(p["Tun"]["Name"]), p["Tun"]))
  new.external_storage_list = p["ExternalStorage"] or []
  if p["Capabilities"] is not None: new.capability_list = p["Capabilities"]
  return new

def computer(c):
  i = c["Interface"]
  new = f.Computer(c["Reference"], interface=i and f.Interface(logger, i["Name"], i["IPv4LocalNetwork"] or None, i["IPv6Interface"], i["PrefixShift"]),
    addr=c["Address"] or None, netmask=c["Netmask"] or None, ipv6_interface=c["IPv6Interface"],
    partition_has_ipv6_range=c["PartitionHasIPv6Range"], software_user=c["SoftwareUser"], tap_gateway_interface=c["TapGatewayInterface"],
    tap_ipv6=c["TapIPv6"], instance_root=c["InstanceRoot"], software_root=c["SoftwareRoot"],
    instance_storage_home=c["InstanceStorageHome"], partition_list=[partition(p, c["SoftwareUser"]) for p in c["Partitions"] or []], config={})
  new.public_ipv4_address, new.os_type, new.python_version, new.slapos_version = c["PublicIPv4"] or None, c["OSType"], c["PythonVersion"], c["Version"]
  return new

for line in sys.stdin:
  c = json.loads(line)
  os.chdir(c["InstanceRoot"])
  files = ["slapos.xml", "slapos.json"]
  new = computer(c)
  new.dump("slapos.xml", "slapos.json", logger)
  sent = dumps(f._getDict(new))
  if all(p["Range"] for p in c["Partitions"] or []):
    f.write_computer_definition(types.SimpleNamespace(output_definition_file="definition.cfg", logger=logger), new)
    files.append("definition.cfg")
  files += [p["Reference"] + "/.slapos-resource" for p in c["Partitions"] or []]
  out = {"sent": sent if isinstance(sent, bytes) else sent.encode()}
  for name in files:
    out[name] = content(name)
    os.unlink(name)
  answer(out)
`

// randomComputer has partitions in directories below root.
func randomComputer(r testkit.Random, root string) *Computer {
	text := func() string {
		return r.Text("a", "Z9", "é", " ", "<b>&amp;", "\"'", "%(x)s", "\\", "€", "😀", "\t", ";#", "]]>", "\x7f", "\u2028", "\u0085")
	}
	maybe := func() string {
		if r.IntN(2) == 0 {
			return ""
		}
		return text()
	}
	device := func(name string) Device {
		network := func() DeviceNetwork { return DeviceNetwork{maybe(), maybe(), maybe(), maybe()} }
		return Device{Name: name + maybe(), IPv4: network(), IPv6: network()}
	}
	c := &Computer{
		Reference: "COMP-" + maybe(), Address: maybe(), Netmask: strings.ReplaceAll(maybe(), "/", ""), InstanceRoot: root, SoftwareRoot: "/opt/" + maybe(),
		SoftwareUser: "slapsoft" + maybe(), InstanceStorageHome: orNil(maybe(), r.IntN(2) == 0), IPv6Interface: orNil(maybe(), r.IntN(2) == 0), PartitionHasIPv6Range: r.IntN(2) == 0,
		TapGatewayInterface: maybe(), TapIPv6: r.IntN(2) == 0, PublicIPv4: maybe(), OSType: maybe(), PythonVersion: maybe(), Version: "1.26.1",
	}
	if r.IntN(3) > 0 {
		name := text()
		c.Interface = &Interface{Name: name, IPv6Interface: name, IPv4LocalNetwork: maybe(), PrefixShift: r.IntN(64)}
	}
	for i := range r.IntN(5) {
		reference := fmt.Sprintf("slappart%d", i) + strings.Trim(r.Text("é", " ", "%", "=", "&", "x"), " ")
		p := &Partition{Reference: reference, Path: filepath.Join(root, reference), User: "slapuser" + maybe(), Tap: device("slaptap")}
		for range r.IntN(3) {
			p.Addresses = append(p.Addresses, Address{maybe(), maybe()})
		}
		if r.IntN(4) > 0 {
			p.Range = &Range{Address: maybe(), Netmask: maybe(), Network: maybe(), PrefixLength: r.IntN(129)}
		}
		if r.IntN(2) == 0 {
			tun := device("slaptun")
			p.Tun = &tun
		}
		for range r.IntN(3) {
			p.ExternalStorage = append(p.ExternalStorage, text())
		}
		if r.IntN(3) == 0 {
			p.Capabilities = []string{}
			for range r.IntN(3) {
				p.Capabilities = append(p.Capabilities, text())
			}
		}
		c.Partitions = append(c.Partitions, p)
	}
	return c
}

// What a run leaves, and what it sends, has slapos.core's bytes and modes, whatever is
// in it: the description as XML and JSON, resources of partitions, the definition file
// (FMT-69, FMT-71, FMT-74, FMT-75, FMT-80).
func TestFilesLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	cases := make([]*Computer, random.Cases(100, 1000))
	for i := range cases {
		cases[i] = randomComputer(random, filepath.Join(t.TempDir(), fmt.Sprint(i)))
		if err := os.MkdirAll(cases[i].InstanceRoot, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, partition := range cases[i].Partitions {
			if err := os.MkdirAll(partition.Path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := testkit.Original(t, likeSlapos, cases, func(computer *Computer, theirs map[string][]byte) {
		path := func(name string) string { return filepath.Join(computer.InstanceRoot, name) }
		document := computer.document()
		s := state{computerXML: path("slapos.xml"), computerJSON: path("slapos.json"), now: time.Now, log: testLog()}
		if failures, err := s.save(computer, document, nil, func(string) error { return nil }); err != nil || failures != nil {
			t.Fatal(failures, err)
		}
		testkit.WriteFile(t, path("definition.cfg"), string(computer.outputDefinition()))
		sent, err := slap.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range theirs {
			got := string(sent)
			if name != "sent" {
				got = testkit.Content(t, path(name))
			}
			if got != string(want) {
				t.Fatalf("%s of %+v\nslapos.core %q\nwe          %q", name, computer, want, got)
			}
		}
	})
	t.Logf("%d files of %d computers", files, len(cases))
}

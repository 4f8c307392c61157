// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

func TestInstanceProfile(t *testing.T) {
	got := string(InstanceProfile([]byte("[buildout]\r\nparts =\r"), InstanceSettings{
		ComputerID: "COMP-1", PartitionID: "slappart0", MasterURL: "http://master", SoftwareURL: "http://a",
		SharedParts: "\n/a\n/b", RequestedState: "started", StorageHome: "/data", IPv4GlobalNetwork: "10.0.0.0/8",
	}))
	want := `[buildout]
parts =


# This is beginning of zc.buildout profile's tail added by slapgrid
[buildout]
# put buildout generated binaries in specific directory
bin-directory = ${buildout:directory}/sbin

# protect software and run parts offline
offline = true

[slap-connection]
computer-id = COMP-1
partition-id = slappart0
server-url = http://master
software-release-url = http://a
key-file = 
cert-file = 
shared-part-list =
  /a
  /b
build-time-part-list =
  
requested-state = started

[slap_connection]
# Kept for backward compatiblity
computer_id = COMP-1
partition_id = slappart0
server_url = http://master
software_release_url = http://a
key_file = 
cert_file = 

[storage-configuration]
storage-home = /data

[network-information]
global-ipv4-network = 10.0.0.0/8
# This is end of zc.buildout profile's tail added by slapgrid
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// likeSlapos runs the code of slapos.core that writes profiles: each line of input is
// a case, each of the output what became of it.
const likeSlapos = `
import json, logging, os, sys, tempfile
import slapos.grid, slapos.util
def resource(module, name): # as importlib finds it for a module from Python 3.12 on
  with open(os.path.join(list(slapos.grid.__path__)[0], name), "rb") as f: return f.read()
slapos.util.get_package_resource_bytes = resource
from slapos.grid import SlapObject
logger = logging.getLogger("test")
SlapObject.utils.launchBuildout = SlapObject.utils.bootstrapBuildout = lambda **k: None

class State:
  def __init__(self, state): self.state = state
  def getState(self): return self.state

class Partition(SlapObject.Partition):
  def updateSymlink(self, *a): pass
  def createRetentionLockDelay(self): pass
  def getUserGroupId(self): return os.getuid(), os.getgid()

def instance(c):
  with tempfile.TemporaryDirectory() as software, tempfile.TemporaryDirectory() as directory:
    os.chmod(directory, 0o750)
    with open(software + "/instance.cfg", "w", newline="") as f: f.write(c["template"])
    Partition(software, directory, c["shared"], c["buildtime"], "", "", State(c["state"]), c["computer"], c["partition"], c["master"],
      c["url"], None, logger, certificate_repository_path=c["certificates"] or None, instance_storage_home=c["storage"],
      ipv4_global_network=c["network"]).install()
    with open(directory + "/buildout.cfg", newline="") as f: return f.read()

def release(c):
  with tempfile.TemporaryDirectory() as directory:
    software = SlapObject.Software.__new__(SlapObject.Software)
    software._set_ownership = lambda path: None
    software._create_buildout_profile(directory + "/buildout.cfg", c["url"], c["shared"], c["buildtime"])
    with open(directory + "/buildout.cfg", newline="") as f: return f.read()

for line in sys.stdin:
  case = json.loads(line)
  print(json.dumps({"instance": instance(case), "release": release(case)}), flush=True)
`

// The bytes of profiles are slapos.core's, whatever goes into them (GRID-29, GRID-57):
// services that are named by a hash of their partition's profile live through a change
// from one program to the other. SLAPOS_TEST_SEED repeats a run.
func TestProfilesLikeSlapos(t *testing.T) {
	seed, cases := rand.Uint64(), 100
	if text := os.Getenv("SLAPOS_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLAPOS_TEST_SEED: %v", err)
		}
	}
	if os.Getenv("SLAPOS_TEST_LONG") != "" {
		cases = 5000
	}
	t.Logf("repeat with SLAPOS_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func(pieces ...string) string {
		var b strings.Builder
		for range random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	paths := func() string { // as the configuration's parser gives an option of several lines
		return text("/a", "\n/srv/shared", "\n", "\n/with space", "/é", "/tab\tin", "\v", "\u2028", "\u0085", "\x1c", "  ")
	}
	type settings struct {
		Template, Shared, Buildtime, State, Computer, Partition, Master, URL, Certificates, Storage, Network string
	}
	var input strings.Builder
	wanted := make([]map[string]string, cases)
	for i := range cases {
		s := settings{
			Template: text("[buildout]\n", "parts =\r\n", "\r", "# é\n", "\t", "x = ${slap-connection:computer-id}", "\n\n", "%(a)s", "\u2028"),
			Shared:   paths(), Buildtime: paths(), State: []string{"started", "stopped", "destroyed"}[random.IntN(3)],
			Computer: "COMP" + text("-1", " ", "é", "'", "\"", "$", "/"), Partition: "slappart" + text("0", "_é", "-", ".", " "),
			Master: "https://master" + text("/", ":8080", "?a=b", "#", "/\u00a0"), URL: "http://a" + text("/b.cfg", "?x", "#", "é", ";"),
			Certificates: []string{"", "/etc/certificates", "/etc//certificates/", "pki"}[random.IntN(4)], Storage: text("/data", " "), Network: text("10.0.0.0/8"),
		}
		line, err := json.Marshal(map[string]string{
			"template": s.Template, "shared": s.Shared, "buildtime": s.Buildtime, "state": s.State, "computer": s.Computer, "partition": s.Partition,
			"master": s.Master, "url": s.URL, "certificates": s.Certificates, "storage": s.Storage, "network": s.Network,
		})
		if err != nil {
			t.Fatal(err)
		}
		input.Write(append(line, '\n'))
		given := InstanceSettings{
			ComputerID: s.Computer, PartitionID: s.Partition, MasterURL: s.Master, SoftwareURL: s.URL, SharedParts: s.Shared,
			BuildTimeParts: s.Buildtime, RequestedState: s.State, StorageHome: s.Storage, IPv4GlobalNetwork: s.Network,
		}
		if s.Certificates != "" {
			file := strings.TrimSuffix(s.Certificates, "/") + "/" + s.Partition // partition.CertificateFiles
			given.KeyFile, given.CertFile = file+".key", file+".crt"
		}
		wanted[i] = map[string]string{
			"instance": string(InstanceProfile([]byte(s.Template), given)), "release": string(ReleaseProfile(s.URL, s.Shared, s.Buildtime)),
		}
	}
	command := exec.Command(testkit.Python(t), "-W", "ignore", "-c", likeSlapos)
	command.Stdin, command.Stderr = strings.NewReader(input.String()), os.Stderr
	command.Env = append(os.Environ(), "PYTHONUTF8=1")
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(strings.NewReader(string(output)))
	for i, line := range strings.Split(strings.TrimSpace(input.String()), "\n") {
		var theirs map[string]string
		if err := answers.Decode(&theirs); err != nil {
			t.Fatal(err)
		}
		for name, text := range theirs {
			if text != wanted[i][name] {
				t.Fatalf("%s of %s\nslapos.core %q\nwe          %q", name, line, text, wanted[i][name])
			}
		}
	}
}

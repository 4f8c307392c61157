// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"bytes"
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
import logging, tempfile
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
    with open(software + "/instance.cfg", "w", newline="") as f: f.write(c["Template"])
    Partition(software, directory, c["Shared"], c["Buildtime"], "", "", State(c["State"]), c["Computer"], c["Partition"], c["Master"],
      c["URL"], None, logger, certificate_repository_path=c["Certificates"] or None, instance_storage_home=c["Storage"],
      ipv4_global_network=c["Network"]).install()
    return content(directory + "/buildout.cfg")

def release(c):
  with tempfile.TemporaryDirectory() as directory:
    software = SlapObject.Software.__new__(SlapObject.Software)
    software._set_ownership = lambda path: None
    software._create_buildout_profile(directory + "/buildout.cfg", c["URL"], c["Shared"], c["Buildtime"])
    return content(directory + "/buildout.cfg")

for line in sys.stdin:
  case = json.loads(line)
  answer({"instance": instance(case), "release": release(case)})
`

// The bytes of profiles are slapos.core's, whatever goes into them (GRID-29, GRID-57):
// services that are named by a hash of their partition's profile live through a change
// from one program to the other. SLAPOS_TEST_SEED repeats a run.
func TestProfilesLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	text := random.Text
	paths := func() string { // as the configuration's parser gives an option of several lines
		return text("/a", "\n/srv/shared", "\n", "\n/with space", "/é", "/tab\tin", "\v", "\u2028", "\u0085", "\x1c", "  ")
	}
	type settings struct {
		Template, Shared, Buildtime, State, Computer, Partition, Master, URL, Certificates, Storage, Network string
	}
	cases := make([]settings, random.Cases(100, 5000))
	for i := range cases {
		cases[i] = settings{
			Template: text("[buildout]\n", "parts =\r\n", "\r", "# é\n", "\t", "x = ${slap-connection:computer-id}", "\n\n", "%(a)s", "\u2028"),
			Shared:   paths(), Buildtime: paths(), State: random.One("started", "stopped", "destroyed"),
			Computer: "COMP" + text("-1", " ", "é", "'", "\"", "$", "/"), Partition: "slappart" + text("0", "_é", "-", ".", " "),
			Master: "https://master" + text("/", ":8080", "?a=b", "#", "/\u00a0"), URL: "http://a" + text("/b.cfg", "?x", "#", "é", ";"),
			Certificates: random.One("", "/etc/certificates", "/etc//certificates/", "pki"), Storage: text("/data", " "), Network: text("10.0.0.0/8"),
		}
	}
	files := testkit.Original(t, likeSlapos, cases, func(s settings, theirs map[string][]byte) {
		given := InstanceSettings{
			ComputerID: s.Computer, PartitionID: s.Partition, MasterURL: s.Master, SoftwareURL: s.URL, SharedParts: s.Shared,
			BuildTimeParts: s.Buildtime, RequestedState: s.State, StorageHome: s.Storage, IPv4GlobalNetwork: s.Network,
		}
		if s.Certificates != "" {
			file := strings.TrimSuffix(s.Certificates, "/") + "/" + s.Partition // partition.CertificateFiles
			given.KeyFile, given.CertFile = file+".key", file+".crt"
		}
		for name, ours := range map[string][]byte{
			"instance": InstanceProfile([]byte(s.Template), given), "release": ReleaseProfile(s.URL, s.Shared, s.Buildtime),
		} {
			if _, want, _ := bytes.Cut(theirs[name], []byte(" ")); !bytes.Equal(ours, want) { // without its mode
				t.Fatalf("%s of %+v\nslapos.core %q\nwe          %q", name, s, want, ours)
			}
		}
	})
	t.Logf("%d files of %d inputs", files, len(cases))
}

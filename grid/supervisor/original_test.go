// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"slapos/slap/testkit"
)

// likeSlapos writes the configuration of a partition with slapos.core, and that of the
// firewall's daemons.
const likeSlapos = `
import logging, pwd, types
from slapos.grid import SlapObject
from slapos.grid.slapgrid import Slapgrid
from slapos.grid.svcbackend import createSupervisordConfiguration
logger = logging.getLogger("test")
logger.disabled = True
for line in sys.stdin:
  c = json.loads(line)
  directory = os.path.join(c["Root"], "etc/supervisord.conf.d")
  pwd.getpwuid = lambda uid: types.SimpleNamespace(pw_dir=c["Home"] if uid else "/root", pw_name=c["User"] if uid else "root")
  class Partition(SlapObject.Partition):
    def updateSupervisor(self): pass
    def getUserGroupId(self): return c["UID"], c["GID"]
  p = Partition("/none", os.path.join(c["Root"], c["ID"]), "", "", directory, "", None, "COMP", c["ID"], "", "", None, logger)
  p.generateSupervisorConfiguration()
  for name, command in (c["Extra"] or {}).items(): p.addProgramToGroup("prerm", name, name, command, as_user=c["AsUser"])
  p.writeSupervisorConfigurationFiles()
  node = Slapgrid.__new__(Slapgrid)
  node.instance_root, node.firewall_conf = c["Root"], {key: value for key, value in c["Daemons"].items() if value}
  node._generateFirewallSupervisorConf()
  node._generateDbusSupervisorConf()
  createSupervisordConfiguration(c["Root"], logger, c["Watchdog"])
  out = {"/main": content(os.path.join(c["Root"], "etc/supervisord.conf"))}
  for name in os.listdir(directory):
    out[name] = content(os.path.join(directory, name))
    os.unlink(os.path.join(directory, name))
  answer(out)
`

// The configuration of services has slapos.core's bytes and modes, whatever a
// partition and its services are called (GRID-73, GRID-78), but for names that break
// that program's file, and for comments in the main file. So neither program sees anything changed, and no service is
// restarted, when the other has written it.
func TestConfigurationLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	type settings struct {
		Root, ID, User, Home, Watchdog string
		UID, GID                       int
		Extra                          map[string]string // of a manager
		AsUser                         bool
		Daemons                        map[string]string
	}
	name := func() string {
		return "x" + random.Text("a", "Z", "0", "-", "_", ".", "é", "=", "$", "*", "(", "`", "~", "+", "@", "€", "😀", "!", "?", "&", "|", "<", "{")
	}
	cases := make([]settings, random.Cases(100, 1000))
	for i := range cases {
		c := settings{Root: filepath.Join(t.TempDir(), name()), Watchdog: "/opt/" + name() + " --master-url x", ID: "slappart" + random.Text("0", "1", "_", ".a", "é", "="), User: name(), Home: "/srv/" + name(),
			UID: random.IntN(70000) + 1, GID: random.IntN(70000), AsUser: random.IntN(2) == 0,
			Daemons: map[string]string{
				"firewall_executable": random.One("", "/opt/firewalld --nofork", "/usr/sbin/firewalld -x 'a b'"), "dbus_executable": random.One("", "/usr/bin/dbus"),
				"log_file": random.One("/var/log/firewall.log", "/x y/é.log"), "dbus_log_file": "/var/log/dbus.log",
			}}
		if random.IntN(3) == 0 {
			c.Extra = map[string]string{name(): "socat " + random.Text("a ", "tcp:1,b=c ", "[::1]:8 ")}
		}
		cases[i] = c
		if err := os.MkdirAll(filepath.Join(c.Root, c.ID), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := WriteConfiguration(Layout{InstanceRoot: c.Root}, c.Watchdog); err != nil {
			t.Fatal(err)
		}
		for _, folder := range []string{"etc/run", "etc/service"} {
			directory := filepath.Join(c.Root, c.ID, folder)
			if random.IntN(8) == 0 {
				continue
			}
			if err := os.MkdirAll(directory, 0o755); err != nil {
				t.Fatal(err)
			}
			for range random.IntN(4) {
				testkit.WriteFile(t, filepath.Join(directory, name()), "")
			}
			if random.IntN(4) == 0 { // perhaps in both
				testkit.WriteFile(t, filepath.Join(directory, "both"), "")
			}
		}
	}
	comments := regexp.MustCompile("(?m)^#.*\n")
	files := testkit.Original(t, likeSlapos, cases, func(c settings, theirs map[string][]byte) {
		l := Layout{InstanceRoot: c.Root}
		if err := WriteConfiguration(l, c.Watchdog); err != nil {
			t.Fatal(err)
		}
		want := comments.ReplaceAllString(string(theirs["/main"]), "")
		if got := testkit.Content(t, l.ConfigFile()); got != want {
			t.Fatalf("slapos.core %q\nwe          %q", want, got)
		}
		delete(theirs, "/main")
		directory := filepath.Join(c.Root, c.ID)
		owner := Program{UID: c.UID, GID: c.GID, User: c.User, Home: c.Home}
		programs, err := Services(os.DirFS(directory), directory, owner)
		if err != nil {
			t.Fatal(err)
		}
		groups := []Group{{Name: c.ID, Directory: directory, Programs: programs}}
		for name, command := range c.Extra {
			p := Program{User: "root", Home: "/root"}
			if c.AsUser {
				p = owner
			}
			p.Name, p.Command = name, command
			groups = append(groups, Group{Name: c.ID + "-prerm", Directory: directory, Programs: []Program{p}})
		}
		for _, group := range groups {
			if _, err := l.WriteGroup(c.ID, group); err != nil {
				t.Fatal(err)
			}
		}
		for _, daemon := range []SystemDaemon{
			{"firewall", c.Daemons["firewall_executable"], 5, c.Daemons["log_file"]}, {"dbus", c.Daemons["dbus_executable"], 1, c.Daemons["dbus_log_file"]},
		} {
			if _, err := l.WriteSystemDaemon(daemon); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for name := range theirs {
			names = append(names, name)
		}
		slices.Sort(names)
		if ours := testkit.Names(t, l.ConfigDir()); !slices.Equal(ours, names) {
			t.Fatalf("files %q, of slapos.core %q", ours, names)
		}
		for name, want := range theirs {
			if got := testkit.Content(t, filepath.Join(l.ConfigDir(), name)); got != string(want) {
				t.Fatalf("%s of %+v\nslapos.core %q\nwe          %q", name, c, want, got)
			}
		}
	})
	t.Logf("%d files of %d partitions", files, len(cases))
}

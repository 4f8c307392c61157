// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// FMT-48.
func TestUserCommands(t *testing.T) {
	accounts := &Accounts{
		Users: map[string]User{
			"right":    {UID: 1001, GID: 1001, Home: "/home", Shell: "/bin/sh", Locked: true},
			"unlocked": {UID: 1002, GID: 1002, Home: "/home", Shell: "/bin/sh"},
			"moved":    {UID: 1003, GID: 1003, Home: "/old", Shell: "/bin/sh", Locked: true},
			"shell":    {UID: 1004, GID: 1004, Home: "/home", Shell: "/bin/bash", Locked: true},
			"primary":  {UID: 1005, GID: 1001, Home: "/home", Shell: "/bin/sh", Locked: true},
			"alone":    {UID: 1006, GID: 1006, Home: "/home", Shell: "/bin/sh", Locked: true},
			"nogroup":  {UID: 1007, GID: 1007, Home: "/home", Shell: "/bin/sh", Locked: true},
		},
		Groups: map[string]Group{
			"right": {GID: 1001}, "unlocked": {GID: 1002}, "moved": {GID: 1003}, "shell": {GID: 1004}, "primary": {GID: 1005}, "alone": {GID: 1006},
			"grouponly": {GID: 1008},
			"slapsoft":  {GID: 1000, Members: []string{"right", "unlocked", "moved", "shell", "primary", "nogroup"}},
		},
	}
	for name, want := range map[string][]string{
		"right":     nil,
		"unlocked":  {"passwd -l unlocked"},
		"moved":     {"usermod -d /home -g moved -s /bin/sh -aG slapsoft moved"},
		"shell":     {"usermod -d /home -g shell -s /bin/sh -aG slapsoft shell"},
		"primary":   {"usermod -d /home -g primary -s /bin/sh -aG slapsoft primary"},
		"alone":     {"usermod -d /home -g alone -s /bin/sh -aG slapsoft alone"},
		"nogroup":   {"groupadd nogroup", "usermod -d /home -g nogroup -s /bin/sh -aG slapsoft nogroup"},
		"grouponly": {"useradd -d /home -g grouponly -s /bin/sh -r -G slapsoft grouponly"},
		"new":       {"groupadd new", "useradd -d /home -g new -s /bin/sh -r -G slapsoft new"},
	} {
		var got []string
		for _, words := range (plannedUser{Name: name, Home: "/home", Group: "slapsoft"}).commands(accounts) {
			got = append(got, strings.Join(words, " "))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// One user may own all partitions, even root: root is never changed.
func TestSharedUsers(t *testing.T) {
	n := newNode(t, 2)
	n.options.CreateTap, n.options.CreateTun = false, false
	n.options.Input = &Input{SoftwareUser: "builder", Partitions: []InputPartition{
		{Path: "first", User: "builder"}, {Path: "second", User: "root"}, {Path: "third", User: "builder"},
	}}
	n.format(t)
	for _, command := range n.commands {
		if strings.HasSuffix(command, " root") {
			t.Errorf("ran %s", command)
		}
	}
	if n.commands[0] != "groupadd builder" || len(n.owners) != 4 {
		t.Errorf("ran %q, owners %v", n.commands, n.owners)
	}
}

// The machine's programs change the test's own users: the result is what the
// plan wanted, so a second look finds nothing to do.
func TestRealUserPrograms(t *testing.T) {
	privateEtc(t)
	for _, program := range []string{"groupadd", "useradd", "usermod", "passwd"} {
		testkit.Program(t, program, "passwd")
	}
	machine := Machine{}
	machine.setDefaults()
	makeUser := func(user plannedUser) (ran []string) {
		t.Helper()
		accounts, err := readAccounts(machine.Etc)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range user.commands(accounts) {
			if _, err := machine.Run(t.Context(), words...); err != nil {
				t.Fatal(err)
			}
			ran = append(ran, words[0])
		}
		return ran
	}
	steps := []struct {
		user plannedUser
		want []string
	}{
		{plannedUser{Name: "slapsoft", Home: "/opt/slapgrid"}, []string{"groupadd", "useradd"}},
		{plannedUser{Name: "slapsoft", Home: "/opt/slapgrid"}, nil},
		{plannedUser{Name: "slapuser0", Home: "/srv/slappart0", Group: "slapsoft"}, []string{"groupadd", "useradd"}},
		{plannedUser{Name: "slapuser0", Home: "/srv/slappart0", Group: "slapsoft"}, nil},
		{plannedUser{Name: "slapuser0", Home: "/other/slappart0", Group: "slapsoft"}, []string{"usermod"}},
		{plannedUser{Name: "slapuser0", Home: "/other/slappart0", Group: "slapsoft"}, nil},
	}
	for i, step := range steps {
		if ran := makeUser(step.user); !reflect.DeepEqual(ran, step.want) {
			t.Errorf("step %d: ran %q, want %q", i, ran, step.want)
		}
	}
	user, err := machine.user(t.Context(), "slapuser0")
	if err != nil || user.Home != "/other/slappart0" || user.Shell != userShell || !user.Locked || user.UID == 0 {
		t.Errorf("user %+v, %v", user, err)
	}
	// A password is locked, once.
	shadow := testkit.ReadFile(t, "/etc/shadow")
	if err := os.WriteFile("/etc/shadow", []byte(strings.Replace(shadow, "slapuser0:!", "slapuser0:secret", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"passwd"}, nil} {
		if ran := makeUser(plannedUser{Name: "slapuser0", Home: "/other/slappart0", Group: "slapsoft"}); !reflect.DeepEqual(ran, want) {
			t.Errorf("ran %q, want %q", ran, want)
		}
	}
}

func TestUserProgramFails(t *testing.T) {
	machine := Machine{}
	machine.setDefaults()
	if _, err := machine.Run(t.Context(), "sh", "-c", "echo why; exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3: why") {
		t.Errorf("error %v", err)
	}
}

// FMT-8.
func TestMissingPrograms(t *testing.T) {
	machine := Machine{LookPath: func(program string) (string, error) {
		if strings.HasPrefix(program, "user") {
			return "", exec.ErrNotFound
		}
		return "/sbin/" + program, nil
	}}
	if got := machine.MissingPrograms(&Definition{AlterUser: true}); !reflect.DeepEqual(got, []string{"useradd", "usermod"}) {
		t.Errorf("missing %q", got)
	}
	if got := machine.MissingPrograms(&Definition{}); got != nil {
		t.Errorf("missing %q", got)
	}
}

// A line of any length is read, and so are the lines after it.
func TestLongLines(t *testing.T) {
	const members = 200_000
	var group strings.Builder
	group.WriteString("before:x:1:\nmany:x:2:first")
	for n := range members {
		fmt.Fprintf(&group, ",user%06d", n)
	}
	group.WriteString("\r\nafter:x:3:first")
	long := strings.Repeat("x", 2<<20)
	directory := t.TempDir()
	for name, content := range map[string]string{
		"group":  group.String(),
		"passwd": "first:x:1:1:" + long + ":/home/first:/bin/sh\nlast:x:2:2::/home/" + long + ":/bin/sh\nend:x:3:3::/:/bin/sh\n",
		"shadow": "first:" + long + ":::\nlast:!" + long + ":::\nend:!:::\n",
	} {
		testkit.WriteFile(t, filepath.Join(directory, name), content)
	}
	accounts, err := readAccounts(directory)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]User{
		"first": {UID: 1, GID: 1, Home: "/home/first", Shell: "/bin/sh"}, "last": {UID: 2, GID: 2, Home: "/home/" + long, Shell: "/bin/sh", Locked: true}, "end": {UID: 3, GID: 3, Home: "/", Shell: "/bin/sh", Locked: true},
	} {
		if got := accounts.Users[name]; got != want {
			t.Errorf("%s: %.300v", name, got)
		}
	}
	if !accounts.isMember(fmt.Sprintf("user%06d", members-1), "many") || len(accounts.Groups["many"].Members) != members+1 ||
		!accounts.isMember("first", "after") || accounts.Groups["before"].GID != 1 {
		t.Errorf("%d members, groups after it: %v", len(accounts.Groups["many"].Members), accounts.Groups["after"])
	}
}

func FuzzReadAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", "root:x:0:a,b\n", "root:*:1:\n")
	f.Fuzz(func(t *testing.T, passwd, group, shadow string) {
		directory := t.TempDir()
		for name, content := range map[string]string{"passwd": passwd, "group": group, "shadow": shadow} {
			testkit.WriteFile(t, filepath.Join(directory, name), content)
		}
		if accounts, err := readAccounts(directory); err != nil || accounts.Users[""] != (User{}) {
			t.Errorf("accounts %v, %v", accounts, err)
		}
	})
}

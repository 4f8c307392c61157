// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap/testkit"
)

func TestPassBootstraps(t *testing.T) {
	for name, test := range map[string]struct {
		release string // files in bin of the release
		want    string
	}{
		"of the release": {"bootstrap", "bootstrap HOME\nown\n"},
		"of the node":    {"", "bootstrap buildout:bin-directory=DIR/sbin bootstrap\nown\n"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newInstanceNode(t, "slappart0")
			if err := os.Remove(n.Path(testenv.Release, "bin", "buildout")); err != nil {
				t.Fatal(err)
			}
			const makeOwn = "mkdir -p sbin; printf '#!/bin/sh\\necho own >> log\\n' > sbin/buildout; chmod 755 sbin/buildout"
			n.Script(n.Pass.Buildout, "echo bootstrap $@ >> log\n"+makeOwn)
			if test.release != "" {
				n.Script(n.Path(testenv.Release, "bin", test.release), "echo bootstrap $HOME >> log\n"+makeOwn)
			}
			n.process(0)
			home := readHome(t)
			want := strings.NewReplacer("DIR", n.At("slappart0"), "HOME", home).Replace(test.want)
			if got := testkit.ReadFile(t, n.At("slappart0", "log")); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestPassBootstrapFails(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.Script(n.Path(testenv.Release, "bin", "bootstrap-it"), "echo broken; exit 3")
	n.process(1)
	calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
	want := "Failed to bootstrap buildout in '" + n.At("slappart0") + "'.:\nbroken\n\n"
	if got := calls[1].Form.Get("error_log"); got != want {
		t.Errorf("reported %q, want %q", got, want)
	}
}

// A buildout that takes longer than partition_timeout is killed.
func TestPassTimesOut(t *testing.T) {
	n := newInstanceNode(t, "slappart0", "slappart1")
	n.options.PartitionTimeout = time.Second
	n.DeployWith(`if [ $(basename $PWD) = slappart0 ]; then echo begun; sleep 60; fi`)
	n.process(1)
	calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0", "startedComputerPartition slappart1")
	if got := calls[1].Form.Get("error_log"); !strings.Contains(got, "begun\n") || !strings.Contains(got, "timed out after 1 seconds") {
		t.Errorf("reported %q", got)
	}
}

// readHome returns the home of the partitions' user.
func readHome(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(testkit.ReadFile(t, "/etc/passwd")) {
		if fields := strings.Split(line, ":"); len(fields) > 5 && fields[2] == fmt.Sprint(testkit.User()) {
			return fields[5]
		}
	}
	t.Fatal("the user of the tests is not in passwd")
	return ""
}

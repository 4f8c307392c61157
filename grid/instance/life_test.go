// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"path/filepath"
	"strings"
	"testing"

	"slapos/grid/firewall"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// TestLifeOfAnInstance deploys, stops, starts and destroys an instance: a
// stopped partition has no supervisor file, a destroyed one is an empty
// directory with its owner and mode.
func TestLifeOfAnInstance(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	directory := n.At("slappart0")
	before := testenv.Stat(t, directory)
	n.DeployWith("mkdir -p etc/report var/xml_report a/b; chmod 0 a/b a; ln -s / root\n" + testenv.Service("service", "server", "exec sleep 1000"))
	calls := filepath.Join(n.Base(), "calls")
	n.options.Firewall = &firewall.Options{ReloadCommand: "true",
		Command: `f() { echo "$*" >>` + calls + `; case "$*" in *query*) echo no;; *) echo success;; esac; }; f`}
	n.Change("slappart0", func(p *slap.Partition) {
		p.Parameters["ip_list"] = []any{slap.Tuple{"route_x", "10.0.0.1"}}
	})
	n.Master.Set(func() { n.Master.Answers["getHostingSubscriptionIpList"] = []any{} })
	n.process(0)
	n.ExpectRunning("slappart0:server-on-watch")
	if rules := testkit.ReadFile(t, filepath.Join(directory, firewall.RulesFile)); !strings.Contains(rules, "-d 10.0.0.1 -j REJECT") {
		t.Errorf("rules: %s", rules)
	}

	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStopped })
	n.Touch("slappart0")
	n.process(0)
	n.ExpectRunning()
	if files, _ := filepath.Glob(filepath.Join(n.Layout().ConfigDir(), "slappart*")); len(files) > 0 {
		t.Errorf("supervisor files of a stopped partition: %v", files)
	}

	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateStarted })
	n.Touch("slappart0")
	n.process(0)
	n.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	n.Touch("slappart0")
	n.process(0)
	n.ExpectRunning()
	if rules := testkit.ReadFile(t, filepath.Join(directory, firewall.RulesFile)); rules != "[]" {
		t.Errorf("rules of a destroyed partition: %s", rules)
	}
	testkit.MustExist(t, filepath.Join(directory, "buildout.cfg"))
	for range 2 {
		if result, err := n.report(); err != nil || result.ExitCode() != 0 {
			t.Fatal(result, err)
		}
		testenv.Emptied(t, directory, before)
	}
}

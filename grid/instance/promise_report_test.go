// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"os"
	"strings"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// GRID-111: a master that takes promises gets those that fail, when that changes; no
// other ever sees the call.
func TestPassTellsPromises(t *testing.T) {
	const put = "slapos.put.v1.software_instance_promise_list"
	n := newInstanceNode(t, "slappart0")
	n.DeployWith(testenv.Service("promise", "check", "test -e ok || { echo not ok after $$ s $(cat more 2>&-); exit 1; }") +
		testenv.Service("promise", "fine", "exit 0"))
	n.process(2)
	n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")

	expect := func(exit int, want string) {
		t.Helper()
		n.process(exit)
		told := ""
		for _, call := range n.Master.Take() {
			if call.Path == put {
				told += call.JSON
			}
		}
		if !strings.HasPrefix(told, want) || want == "" && told != "" {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	failing := `{"compute_partition_id":"slappart0","computer_guid":"COMP-1","failing":[{"name":"check","message":"not ok after `
	n.Master.Set(func() { n.Master.Accepts = "news, promises" })
	expect(2, failing)
	expect(2, "") // with another number
	testkit.WriteFile(t, n.At("slappart0", "more"), strings.Repeat("é", 3000))
	n.process(2)
	calls := n.Master.Take()
	if last := calls[len(calls)-2]; last.Path != put || len(last.JSON) > 1300 || !strings.HasSuffix(last.JSON, `é"}],"passed":1}`) {
		t.Errorf("told %q", last)
	}

	// Something else is wanted, which fails in the same way; an hour passes; the master
	// can't be told.
	n.Touch("slappart0")
	expect(2, failing)
	n.Pass.Now = func() time.Time { return time.Now().Add(time.Hour + time.Minute) }
	n.Master.Set(func() { n.Master.Status[put] = 500 })
	expect(2, failing)
	n.Master.Set(func() { delete(n.Master.Status, put) })
	n.Pass.Now = time.Now
	n.Touch("slappart0")
	expect(2, failing)

	// All is well, also for a pass over promises alone.
	testkit.WriteFile(t, n.At("slappart0", "ok"), "")
	expect(0, `{"compute_partition_id":"slappart0","computer_guid":"COMP-1","failing":[],"passed":2}`)
	os.Remove(n.At("slappart0", "ok"))
	if result, err := n.promises(); err != nil || result.ExitCode() != 2 {
		t.Errorf("result %+v, %v", result, err)
	}
	n.Master.Expect(t, "getFullComputerInformation", put)

	// Without promises the master gets that there are none, once.
	if err := os.RemoveAll(n.At("slappart0", "etc", "promise")); err != nil {
		t.Fatal(err)
	}
	n.Change("slappart0", func(p *slap.Partition) { p.AccessStatus, p.HasAccessStatus = "#access", true })
	expect(0, `{"compute_partition_id":"slappart0","computer_guid":"COMP-1","failing":[],"passed":0}`)
	expect(0, "")
}

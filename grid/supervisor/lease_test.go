// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// TestStartWaits holds up the start of a program as its owner can: only that program
// waits. Meanwhile it can be stopped and started.
func TestStartWaits(t *testing.T) {
	s := newSupervisor(t, `
[program:held]
command=%(here)s/held
autostart=false
startsecs=0
stdout_logfile=%(here)s/held.log
[program:other]
command=sleep 1000
autostart=false
startsecs=0
`).start()
	s.write("held", "#!/bin/sh\necho held\nexec sleep 1000\n")
	must(t, os.Chmod(s.path("held"), 0o755))
	lease := testkit.Lease(t, s.path("held"))
	must(t, s.client.StartProcess(s.ctx(), "held"))
	lease.Wait()
	must(t, s.client.StartProcessAndWait(s.ctx(), "other"))
	must(t, s.client.StopProcess(s.ctx(), "held"))
	s.untilState("held", "STOPPED")
	must(t, s.client.StartProcess(s.ctx(), "held"))
	lease.Release()
	s.until("held has begun", func() bool { return strings.Contains(s.read("held.log"), "held") })
}

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

// TestAdoptionOfBeginners kills the supervisor while a service has yet to become its
// program: the next one takes it, rather than start it twice.
func TestAdoptionOfBeginners(t *testing.T) {
	for _, journal := range []bool{true, false} {
		s := newSupervisor(t, `
[program:held]
command=%(here)s/held
startsecs=0
`)
		s.write("held", "#!/bin/sh\nexec sleep 1000\n")
		must(t, os.Chmod(s.path("held"), 0o755))
		lease := testkit.Lease(t, s.path("held"))
		s.start()
		lease.Wait()
		before := s.info("held")
		s.kill()
		if !journal {
			must(t, os.Remove(s.path("supervisord.services")))
		}
		s.start()
		if now := s.info("held"); now.Pid != before.Pid || now.Statename != "RUNNING" {
			t.Errorf("with journal %v: it was %+v, is %+v", journal, before, now)
		}
		lease.Release()
	}
}

package supervisor

import (
	"testing"
)

func TestStartAndStop(t *testing.T) {
	s := newSupervisor(t, `
[program:web]
command=sleep 1000
autostart=true
[program:idle]
command=sleep 1000
autostart=false
startsecs=0
`).start()
	web := s.untilState("web", "RUNNING")
	if web.Pid == 0 || web.Start == 0 || web.Group != "web" || !alive(web.Pid) {
		t.Errorf("web is %+v", web)
	}
	idle := s.info("idle")
	if idle.Statename != "STOPPED" || idle.Description != "Not started" || idle.Pid != 0 {
		t.Errorf("idle is %+v", idle)
	}
	must(t, s.client.StartProcess(s.ctx(), "idle", true))
	if idle = s.info("idle"); idle.Statename != "RUNNING" {
		t.Errorf("idle is %+v", idle)
	}
	if err := s.client.StartProcess(s.ctx(), "idle", true); !isFault(err, FaultAlreadyStarted) || err.Error() != "ALREADY_STARTED: idle" {
		t.Errorf("second start: %v", err)
	}
	must(t, s.client.StopProcess(s.ctx(), "idle"))
	if idle = s.info("idle"); idle.Statename != "STOPPED" || idle.Exitstatus != -1 || idle.Pid != 0 {
		t.Errorf("idle is %+v", idle)
	}
	if err := s.client.StopProcess(s.ctx(), "idle"); !isFault(err, FaultNotRunning) {
		t.Errorf("second stop: %v", err)
	}
	if err := s.client.StopProcess(s.ctx(), "nope"); !isFault(err, FaultBadName) || err.Error() != "BAD_NAME: nope" {
		t.Errorf("unknown process: %v", err)
	}
	s.shutdown()
	if alive(web.Pid) || exists(s.path("sv.sock")) || exists(s.path("supervisord.pid")) || exists(s.path("supervisord.services")) {
		t.Error("something is left after shutdown")
	}
}

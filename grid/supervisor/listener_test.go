// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// listenerScript writes what it receives to a file, as Python's documentation
// for event listeners shows.
const listenerScript = `
import sys
out = open(sys.argv[1], 'a')
reject = len(sys.argv) > 2
while True:
  sys.stdout.write('READY\n')
  sys.stdout.flush()
  line = sys.stdin.readline()
  if not line:
    break
  header = dict(x.split(':') for x in line.split())
  data = sys.stdin.read(int(header['len']))
  out.write('%s %r\n' % (' '.join('%s:%s' % (k, header[k]) for k in ('ver', 'server', 'pool', 'eventname')), data))
  out.flush()
  if reject:
    reject = False
    sys.stdout.write('RESULT 4\nFAIL')
  else:
    sys.stdout.write('RESULT 2\nOK')
  sys.stdout.flush()
`

const listened = `
[eventlistener:listener]
command=PYTHON %(here)s/listener.py %(here)s/heard reject
events=EVENT
buffer_size=100
startsecs=0
[program:p]
command=sh -c 'echo "text<!--XSUPERVISOR:BEGIN-->captured<!--XSUPERVISOR:END-->more"; echo error >&2; exec sleep 1000'
autostart=false
startsecs=0
stdout_capture_maxbytes=100
stderr_events_enabled=true
[program:fails]
command=sh -c 'sleep 0.3; exit 2'
autostart=false
autorestart=false
startsecs=0
[program:early]
command=sh -c 'exit 2'
autostart=false
startsecs=20
startretries=0
`

// TestListener sends the same events to listeners under Python's supervisor and
// ours.
func TestListener(t *testing.T) {
	t.Parallel()
	heard := map[bool][]string{}
	t.Cleanup(func() { // after both have run
		if got, want := heard[false], heard[true]; !slices.Equal(got, want) {
			t.Errorf("heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	var mu sync.Mutex
	for _, python := range []bool{true, false} {
		t.Run(fmt.Sprintf("python=%v", python), func(t *testing.T) {
			t.Parallel()
			got := listen(t, python)
			mu.Lock()
			defer mu.Unlock()
			heard[python] = got
		})
	}
}

// listen causes all kinds of events, and returns those that the listener received.
func listen(t *testing.T, python bool) []string {
	s := newSupervisor(t, strings.ReplaceAll(listened, "PYTHON", testkit.Python(t)))
	s.python = python
	s.write("listener.py", listenerScript)
	s.start()
	heard := func(text string) {
		t.Helper()
		s.until("the listener heard "+text, func() bool { return strings.Contains(s.read("heard"), text) })
	}
	heard("SUPERVISOR_STATE_CHANGE_RUNNING")
	s.untilState("listener", "RUNNING")
	must(t, s.client.StartProcessAndWait(s.ctx(), "p"))
	heard("captured")
	heard("PROCESS_LOG_STDERR")
	must(t, s.client.StopProcess(s.ctx(), "p"))
	heard("PROCESS_STATE_STOPPED")
	must(t, s.client.StartProcessAndWait(s.ctx(), "fails"))
	heard("PROCESS_STATE_EXITED")
	_ = s.client.StartProcessAndWait(s.ctx(), "early")
	heard("PROCESS_STATE_FATAL")
	if _, err := s.client.Call(s.ctx(), "supervisor.sendRemoteCommEvent", "kind", "some data"); err != nil {
		t.Error(err)
	}
	heard("REMOTE_COMMUNICATION")
	must(t, s.client.RemoveGroup(s.ctx(), "early"))
	heard("PROCESS_GROUP_REMOVED")
	must(t, s.client.AddGroup(s.ctx(), "early"))
	s.until("the new group was heard of", func() bool { return strings.Count(s.read("heard"), "'groupname:early\\n'") > 1 })
	heard("TICK_5")
	text := s.read("heard")
	if rejected := strings.SplitN(text, "\n", 3); rejected[0] != rejected[1] {
		t.Errorf("the rejected event %q came not again, but %q", rejected[0], rejected[1])
	}
	s.shutdown()
	return comparableEvents(text)
}

// comparableEvents masks and sorts: the output and the end of a process race
// each other. Whether a listener gets ticks, its own start and groups at
// startup is chance.
func comparableEvents(text string) []string {
	text = regexp.MustCompile(`pid:\d+`).ReplaceAllString(text, "pid:N")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, "TICK_") || strings.Contains(line, "processname:listener") || strings.Contains(line, "PROCESS_GROUP_ADDED")
	})
	slices.Sort(lines)
	return lines
}

// TestListenerFailures checks that a listener which breaks the protocol or dies
// neither loses events for others nor stops the supervisor.
func TestListenerFailures(t *testing.T) {
	t.Parallel()
	s := newSupervisor(t, strings.ReplaceAll(`
[eventlistener:silent]
command=sh -c 'echo nonsense; exec sleep 1000'
events=REMOTE_COMMUNICATION
startsecs=0
[eventlistener:deaf]
command=sh -c 'echo READY; exec sleep 1000'
events=REMOTE_COMMUNICATION
startsecs=0
buffer_size=3
[eventlistener:dies]
command=sh -c 'echo READY; read header; exit 1'
events=REMOTE_COMMUNICATION
autorestart=false
startsecs=0
[eventlistener:pair]
command=PYTHON %(here)s/listener.py %(here)s/heard-%(process_num)d
process_name=pair%(process_num)d
numprocs=2
events=REMOTE_COMMUNICATION
startsecs=0
`, "PYTHON", testkit.Python(t)))
	s.write("listener.py", listenerScript)
	s.start()
	s.untilState("pair:pair1", "RUNNING")
	for range 10 {
		_, err := s.client.Call(s.ctx(), "supervisor.sendRemoteCommEvent", "kind", strings.Repeat("x", 100000))
		must(t, err)
	}
	s.until("the pair heard all", func() bool {
		return strings.Count(s.read("heard-0")+s.read("heard-1"), "\n") == 10
	})
	s.untilState("dies", "EXITED")
	log := s.read("supervisord.log")
	for _, want := range []string{"silent: broke the protocol", "pool deaf event buffer overflowed"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %q in the log", want)
		}
	}
}

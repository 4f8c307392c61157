// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// process is one configured program and its process, if it has one. The
// daemon's lock guards everything.
type process struct {
	d      *daemon
	group  *group
	config *config.Program

	state      state
	pid        int // 0 without a process
	pidfd      int
	ticks      uint64    // start time of an adopted process, which need not be our child; else 0
	pipes      [3]uint64 // inodes of its standard streams
	killing    bool      // it was told to end
	tries      int       // starts that failed in a row
	started    time.Time
	stopped    time.Time
	exitStatus int // -1: ended by a signal, or nobody knows
	spawnError string

	timer   *time.Timer   // the next change of state
	due     time.Time     // when the timer fires
	changed chan struct{} // closed at the next change of state; nil if nobody waits

	input          *input // text that waits for the process to read it; nil for none
	stdout, stderr *output
	listener       *listener // of an event listener
}

func newProcess(g *group, c *config.Program) *process {
	p := bareProcess(g, c)
	for _, o := range p.outputs() {
		o.path = g.d.logPath(c, o.channel, o.config)
	}
	return p
}

// bareProcess is newProcess before its logs have paths.
func bareProcess(g *group, c *config.Program) *process {
	p := &process{d: g.d, group: g, config: c, pidfd: -1}
	p.stdout = &output{process: p, channel: "stdout", config: c.Stdout}
	if !c.RedirectError {
		p.stderr = &output{process: p, channel: "stderr", config: c.Stderr}
	}
	if g.pool != nil {
		p.listener = &listener{process: p, stdin: -1}
	}
	return p
}

func (p *process) outputs() []*output {
	if p.stderr == nil {
		return []*output{p.stdout}
	}
	return []*output{p.stdout, p.stderr}
}

// setState changes the state and notifies waiters and event listeners.
func (p *process) setState(next state) { p.changeState(next, "") }

// setExited sets the state EXITED; the event says whether the exit was expected.
func (p *process) setExited(expected bool) {
	p.changeState(exited, fmt.Sprintf(" expected:%d pid:%d", number(expected), p.pid))
}

func (p *process) changeState(next state, detail string) {
	previous := p.state
	if previous == next {
		return
	}
	p.state = next
	p.cancelTimer()
	if next == backoff {
		p.tries++
	}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	switch next {
	case starting, backoff:
		detail = fmt.Sprintf(" tries:%d", p.tries)
	case running, stopping, stopped:
		detail = fmt.Sprintf(" pid:%d", p.pid)
	}
	p.d.notify("PROCESS_STATE_"+next.String(), fmt.Sprintf("processname:%s groupname:%s from_state:%s%s",
		p.config.Name, p.group.config.Name, previous, detail))
	if p.group.pool != nil && next == running {
		p.group.pool.dispatch()
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// after calls something later, unless the state changes first.
func (p *process) after(delay time.Duration, action func()) {
	p.cancelTimer()
	p.due = time.Now().Add(delay)
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		p.d.mu.Lock()
		defer p.d.mu.Unlock()
		if p.timer == timer {
			p.timer = nil
			action()
		}
	})
	p.timer = timer
}

func (p *process) cancelTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// spawn starts the program. It must not be running.
func (p *process) spawn() {
	p.killing = false
	p.spawnError, p.exitStatus = "", 0
	p.started = time.Now()
	p.setState(starting)
	err := p.start()
	if err != nil {
		for _, o := range p.outputs() {
			o.closeUnused()
		}
		p.spawnError = err.Error()
		p.d.log.Info("spawnerr: " + p.spawnError)
		p.backOff()
		return
	}
	if p.state != starting {
		return // it has ended meanwhile
	}
	if p.config.StartSecs > 0 {
		p.after(seconds(p.config.StartSecs), p.next)
		return
	}
	p.succeed()
}

// next makes the change of state that was due at a time.
func (p *process) next() {
	switch p.state {
	case starting:
		p.succeed()
	case backoff, exited:
		p.respawn()
	case stopping:
		p.d.log.Warn(fmt.Sprintf("killing '%s' (%d) with SIGKILL", p.config.Name, p.pid))
		_ = p.kill(unix.SIGKILL)
	}
}

// succeed marks a process RUNNING that stayed up long enough.
func (p *process) succeed() {
	p.tries = 0
	p.setState(running)
	p.d.log.Info(fmt.Sprintf("success: %s entered RUNNING state, process has stayed up for > than %d seconds (startsecs)",
		p.config.Name, p.config.StartSecs))
}

// backOff tries again later, after one second, two, three…, or gives up.
func (p *process) backOff() {
	p.setState(backoff)
	if p.tries > p.config.StartRetries {
		p.giveUp()
		p.d.log.Info(fmt.Sprintf("gave up: %s entered FATAL state, too many start retries too quickly", p.config.Name))
		return
	}
	p.after(seconds(p.tries), p.next)
}

// respawn starts the process again, unless everything is about to stop.
func (p *process) respawn() {
	if p.d.state == supervisorRunning {
		p.spawn()
	}
}

func (p *process) giveUp() {
	p.tries = 0
	p.setState(fatal)
}

// stop asks the process to end, and kills it if it doesn't in time. It fails if
// the process couldn't be asked.
func (p *process) stop() error { return p.kill(p.config.StopSignal) }

func (p *process) kill(signal unix.Signal) error {
	name := p.config.Name
	if p.state == backoff {
		p.d.log.Debug(fmt.Sprintf("Attempted to kill %s, which is in BACKOFF state.", name))
		p.setState(stopped)
		return nil
	}
	if p.pid == 0 {
		return fmt.Errorf("attempted to kill %s with sig %s but it wasn't running", name, signalName(signal))
	}
	asGroup := p.config.StopAsGroup
	if p.state == stopping {
		asGroup = p.config.KillAsGroup
	}
	p.d.log.Debug(fmt.Sprintf("killing %s (pid %d) with signal %s", name, p.pid, signalName(signal)), "group", asGroup)
	p.killing = true
	p.setState(stopping)
	p.after(seconds(p.config.StopWaitSecs), p.next)
	send := p.send
	if asGroup {
		send = p.sendToGroup
	}
	if err := send(signal); err != nil && err != unix.ESRCH {
		err = fmt.Errorf("unknown problem killing %s (%d):%w", name, p.pid, err)
		p.d.critical(err.Error())
		p.killing = false
		p.setState(unknown)
		return err
	}
	return nil
}

// signal sends a signal that should not end the process.
func (p *process) signal(signal unix.Signal) error {
	p.d.log.Debug(fmt.Sprintf("sending %s (pid %d) sig %s", p.config.Name, p.pid, signalName(signal)))
	if err := p.send(signal); err != nil && err != unix.ESRCH {
		err = fmt.Errorf("unknown problem sending sig %s (%d):%w", p.config.Name, p.pid, err)
		p.d.critical(err.Error())
		p.setState(unknown)
		return err
	}
	return nil
}

// send uses the pidfd, since an adopted process's number may be reused by now.
func (p *process) send(signal unix.Signal) error {
	return unix.PidfdSendSignal(p.pidfd, signal, nil, 0)
}

// sendToGroup signals the process group. Its number can't be reused while the
// process exists.
func (p *process) sendToGroup(signal unix.Signal) error {
	if err := unix.PidfdSendSignal(p.pidfd, 0, nil, 0); err != nil {
		return err
	}
	return unix.Kill(-p.pid, signal)
}

func signalName(signal unix.Signal) string {
	if name := unix.SignalName(signal); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(signal))
}

// ended is what is known of a process that has ended.
type ended struct {
	status int    // exit status; -1 after a signal, or if nobody knows
	how    string // for the log
}

// quickly is how long a process must run to be restarted at once.
const quickly = time.Second

// finish handles the end of the process.
func (p *process) finish(end ended) {
	for _, o := range p.outputs() {
		o.drain()
	}
	p.stopped = time.Now()
	ran := p.stopped.Sub(p.started)
	expected := false
	for _, code := range p.config.ExitCodes {
		expected = expected || code == end.status
	}
	logAt := p.d.log.Warn
	if expected {
		logAt = p.d.log.Info
	}
	name := p.config.Name
	switch {
	case p.killing:
		p.exitStatus = end.status
		p.setState(stopped)
		logAt(fmt.Sprintf("stopped: %s (%s)", name, end.how))
		p.release()
	case ran < seconds(p.config.StartSecs) && p.state == starting:
		p.exitStatus = 0
		p.spawnError = "Exited too quickly (process log may have details)"
		p.d.log.Warn(fmt.Sprintf("exited: %s (%s; not expected)", name, end.how))
		p.release()
		p.backOff()
	default:
		p.tries = 0
		p.exitStatus = end.status
		if p.state == starting {
			p.setState(running)
		}
		word := "expected"
		if !expected {
			word = "not expected"
			p.spawnError = fmt.Sprintf("Bad exit code %d", end.status)
		}
		p.setExited(expected)
		logAt(fmt.Sprintf("exited: %s (%s; %s)", name, end.how, word))
		p.release()
		p.restart(expected, ran)
	}
}

// restart restarts an EXITED process if its configuration says so. A process
// that ended at once waits a moment, so that it can't keep the machine busy.
func (p *process) restart(expected bool, ran time.Duration) {
	wanted := p.config.AutoRestart == config.RestartAlways || p.config.AutoRestart == config.RestartUnexpected && !expected
	switch {
	case !wanted:
	case ran < quickly:
		p.after(quickly, p.next)
	default:
		p.respawn()
	}
}

// release forgets the process. Its pipes stay open while others have them open:
// its children can still write to the log.
func (p *process) release() {
	p.d.journal.ended(p.pid)
	if p.pidfd >= 0 {
		p.d.poller.closeFD(p.pidfd)
	}
	p.dropInput()
	p.pid, p.pidfd, p.ticks, p.killing = 0, -1, 0, false
	if p.listener != nil {
		p.listener.close()
	}
}

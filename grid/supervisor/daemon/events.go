// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// event is something that event listeners can subscribe to.
type event struct {
	name    string
	serial  int
	payload string
}

// queued is an event that waits in a pool for a listener.
type queued struct {
	*event
	serial int // in the pool
}

// pool is the extra state of a group of event listeners: events that wait until
// one of them is ready.
type pool struct {
	group  *group
	buffer []queued
	serial int
}

// wants reports whether the pool subscribed to an event: by its name, or by the
// name of an abstract type that it begins with.
func (q *pool) wants(name string) bool {
	return slices.ContainsFunc(q.group.config.Listener.Events, func(asked string) bool {
		return asked == "EVENT" || asked == name || strings.HasPrefix(name, asked+"_")
	})
}

// notify hands an event to the pools that want it.
func (d *daemon) notify(name, payload string) {
	var e *event
	for _, g := range d.groups {
		if g.pool == nil || !g.pool.wants(name) {
			continue
		}
		if e == nil {
			e = &event{name: name, serial: d.eventSerial, payload: payload}
			d.eventSerial++
		}
		g.pool.append(queued{event: e, serial: g.pool.serial})
		g.pool.serial++
		g.pool.dispatch()
	}
}

// append puts an event into the buffer.
func (q *pool) append(e queued) {
	q.makeRoom()
	q.buffer = append(q.buffer, e)
}

// putBack puts an event that had left the buffer in front of all others.
func (q *pool) putBack(e queued) {
	q.makeRoom()
	q.buffer = slices.Insert(q.buffer, 0, e)
}

// makeRoom drops the oldest event of a full buffer.
func (q *pool) makeRoom() {
	if len(q.buffer) >= q.group.config.Listener.BufferSize {
		q.group.d.log.Error(fmt.Sprintf("pool %s event buffer overflowed, discarding event %d", q.group.config.Name, q.buffer[0].event.serial))
		q.buffer = q.buffer[1:]
	}
}

// dispatch sends events to listeners that are ready.
func (q *pool) dispatch() {
	for len(q.buffer) > 0 {
		ready := slices.IndexFunc(q.group.processes, func(p *process) bool {
			return p.state == running && p.listener.state == listenerReady
		})
		if ready < 0 {
			return
		}
		e := q.buffer[0]
		q.buffer = q.buffer[1:]
		q.group.processes[ready].listener.send(e)
	}
	q.buffer = nil
}

func (q *pool) envelope(e queued) []byte {
	return []byte(fmt.Sprintf("ver:3.0 server:%s serial:%d pool:%s poolserial:%d eventname:%s len:%d\n%s",
		q.group.d.config.Identifier, e.event.serial, q.group.config.Name, e.serial, e.name, len(e.payload), e.payload))
}

// listenerState is a listener's state in its protocol: it says READY, gets an
// event, answers with RESULT, and says READY again.
type listenerState int

const (
	listenerAcknowledged listenerState = iota // READY is expected
	listenerReady
	listenerBusy
	listenerUnknown // it broke the protocol and gets no more events
)

// listener is the protocol state of one process in a pool.
type listener struct {
	process *process
	state   listenerState
	stdin   int    // -1 without a process
	unsent  []byte // of the current event
	event   *queued
	input   []byte
	result  int // length of the answer; -1 before it is known
}

// maximumInput bounds what a listener may send at once.
const maximumInput = 1 << 20

func (l *listener) begin(stdin int) {
	*l = listener{process: l.process, stdin: stdin, result: -1}
}

// close handles the end of the process: its unanswered event goes to another.
func (l *listener) close() {
	if l.stdin >= 0 {
		l.process.d.poller.closeFD(l.stdin)
	}
	e := l.event
	*l = listener{process: l.process, stdin: -1}
	l.reject(e)
}

func (l *listener) reject(e *queued) {
	if e != nil {
		l.process.group.pool.putBack(*e)
	}
}

func (l *listener) send(e queued) {
	l.state, l.event = listenerBusy, &e
	l.unsent = append(l.unsent, l.process.group.pool.envelope(e)...)
	l.write()
}

// write sends as much as the pipe takes; the rest waits.
func (l *listener) write() {
	for len(l.unsent) > 0 {
		n, err := unix.Write(l.stdin, l.unsent)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			poller := l.process.d.poller
			_ = poller.add(l.stdin, unix.EPOLLOUT|unix.EPOLLONESHOT, func(uint32) {
				poller.forget(l.stdin)
				l.write()
			})
			return
		}
		if err != nil {
			l.unsent = nil // it is about to end, which rejects the event
			return
		}
		l.unsent = l.unsent[n:]
	}
	l.unsent = nil
}

// receive handles the listener's output.
func (l *listener) receive(data []byte) {
	l.input = append(l.input, data...)
	more := true
	for more && len(l.input) > 0 {
		more = l.step()
	}
	if len(l.input) > maximumInput {
		l.fail()
	}
}

// step handles one part of the input; it returns false if it needs more.
func (l *listener) step() bool {
	switch l.state {
	case listenerAcknowledged:
		const ready = "READY\n"
		if len(l.input) < len(ready) {
			return false
		}
		if !strings.HasPrefix(string(l.input[:len(ready)]), ready) {
			l.fail()
			return false
		}
		l.input = l.input[len(ready):]
		l.state = listenerReady
		l.process.group.pool.dispatch()
	case listenerBusy:
		if l.result < 0 {
			return l.resultLine()
		}
		if len(l.input) < l.result {
			return false
		}
		answer := string(l.input[:l.result])
		l.input = l.input[l.result:]
		l.answer(answer)
	default: // nothing is expected from it now
		l.fail()
		return false
	}
	return true
}

func (l *listener) resultLine() bool {
	line, rest, found := strings.Cut(string(l.input), "\n")
	if !found {
		return false
	}
	l.input = []byte(rest)
	length := 0
	if _, err := fmt.Sscanf(line, "RESULT %d", &length); err != nil || length < 0 || length > maximumInput {
		l.process.d.log.Warn(fmt.Sprintf("%s: bad result line: '%s'", l.process.config.Name, text([]byte(line))))
		l.fail()
		return false
	}
	l.result = length
	if length == 0 {
		l.answer("")
	}
	return true
}

// answer accepts the event on OK; any other answer queues it again.
func (l *listener) answer(result string) {
	e := l.event
	l.event, l.result, l.state = nil, -1, listenerAcknowledged
	if result != "OK" {
		l.process.d.log.Warn(l.process.config.Name + ": event was rejected")
		l.reject(e)
	}
}

func (l *listener) fail() {
	e := l.event
	l.input, l.event = nil, nil
	if l.state != listenerUnknown {
		l.process.d.log.Warn(l.process.config.Name + ": broke the protocol of event listeners, it gets no more events")
	}
	l.state = listenerUnknown
	l.reject(e)
}

// ticks sends TICK events while a pool wants them; otherwise nothing wakes up.
func (d *daemon) ticks() {
	wanted := false
	for _, g := range d.groups {
		wanted = wanted || g.pool != nil && (g.pool.wants("TICK_5") || g.pool.wants("TICK_60") || g.pool.wants("TICK_3600"))
	}
	if !wanted || d.state != supervisorRunning || d.ticking {
		return
	}
	d.ticking = true
	const period = 5
	now := time.Now()
	if d.nextTick.IsZero() { // else that of the image before
		d.nextTick = now.Truncate(period * time.Second).Add(period * time.Second)
	}
	time.AfterFunc(d.nextTick.Sub(now), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		at := d.nextTick.Unix()
		d.ticking, d.nextTick = false, time.Time{}
		for _, every := range []int64{5, 60, 3600} {
			if at%every == 0 {
				d.notify(fmt.Sprintf("TICK_%d", every), fmt.Sprintf("when:%d", at))
			}
		}
		d.ticks()
	})
}

// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import "context"

// What a call waits for.
const (
	untilStarted  = "started"
	untilStopped  = "stopped"
	untilUpgraded = "upgraded"
)

// pendingCall is what is left of a call: waiting for processes, one after the
// other, and then the answer. Another image of the supervisor can do that, too.
type pendingCall struct {
	Until   string   // empty: no waiting
	Name    string   `json:",omitempty"` // of a single process, as the client wrote it
	Several bool     `json:",omitempty"` // the answer is a list of Results
	Results []status `json:",omitempty"` // so far
	// Processes are group and name of the processes, of another image.
	Processes [][2]string `json:",omitempty"`
	processes []*process
}

// await waits for the processes of a call, and answers it. The caller holds the
// lock.
func (d *daemon) await(ctx context.Context, rest pendingCall) (any, error) {
	connectionOf(ctx).leave(&rest)
	defer connectionOf(ctx).leave(nil)
	for len(rest.processes) > 0 {
		p := rest.processes[0]
		name := rest.Name
		if rest.Several {
			name = p.namespec()
		}
		var err error
		switch rest.Until {
		case untilStarted:
			err = p.waitStarted(ctx, name)
		case untilStopped:
			err = p.waitStopped(ctx)
		}
		if !rest.Several {
			return true, err
		}
		rest.Results = append(rest.Results, p.status(err))
		rest.processes = rest.processes[1:]
	}
	if !rest.Several {
		return true, nil
	}
	return rest.Results, nil
}

// resumeCall does what is left of a call that came to another image.
func (d *daemon) resumeCall(ctx context.Context, rest *pendingCall) (any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rest.Until == untilUpgraded {
		return d.upgraded(), nil
	}
	names := rest.Processes
	rest.Processes = nil
	for _, name := range names {
		if g := d.groups[name[0]]; g != nil && g.process(name[1]) != nil {
			rest.processes = append(rest.processes, g.process(name[1]))
		}
	}
	return d.await(ctx, *rest)
}

// named returns the rest of a call in the form that another image understands.
func (rest pendingCall) named() *pendingCall {
	for _, p := range rest.processes {
		rest.Processes = append(rest.Processes, [2]string{p.group.config.Name, p.config.Name})
	}
	return &rest
}

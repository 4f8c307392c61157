// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/terminal"
	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/clock"
)

// exitTimeout is the exit code of a command that waited too long, as that of
// timeout(1).
const exitTimeout = 124

func waitTimeoutFlag(target *int) cli.Flag {
	return argv.WholeFlag(target, "timeout", "wait for at most `SECONDS`, 0 for ever", "0", 0, maxSeconds)
}

// waitPause is between two questions of a command that waits.
const waitPause = time.Second

// A waiter waits for something to get into a condition.
type waiter struct {
	e       *environment
	client  *client
	subject string // what is waited for
	timeout int    // seconds, 0 for ever

	deadline time.Time // from the first question on
	shown    bool      // a line on the terminal
}

// unready is what is going on when the master says "not yet" (408).
const unready = "the master isn't ready to answer"

// until asks again and again, until look says that it is done or returns an error.
// What look says else is the live line on a terminal. A master that isn't ready is
// asked again, too. The time that is left is the same for all that a waiter waits for.
func (w *waiter) until(ctx context.Context, look func(ctx context.Context) (doing string, done bool, err error)) error {
	waiting := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		if w.deadline.IsZero() {
			w.deadline = time.Now().Add(time.Duration(w.timeout) * time.Second)
		}
		waiting, cancel = context.WithDeadline(ctx, w.deadline)
		defer cancel()
	}
	defer w.erase()
	last := ""
	for {
		doing, done, err := look(waiting)
		if errors.Is(err, slap.ErrNotReady) {
			doing, done, err = w.subject+": "+unready, false, nil
		}
		if err == nil && done {
			return nil
		}
		if err == nil {
			last = doing
			w.show(doing)
			err = clock.Pause(waiting, waitPause)
		}
		if ctx.Err() == nil && waiting.Err() != nil {
			w.erase()
			text := fmt.Sprintf("%s isn't done after %d s", w.subject, w.timeout)
			if last != "" {
				text += ": " + last
			}
			return &exitError{code: exitTimeout, err: errors.New(text)}
		}
		if err != nil {
			return err
		}
	}
}

// show draws the line, if somebody watches.
func (w *waiter) show(text string) {
	if !isTerminal(w.e.stderr) || w.e.global.quiet {
		return
	}
	width, _ := terminal.Size(w.e.stderr)
	w.shown = true
	io.WriteString(w.e.stderr, "\r\x1b[K"+terminal.Cut(text, width-1))
}

func (w *waiter) erase() {
	if w.shown {
		io.WriteString(w.e.stderr, "\r\x1b[K")
		w.shown = false
	}
}

// doing says what an actual is, and for how long.
func (w *waiter) doing(subject string, a slap.Actual) string {
	text := subject + ": " + string(a.Condition)
	if !a.Since.IsZero() {
		text += ", " + terminal.Age(w.e.now().Sub(a.Since.Time))
	}
	if a.Message != "" {
		text += ": " + a.Message
	}
	return shown(text)
}

// lastLines of a log are shown when a wait ends with a failure.
const lastLines = 20

// failed tells why, with the end of the log, and where the whole is.
func (w *waiter) failed(ctx context.Context, subject string, a slap.Actual, command string) error {
	w.erase()
	if a.Event > 0 {
		if text, err := w.client.EventLog(ctx, a.Event); err == nil {
			lines := strings.Split(strings.TrimRight(pass.Printable(text), "\n"), "\n")
			w.e.log.Info(strings.Join(lines[max(0, len(lines)-lastLines):], "\n"))
		}
	}
	return errors.New(shown(subject + " failed: " + a.Message + ": " + command + " shows the whole log"))
}

// releaseBefore is how a release on a node is before something is asked for it, nil
// if nobody supplied it or this master doesn't tell.
func (c *client) releaseBefore(ctx context.Context, url, node string) *slap.Actual {
	status, err := c.ReleaseStatus(ctx, url, node)
	if err != nil {
		return nil
	}
	return &status.Actual
}

// release waits until a release is available on a node, or gone from it. The failure
// that was there before doesn't count, unless it was reported again.
func (w *waiter) release(ctx context.Context, url, node string, wanted slap.State, before *slap.Actual) error {
	return w.until(ctx, func(ctx context.Context) (string, bool, error) {
		status, err := w.client.ReleaseStatus(ctx, url, node)
		if errors.Is(err, slap.ErrNotFound) {
			if wanted == slap.StateDestroyed {
				return "", true, nil
			}
			return url + " isn't supplied to " + node, false, nil
		}
		if err != nil {
			return "", false, err
		}
		a := status.Actual
		switch {
		case a.Condition == slap.ConditionAvailable && wanted != slap.StateDestroyed:
			return "", true, nil
		case a.Condition == slap.ConditionFailed && !sameFailure(before, a):
			return "", false, w.failed(ctx, url+" on "+node, a, "slapos computer log "+shellWord(node)+" "+shellWord(url))
		}
		return w.doing(url+" on "+node, a), false, nil
	})
}

// sameFailure reports whether nothing was reported since.
func sameFailure(before *slap.Actual, a slap.Actual) bool {
	return before != nil && before.Condition == a.Condition && before.Failures == a.Failures && before.Reported == a.Reported
}

// instance waits until an instance is as wanted.
func (w *waiter) instance(ctx context.Context, guid, title string, wanted slap.Condition) error {
	return w.until(ctx, func(ctx context.Context) (string, bool, error) {
		status, err := w.client.InstanceStatus(ctx, guid)
		if errors.Is(err, slap.ErrNotFound) {
			if wanted == conditionDestroyed {
				return "", true, nil
			}
			return title + " isn't there", false, nil
		}
		if errors.Is(err, slap.ErrForgetful) {
			return w.elsewhere(ctx, title, wanted)
		}
		if err != nil {
			return "", false, err
		}
		a := status.Actual
		switch a.Condition {
		case wanted:
			return "", true, nil
		case slap.ConditionFailed:
			return "", false, w.failed(ctx, title, a, "slapos service log "+shellWord(title))
		case slap.ConditionWaiting:
			return w.waitingFor(ctx, status)
		}
		return w.doing(title, a), false, nil
	})
}

// conditionDestroyed is what is waited for until there is nothing any more.
const conditionDestroyed slap.Condition = "destroyed"

// waitingFor looks at the release that an instance waits for.
func (w *waiter) waitingFor(ctx context.Context, status *slap.InstanceStatus) (string, bool, error) {
	url, node := status.SoftwareRelease, status.Computer
	release, err := w.client.ReleaseStatus(ctx, url, node)
	switch {
	case errors.Is(err, slap.ErrNotFound):
		return status.Title + " waits for " + url + ", which nobody supplied to " + node, false, nil
	case err != nil:
		return "", false, err
	case release.Actual.Condition == slap.ConditionFailed:
		return "", false, w.failed(ctx, url+" on "+node, release.Actual, "slapos computer log "+shellWord(node)+" "+shellWord(url))
	}
	return w.doing(url+" on "+node, release.Actual), false, nil
}

// conditionOf is the condition to wait for: that of the option, or the one that
// follows from what was asked for.
func conditionOf(option string, state slap.State) slap.Condition {
	switch {
	case option == "started":
		return slap.ConditionRunning
	case option != argv.Given:
		return slap.Condition(option)
	case state == slap.StateStopped:
		return slap.ConditionStopped
	case state == slap.StateDestroyed:
		return conditionDestroyed
	}
	return slap.ConditionRunning
}

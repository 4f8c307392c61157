// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/slap/clock"
)

const (
	// A supervisor that isn't there is looked for each second, later more seldom.
	soughtOften  = time.Second
	soughtSeldom = 30 * time.Second
	oftenTimes   = 60
)

// A keeper tells when the supervisor ends and when another one begins: neither starts
// the services that ran before.
type keeper struct {
	pidFile string
	changed func(what string)
	// met gets a value when a run has met a supervisor: true if it is certain.
	met chan bool
}

func newKeeper(root string, changed func(what string)) *keeper {
	return &keeper{pidFile: supervisor.Layout{InstanceRoot: root}.PIDFile(), changed: changed, met: make(chan bool, 1)}
}

// meet tells that a run has met a supervisor, which may have ended since.
func (k *keeper) meet(certain bool) {
	select {
	case k.met <- certain:
	default:
	}
}

// run sleeps while the supervisor lives, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	last, sought, certain := 0, 0, false
	for ctx.Err() == nil {
		pid, err := k.find()
		if err != nil {
			if certain { // it was there
				k.changed("The supervisor ended")
			}
			pause := soughtOften
			if sought++; sought > oftenTimes {
				pause = soughtSeldom
			}
			certain = k.await(ctx, pause)
			continue
		}
		certain = false
		if last != 0 && pid != last {
			k.changed("Another supervisor runs")
		}
		last, sought = pid, 0
		if pass.AwaitProcess(ctx, pid) != nil {
			return
		}
		k.changed("The supervisor ended")
		_ = clock.Pause(ctx, soughtOften)
	}
}

// await waits for a time, or until a run meets a supervisor.
func (k *keeper) await(ctx context.Context, pause time.Duration) (certain bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case certain = <-k.met:
	case <-timer.C:
	case <-ctx.Done():
	}
	return certain
}

// find returns the process number of a supervisor that lives.
func (k *keeper) find() (int, error) {
	text, err := os.ReadFile(k.pidFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(k.pidFile)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
		return 0, err
	}
	if clock.BeganAfter(pid, info.ModTime()) {
		return 0, errors.New("the number is another process's")
	}
	return pid, nil
}

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
	often        = 60 // times
)

// A keeper tells when the supervisor ends and when another one begins: neither starts
// the services that ran before.
type keeper struct {
	pidFile string
	changed func(what string)
}

func newKeeper(root string, changed func(what string)) *keeper {
	return &keeper{pidFile: supervisor.Layout{InstanceRoot: root}.PIDFile(), changed: changed}
}

// run sleeps while the supervisor lives, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	last, sought := 0, 0
	for ctx.Err() == nil {
		pid, err := k.find()
		if err != nil {
			pause := soughtOften
			if sought++; sought > often {
				pause = soughtSeldom
			}
			_ = clock.Pause(ctx, pause)
			continue
		}
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

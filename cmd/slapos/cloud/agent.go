// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"slapos/grid/supervisor"
	"slapos/slap"
	"slapos/slap/clock"
)

const (
	lookEvery   = time.Second     // at what the master wants
	firstRetry  = 5 * time.Second // after a failed pass; doubled each time
	maxAnswer   = 64 << 20        // bytes of the master's answer
	slowestLook = time.Second     // at a pass that runs
)

// A trigger wakes up a loop. Firing it several times while the loop works
// counts once.
type trigger chan struct{}

func (t trigger) fire() {
	select {
	case t <- struct{}{}:
	default:
	}
}

// Work runs the passes until the context ends. Installing releases doesn't hold
// up partitions: a long build runs beside them.
func (c *Cloud) Work(ctx context.Context, every time.Duration) {
	client := c.system()
	defer client.Close()
	software, instance := make(trigger, 1), make(trigger, 1)
	var loops sync.WaitGroup
	loops.Go(func() { c.watchMaster(ctx, software, instance) })
	loops.Go(func() {
		c.repeat(ctx, client, every, software, instance, "slapos-node-software")
	})
	loops.Go(func() {
		c.repeat(ctx, client, every, instance, nil, "slapos-node-instance", "slapos-node-report")
	})
	loops.Wait()
}

// repeat runs passes regularly, when its trigger fires, and soon after a
// failure. After each round it fires the trigger of the other loop.
func (c *Cloud) repeat(ctx context.Context, client *supervisor.Client, every time.Duration, mine, other trigger, passes ...string) {
	retry := firstRetry
	for {
		pause := every
		for _, pass := range passes {
			code, err := c.runPass(ctx, client, pass)
			if ctx.Err() != nil {
				return
			}
			if err != nil || code != 0 {
				pause = min(retry, every)
				c.options.Logger.Warn(fmt.Sprintf("%s failed, see its log.", pass), "code", code, "error", err)
			}
		}
		if pause == every {
			retry = firstRetry
		} else {
			retry = min(2*retry, every)
		}
		if other != nil {
			other.fire()
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-mine:
			retry = firstRetry
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// runPass makes the supervisor run a program to its end.
func (c *Cloud) runPass(ctx context.Context, client *supervisor.Client, name string) (code int, err error) {
	if err := client.StartProcess(ctx, name); err != nil {
		return 0, err
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, slowestLook) {
		if err := clock.Pause(ctx, pause); err != nil {
			return 0, err
		}
		info, err := client.ProcessInfo(ctx, name)
		if err != nil {
			return 0, err
		}
		switch info.Statename {
		case "EXITED", "FATAL", "STOPPED":
			return info.Exitstatus, nil
		}
	}
}

// watchMaster fires the triggers when the master's wishes change.
func (c *Cloud) watchMaster(ctx context.Context, triggers ...trigger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var known [sha256.Size]byte
	for {
		if wanted, err := c.wanted(ctx); err == nil && wanted != known {
			known = wanted
			for _, t := range triggers {
				t.fire()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// wanted identifies what the master wants of this node.
func (c *Cloud) wanted(ctx context.Context) (sum [sha256.Size]byte, err error) {
	address := c.MasterURL() + "/getFullComputerInformation?computer_id=" + Computer
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return sum, err
	}
	token, err := slap.ReadToken(c.Settings.TokenFile)
	if err != nil {
		return sum, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return sum, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return sum, fmt.Errorf("the master answers %s", answer.Status)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.LimitReader(answer.Body, maxAnswer)); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}

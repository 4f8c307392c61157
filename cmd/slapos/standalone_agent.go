// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/grid/supervisor"
	"slapos/slap/clock"
)

const (
	lookEvery   = time.Second     // at what the master wants
	firstRetry  = 5 * time.Second // after a failed pass; doubled each time
	maxAnswer   = 64 << 20        // bytes of the master's answer
	slowestLook = time.Second     // at a pass that runs
)

func newStandaloneAgentCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:   "agent",
		Usage:  "the agent of a cloud, which its supervisor runs",
		Hidden: true,
		Description: `Has the supervisor run the passes of the node: when the master wants something
else, and regularly.

Exit codes: 0 ended; 1 failed.`,
		Flags: []cli.Flag{
			rootFlag(),
			argv.WholeFlag("every", "`SECONDS` between passes when nothing changes", "60", 1, maxSeconds),
		},
		Action: func(c *cli.Context) error {
			s, err := e.newStandalone(c)
			if err != nil {
				return err
			}
			s.work(c.Context, time.Duration(argv.WholeOf(c, "every"))*time.Second)
			return nil
		},
	}
}

// A wish wakes up a loop; wishes that come while it works are one.
type wish chan struct{}

func (w wish) make() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// work runs the passes until the context ends. Releases are installed beside the
// processing of partitions, which can go on during a long build.
func (s *standaloneCloud) work(ctx context.Context, every time.Duration) {
	client := s.system()
	defer client.Close()
	software, instance := make(wish, 1), make(wish, 1)
	var loops sync.WaitGroup
	loops.Go(func() { s.watchMaster(ctx, software, instance) })
	loops.Go(func() {
		s.repeat(ctx, client, every, software, instance, "slapos-node-software")
	})
	loops.Go(func() {
		s.repeat(ctx, client, every, instance, nil, "slapos-node-instance", "slapos-node-report")
	})
	loops.Wait()
}

// repeat runs passes at each wish, sooner after a failure, and else regularly;
// then it makes the wish of another loop.
func (s *standaloneCloud) repeat(ctx context.Context, client *supervisor.Client, every time.Duration, mine, other wish, passes ...string) {
	retry := firstRetry
	for {
		pause := every
		for _, pass := range passes {
			code, err := s.runPass(ctx, client, pass)
			if ctx.Err() != nil {
				return
			}
			if err != nil || code != 0 {
				pause = min(retry, every)
				s.e.log.Warn(fmt.Sprintf("%s failed, see its log.", pass), "code", code, "error", err)
			}
		}
		if pause == every {
			retry = firstRetry
		} else {
			retry = min(2*retry, every)
		}
		if other != nil {
			other.make()
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

// runPass has the supervisor run a program to its end.
func (s *standaloneCloud) runPass(ctx context.Context, client *supervisor.Client, name string) (code int, err error) {
	if err := client.StartProcess(ctx, name, false); err != nil {
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

// watchMaster makes wishes when the master wants something else than before.
func (s *standaloneCloud) watchMaster(ctx context.Context, wishes ...wish) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var known [sha256.Size]byte
	for {
		if wanted, err := s.wanted(ctx); err == nil && wanted != known {
			known = wanted
			for _, w := range wishes {
				w.make()
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
func (s *standaloneCloud) wanted(ctx context.Context) (sum [sha256.Size]byte, err error) {
	address := s.masterURL() + "/getFullComputerInformation?computer_id=" + standaloneComputer
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return sum, err
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

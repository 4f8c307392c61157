// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Heating says which sensor shows how well the machine heats: under full load,
// its temperature must rise fast enough (COL-27).
type Heating struct {
	Model  string
	Sensor string        // "": no test
	Step   time.Duration // between two readings; default 30 s
}

// heatingLimits are the degrees per second at which a model counts as heating.
var heatingLimits = map[string]float64{"shuttle_ds61_i7": 0.045, "nuc_i7": 0.055}

// heatingLongest ends a test whose temperature keeps rising.
const heatingLongest = 10 * time.Minute

type heatingResult struct {
	initial, final, seconds float64
	ratio                   float64 // 100: it heats, 0: it does not
}

// testHeating returns nil if there was nothing to test.
func (c *Collector) testHeating(ctx context.Context, store *store) (*heatingResult, error) {
	if c.Heating.Sensor == "" {
		return nil, nil
	}
	content, err := os.ReadFile(filepath.Join(c.Proc, "uptime"))
	if err != nil {
		return nil, err
	}
	uptime, err := parseUptime(string(content))
	if err != nil {
		return nil, err
	}
	const day = 24 * 60 * 60
	if uptime <= day {
		return nil, nil
	}
	last, tested, err := store.lastHeating(ctx)
	if err != nil || tested && c.Now().Sub(last).Seconds() <= uptime {
		return nil, err
	}
	limit, known := heatingLimits[c.Heating.Model]
	if !known {
		c.Logger.Warn(fmt.Sprintf("Impossible to test how the machine heats: nothing is known of computer_model_id %q", c.Heating.Model))
		return nil, nil
	}
	return c.heat(ctx, limit)
}

// heat loads all processors until the temperature stops rising.
func (c *Collector) heat(ctx context.Context, limit float64) (*heatingResult, error) {
	first, ok, err := c.sensor(ctx)
	if err != nil {
		return nil, err
	}
	if !ok || first.alarm > 0 {
		c.Logger.Warn("Impossible to test sensor: " + c.Heating.Sensor)
		return nil, nil
	}
	start := time.Now()
	defer loadProcessors()()
	for highest := first.value; ; {
		if !wait(ctx.Done(), cmp.Or(c.Heating.Step, 30*time.Second)) {
			return nil, ctx.Err()
		}
		now, ok, err := c.sensor(ctx)
		if err != nil || !ok {
			return nil, err
		}
		if now.value > highest && now.alarm == 0 && time.Since(start) < heatingLongest {
			highest = now.value
			continue
		}
		result := &heatingResult{initial: first.value, final: now.value, seconds: time.Since(start).Seconds()}
		if (result.final-result.initial)/result.seconds >= limit {
			result.ratio = 100
		}
		return result, nil
	}
}

func (c *Collector) sensor(ctx context.Context) (temperature, bool, error) {
	all, err := c.readTemperatures(ctx)
	for _, t := range all {
		if t.sensor == c.Heating.Sensor {
			return t, true, err
		}
	}
	return temperature{}, false, err
}

// loadProcessors computes on all processors until the returned function is
// called.
func loadProcessors() (stop func()) {
	var ended atomic.Bool
	var running sync.WaitGroup
	for range runtime.NumCPU() {
		running.Go(func() {
			for sum := uint64(0); !ended.Load(); {
				for i := range uint64(1 << 16) {
					sum = sum*i + i
				}
			}
		})
	}
	return func() {
		ended.Store(true)
		running.Wait()
	}
}

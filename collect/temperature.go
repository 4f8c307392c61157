// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/host"
)

// A temperature in degrees; alarm is 1 from the maximum, 2 from the critical
// temperature.
type temperature struct {
	sensor string
	value  float64
	alarm  int
}

// noLimit is the limit of a sensor without one (COL-26).
const noLimit = 1000

func alarmOf(value, maximum, critical float64) (alarm int) {
	if value >= maximum {
		alarm++
	}
	if value >= critical {
		alarm++
	}
	return alarm
}

const sensorsTimeout = 30 * time.Second

// readTemperatures runs the program sensors, or asks the kernel on a machine
// without it. Having no sensors is no error (COL-3).
func (c *Collector) readTemperatures(ctx context.Context) ([]temperature, error) {
	if c.Sensors == "" {
		return c.kernelTemperatures(ctx), nil
	}
	ctx, cancel := context.WithTimeout(ctx, sensorsTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, c.Sensors, "-u")
	command.WaitDelay = time.Second
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && strings.Contains(string(output), "No sensors found!"):
	case err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
		return nil, fmt.Errorf("%s -u: %w: %s", c.Sensors, err, strconv.QuoteToGraphic(first))
	}
	return parseSensors(string(output)), nil
}

func (c *Collector) kernelTemperatures(ctx context.Context) []temperature {
	stats, err := host.SensorsTemperaturesWithContext(c.roots(ctx))
	if err != nil {
		c.Logger.Debug("Sensors of the kernel can't be read", slog.Any("error", err))
	}
	limit := func(value float64) float64 {
		if value == 0 {
			return noLimit
		}
		return value
	}
	found := make([]temperature, len(stats))
	for i, s := range stats {
		found[i] = temperature{sensor: s.SensorKey, value: s.Temperature, alarm: alarmOf(s.Temperature, limit(s.High), limit(s.Critical))}
	}
	return found
}

// parseSensors reads the output of sensors -u (COL-26).
func parseSensors(output string) (found []temperature) {
	lines := strings.Split(strings.ReplaceAll(output, "\r\n", "\n"), "\n")
	line := func(i int) string {
		if i < 0 || i >= len(lines) {
			return ""
		}
		return lines[i]
	}
	adapter := ""
	for i := range lines {
		if strings.HasPrefix(strings.TrimSpace(line(i)), "Adapter:") {
			adapter = line(i - 1)
			continue
		}
		value, ok := temperatureLine(line(i), "_input")
		if !ok {
			continue
		}
		maximum, critical := float64(noLimit), float64(noLimit)
		for _, next := range []string{line(i + 1), line(i + 2)} {
			if limit, ok := temperatureLine(next, "_max"); ok {
				maximum = limit
			} else if limit, ok := temperatureLine(next, "_crit"); ok {
				critical = limit
			}
		}
		found = append(found, temperature{sensor: adapter + " " + line(i-1), value: value, alarm: alarmOf(value, maximum, critical)})
	}
	return found
}

// temperatureLine reads "  temp1_input: 47.000".
func temperatureLine(line, kind string) (float64, bool) {
	fields := strings.Fields(line)
	if len(fields) == 0 || !strings.HasPrefix(fields[0], "temp") || !strings.Contains(line, kind) {
		return 0, false
	}
	value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
	return value, err == nil
}

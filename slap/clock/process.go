// SPDX-License-Identifier: GPL-3.0-or-later

package clock

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// userHertz is the unit of times in /proc: 1/100 s on every machine today.
const userHertz = 100

// sloppiness of the two clocks that [BeganAfter] compares.
const sloppiness = 2 * time.Second

// BeganAfter reports that a process certainly began after a moment, namely when
// its number was written down: then the number was reused by another process.
// It is false for a process that doesn't exist.
func BeganAfter(pid int, moment time.Time) bool {
	ticks, ok := startTicks(pid)
	if !ok {
		return false
	}
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return false
	}
	age := time.Duration(up.Nano()) - time.Duration(ticks)*(time.Second/userHertz)
	return time.Now().Add(-age).After(moment.Add(sloppiness))
}

// startTicks returns when a process began, in ticks since boot.
func startTicks(pid int) (ticks uint64, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	const field = 20 // after the name, which may hold anything
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < field {
		return 0, false
	}
	ticks, err = strconv.ParseUint(string(fields[field-1]), 10, 64)
	return ticks, err == nil
}

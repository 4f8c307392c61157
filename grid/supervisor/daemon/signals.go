// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// catchIgnored keeps ignoring what whoever started us had ignored, as nohup
// does, but by a handler: an ignored signal would be so in our programs, too.
// SIGPIPE is among them because whoever reads our output may go away before us,
// SIGUSR2 because a start that finds us sends it, maybe before we follow it.
func catchIgnored() (stop func()) {
	resetReserved()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, append(ignoredSignals(), unix.SIGPIPE, unix.SIGUSR2)...)
	return func() { signal.Stop(caught) }
}

// resetReserved gives the signals that C libraries keep to themselves their
// default: the runtime leaves them as they are, and nobody sends them to us.
func resetReserved() {
	var byDefault [4]uint64 // the kernel's sigaction, none of it set
	for number := uintptr(32); number <= 34; number++ {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
	}
}

// ignoredSignals asks the kernel: the runtime knows of some only.
func ignoredSignals() []os.Signal {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(status), "\nSigIgn:")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil
	}
	var signals []os.Signal
	for number := range 64 {
		if mask&(1<<number) != 0 {
			signals = append(signals, syscall.Signal(number+1))
		}
	}
	return signals
}

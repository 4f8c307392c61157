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

// catchIgnored keeps ignoring the signals that our parent made us ignore, as
// nohup does, but with a handler: our programs would inherit an ignored signal.
// It includes SIGPIPE, because the reader of our output may leave before us,
// and SIGUSR2, because a starting supervisor that finds us sends it, perhaps
// before we handle it.
func catchIgnored() (stop func()) {
	resetReserved()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, append(ignoredSignals(), unix.SIGPIPE, unix.SIGUSR2)...)
	return func() { signal.Stop(caught) }
}

// resetReserved resets the signals that C libraries reserve to their default:
// the runtime doesn't touch them, and nobody sends them to us. It handles 33
// itself, to change the user of all its threads: without its handler, becomeUser
// would wait for them for ever.
func resetReserved() {
	var byDefault [4]uint64 // the kernel's sigaction, all zero
	for _, number := range []uintptr{32, 34} {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, number, uintptr(unsafe.Pointer(&byDefault)), 0, 8, 0, 0)
	}
}

// ignoredSignals asks the kernel: the runtime knows only some of them.
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

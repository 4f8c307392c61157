package daemon

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// catchIgnored keeps ignoring what whoever started us had ignored, as nohup
// does, but by a handler: an ignored signal would be so in our programs, too.
// SIGPIPE is among them because whoever reads our output may go away before us.
func catchIgnored() (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, append(ignoredSignals(), unix.SIGPIPE)...)
	return func() { signal.Stop(caught) }
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

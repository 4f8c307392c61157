// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor runs for months and does little: it trades time for memory.
const garbagePercent = 40

// tidyDelay is how long to wait after some work before returning its memory.
const tidyDelay = time.Second

// tidy soon returns the memory that reading a configuration took. The caller
// holds the lock.
func (d *daemon) tidy() {
	if d.tidying != nil {
		d.tidying.Reset(tidyDelay)
		return
	}
	d.tidying = time.AfterFunc(tidyDelay, debug.FreeOSMemory)
}

// dropStartup releases the pages of this program that only its start needed.
// They stay in the page cache.
func dropStartup() {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(smaps) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.length, unix.MADV_DONTNEED)
	}
}

type mapping struct{ start, length uintptr }

// cleanMappings finds the mappings of files in /proc/PID/smaps that aren't
// writable and have no modified page: each page can be read again from the file
// when it is needed.
func cleanMappings(smaps []byte) (found []mapping) {
	var m mapping
	readOnly := false
	for line := range bytes.Lines(smaps) {
		var start, end, offset uintptr
		var access, device string
		var inode uint64
		n, _ := fmt.Sscanf(string(line), "%x-%x %s %x %s %d", &start, &end, &access, &offset, &device, &inode)
		if n == 6 {
			m = mapping{start: start, length: end - start}
			readOnly = inode != 0 && len(access) == 4 && access[:2] == "r-" && access[3] == 'p'
		} else if readOnly && string(bytes.Join(bytes.Fields(line), []byte(" "))) == "Anonymous: 0 kB" {
			found = append(found, m)
		}
	}
	return found
}

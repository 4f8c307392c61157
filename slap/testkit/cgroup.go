// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"path/filepath"
	"strings"
	"testing"
)

// UnifiedHierarchy returns where control groups of version 2 are mounted, "" if
// they are nowhere, or only for reading.
func UnifiedHierarchy(t testing.TB) string {
	t.Helper()
	for line := range strings.Lines(ReadFile(t, "/proc/self/mounts")) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" && !strings.HasPrefix(fields[3], "ro") && Exists(filepath.Join(fields[1], "cgroup.procs")) {
			return fields[1]
		}
	}
	return ""
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStart checks that the collector is off before the library that allocates
// most is initialised, and that none of our packages allocates much in its
// init.
func TestStart(t *testing.T) {
	const limit = 16 << 10 // bytes
	command := exec.Command(os.Args[0], "-test.run=^$")
	command.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	place := map[string]int{}
	for n, line := range strings.Split(string(trace), "\n") {
		path, rest, ok := strings.Cut(strings.TrimPrefix(line, "init "), " @")
		if !ok {
			continue
		}
		place[path] = n + 1
		var size int
		fields := strings.Split(rest, ", ")
		if len(fields) < 3 {
			t.Fatalf("no size in %q", line)
		}
		if _, err := fmt.Sscanf(fields[2], "%d bytes", &size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if strings.HasPrefix(path, "slapos/") && size > limit {
			t.Errorf("%s allocates %d bytes in its init, at most %d are right: use sync.OnceValue", path, size, limit)
		}
	}
	start, schema := place["slapos/slap/start"], place["github.com/santhosh-tekuri/jsonschema/v6"]
	if start == 0 || schema == 0 || start > schema {
		t.Errorf("slap/start is initialised at place %d, the schema library at %d", start, schema)
	}
}

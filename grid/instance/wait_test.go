// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"slapos/grid/buildout"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// GRID-110: who needs nothing but a release that the node is to build waits, which
// is no error; the exit code and what the master gets stay the original's.
func TestPassWaits(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	n.Want(slap.StateAvailable, testenv.Release)
	release := n.Path(testenv.Release)
	if err := os.Rename(release, release+".later"); err != nil {
		t.Fatal(err)
	}
	waits := func(reason, reported string) {
		t.Helper()
		before := len(n.Log.String())
		result := n.process(1)
		if len(result.Failed) > 0 || len(result.Waiting) != 1 || !strings.HasPrefix(result.Waiting[0].Err.Error(), reason) {
			t.Errorf("result %+v", result)
		}
		log := n.Log.String()[before:]
		for _, line := range []string{"slappart0 " + reason, "The following partitions wait for their software:", "  slappart0[test]: " + reason} {
			if !strings.Contains(log, line) {
				t.Errorf("no %q in\n%s", line, log)
			}
		}
		if strings.Contains(log, "Error while processing") || strings.Contains(log, "Cannot deploy instance") {
			t.Errorf("an error is logged\n%s", log)
		}
		calls := n.Master.Expect(t, "getFullComputerInformation", "softwareInstanceError slappart0")
		if got := calls[len(calls)-1].Form.Get("error_log"); !strings.HasPrefix(got, "Software Release "+testenv.Release+" is not "+reported) {
			t.Errorf("reported %q", got)
		}
	}
	waits("waits for "+testenv.Release+" (not built yet)", "present on system.")

	// Another agent builds.
	if err := os.Rename(release+".later", release); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(release+"/instance.cfg", release+"/later.cfg"); err != nil {
		t.Fatal(err)
	}
	locks, err := n.Pass.StateDirectory()
	if err != nil {
		t.Fatal(err)
	}
	root, err := confined.Open(release)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	builder := &buildout.Builder{Directory: release, Root: root, Locks: locks, Environment: n.Pass.Environment, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	end, err := builder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.Pass.Now = func() time.Time { return time.Now().Add(time.Hour) }
	waits("waits for "+testenv.Release+" (building since 60 min)", "correctly installed.")
	end()
	n.Pass.Now = time.Now
	waits("waits for "+testenv.Release+" (not built yet)", "correctly installed.")

	// A release that is complete, and lacks something nevertheless, is an error; so is
	// one that nobody supplied.
	testkit.WriteFile(t, release+"/"+buildout.CompletedFile, "")
	if result := n.process(1); len(result.Failed) != 1 {
		t.Errorf("result %+v", result)
	}
	if err := os.Remove(release + "/" + buildout.CompletedFile); err != nil {
		t.Fatal(err)
	}
	n.Want(slap.StateDestroyed, testenv.Release)
	if result := n.process(1); len(result.Failed) != 1 {
		t.Errorf("result %+v", result)
	}
}

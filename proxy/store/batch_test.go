// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"slapos/slap"
	"slapos/slap/testkit"
)

// countedChanges counts commits.
type countedChanges struct {
	changes
	commits int
}

func (c *countedChanges) committed(changed map[string]bool) {
	c.commits++
	c.changes.committed(changed)
}

// TestBatch has operations that come while another one is under way share a
// commit; one that fails leaves nothing, and the others go on (PROXY-6).
func TestBatch(t *testing.T) {
	d, err := Open(t.Context(), Options{URI: filepath.Join(t.TempDir(), "proxy.db"), Computer: "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	counted := &countedChanges{changes: d.changes}
	d.changes = counted
	const operations = 60
	// The first one keeps the writer busy until all others wait.
	entered, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	start := func(do func() error, fails bool) {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := do(); (err != nil) != fails {
				t.Errorf("error %v", err)
			}
		}()
	}
	start(func() error {
		return d.writer.do(t.Context(), func(context.Context, *transaction) error {
			close(entered)
			<-release
			return nil
		})
	}, false)
	<-entered
	for i := range operations {
		start(func() error {
			return d.Supply(t.Context(), Software{URL: fmt.Sprint(i), Computer: "c", State: slap.StateAvailable})
		}, false)
	}
	start(func() error {
		return d.writer.do(t.Context(), func(ctx context.Context, tx *transaction) error {
			if _, err := tx.write(ctx, "c", "INSERT INTO software18 (url) VALUES ('half')"); err != nil {
				t.Error(err)
			}
			return errors.New("changed its mind")
		})
	}, true)
	gone, leave := context.WithCancel(t.Context())
	start(func() error { return d.Supply(gone, Software{URL: "gone", Computer: "c", State: slap.StateAvailable}) }, true)
	testkit.Eventually(t, testkit.Patience, "all of them wait", func() bool { return len(d.writer.jobs) >= operations+2 })
	leave()
	close(release)
	group.Wait()
	if counted.commits != 1 {
		t.Errorf("%d commits", counted.commits)
	}
	if err := d.LoadComputer(t.Context(), ComputerDescription{Reference: "c"}); err != nil {
		t.Fatal(err)
	}
	list, err := d.Software(t.Context(), "c")
	if err != nil || len(list) != operations {
		t.Errorf("%d releases, %v", len(list), err)
	}
	for _, software := range list {
		if software.URL == "half" {
			t.Error("a part of what failed is left")
		}
	}
}

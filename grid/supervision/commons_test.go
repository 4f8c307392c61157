// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import (
	"log/slog"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// Two passes of one process: what one reads of the other's partition it leaves to it,
// also at its end; what it changes itself, the other waits for (AGENT-4).
func TestCommons(t *testing.T) {
	var mu sync.Mutex
	var stopped []string
	stopping, goOn := make(chan struct{}), make(chan struct{})
	first := scriptedSupervision(t, func(method string) any {
		switch method {
		case "supervisor.reloadConfig":
			return differing("a", "b", "nobodys")
		case "supervisor.stopProcessGroup":
			mu.Lock()
			stopped = append(stopped, method)
			mu.Unlock()
			stopping <- struct{}{}
			<-goOn
			return []any{}
		}
		return true
	})
	log := slog.New(slog.DiscardHandler)
	second := New(first.layout.InstanceRoot, Options{Commons: first.options.Commons}, log)
	defer second.Close()
	a, b := first.Partition("a", "/a"), second.Partition("b", "/b")
	if first.changes != second.changes {
		t.Fatal("they share nothing")
	}
	done := make(chan error, 1)
	go func() { done <- first.follow(t.Context(), a.Owns, log) }()
	<-stopping
	goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.Release()
	a.Release()
	// It ends: b is the other's, a is done.
	go func() { done <- first.Finish(t.Context()) }()
	<-stopping
	claimed := make(chan struct{})
	go func() {
		defer close(claimed)
		second.Partition("nobodys", "/nobodys").Release()
	}()
	testkit.Eventually(t, testkit.Patience, "the claim is made", func() bool {
		first.changes.mu.Lock()
		defer first.changes.mu.Unlock()
		return first.changes.claims["nobodys"] == 1
	})
	select {
	case <-claimed:
		t.Error("a partition is claimed while another pass changes it")
	default:
	}
	goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-claimed
	if len(stopped) != 2 {
		t.Errorf("%d groups were stopped, want 2", len(stopped))
	}
	b.Release()
	if got := first.changes.claims; len(got) != 0 {
		t.Errorf("claims are left: %v", got)
	}
	// What was read before says nothing to passes that begin after all others ended.
	first.options.Commons.leave()
	second.options.Commons.leave()
	first.options.Commons.join()
	if c := first.changes; len(c.differences) != 0 || c.read != 0 || c.written != 1 {
		t.Errorf("kept: %v, %d, %d", c.differences, c.read, c.written)
	}
	second.options.Commons.join()
	if first.changes.written != 2 {
		t.Error("a pass that joins others doesn't read anew")
	}
}

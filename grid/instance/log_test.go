// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/grid/partition"
	"slapos/grid/pass"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestInstanceLogRotation(t *testing.T) {
	testkit.NoLeaks(t) // the log is closed
	n := newInstanceNode(t, "slappart0")
	log := n.At("slappart0", ".slapgrid/log/instance.log")
	n.process(0)
	if err := os.Truncate(log, maxInstanceLog); err != nil {
		t.Fatal(err)
	}
	n.Touch("slappart0")
	n.process(0)
	if info, err := os.Stat(log + ".1"); err != nil || info.Size() != maxInstanceLog {
		t.Errorf("old log: %v, %v", info, err)
	}
	if info, err := os.Stat(log); err != nil || info.Size() > 1<<20 {
		t.Errorf("new log: %v, %v", info, err)
	}
}

// TestInstanceLogIsBounded: what runs in one pass can't fill the disk with a
// partition's log, whatever its user does to the files meanwhile (GRID-50).
func TestInstanceLogIsBounded(t *testing.T) {
	defer func(former int64) { maxInstanceLog = former }(maxInstanceLog)
	maxInstanceLog = 10_000
	directory := t.TempDir()
	testkit.HandOver(t, directory)
	root, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := &deployment{Partition: &partition.Partition{Root: root, Node: &pass.Node{Hide: func(text string) string { return text }}, Log: slog.New(slog.DiscardHandler)}}
	file, err := d.openInstanceLog()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, instanceLog)
	for i := range 1000 {
		d.Log.Info(strings.Repeat("x", 100), "line", i)
		if i == 500 { // its user puts something in the way
			if err := os.MkdirAll(path+".1/full", 0o755); err != nil && testkit.Exists(path+".1/full") {
				t.Fatal(err)
			}
		}
		for _, name := range []string{path, path + ".1"} {
			if info, err := os.Lstat(name); err == nil && info.Size() > maxInstanceLog+1000 {
				t.Fatalf("%s has %d bytes after line %d", name, info.Size(), i)
			}
		}
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	d.Log.Info("after the end") // writes nowhere
	if text := testkit.ReadFile(t, path); !strings.Contains(text, "line=999") || strings.Contains(text, "after the end") {
		t.Errorf("the log ends with %q", text[max(0, len(text)-200):])
	}
	if text := testkit.ReadFile(t, path+".1"); !strings.Contains(text, "line=9") {
		t.Errorf("the former log has %q", text[:min(len(text), 200)])
	}
}

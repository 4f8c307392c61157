// SPDX-License-Identifier: GPL-3.0-or-later

package prune

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// GRID-104: pruning removes what is in the shared root, but nothing that a link
// leads to, even if the link is placed there at the last moment.
func TestPruneLinks(t *testing.T) {
	testkit.Root(t)
	n := newPruneNode(t)
	part := n.part("1")
	others := filepath.Join(n.root, "others")
	tree := filepath.Join(others, filepath.Base(part))
	testkit.WriteFile(t, filepath.Join(tree, "file"), "")
	if err := errors.Join(os.Symlink(others, filepath.Join(n.root, "shared", "linked")), os.Symlink(tree, filepath.Join(filepath.Dir(part), hashOf("2")))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(n.root, "shared"), filepath.Dir(part), part} {
		testkit.HandOver(t, path)
	}
	if err := n.prune(nil); err != nil {
		t.Fatal(err)
	}
	testkit.MustExist(t, filepath.Join(tree, "file"))
	testkit.MustNotExist(t, part)

	link := filepath.Join(n.root, "shared", "linked")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, filepath.Dir(part), unix.RENAME_EXCHANGE)
		}
	}()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(time.Duration(testkit.Rounds(2)) * time.Second); time.Now().Before(deadline); {
		_ = prunePart(t.Context(), Options{SharedRoot: filepath.Join(n.root, "shared"), Logger: slog.New(slog.DiscardHandler)}, part)
		testkit.MustExist(t, filepath.Join(tree, "file"))
	}
}

// GRID-104: only regular files are opened, since opening others may have effects.
func TestPruneOpensFilesOnly(t *testing.T) {
	n := newPruneNode(t)
	pipe := filepath.Join(n.root, "device")
	if err := unix.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	n.file("software/a/bin/run", "")
	if err := os.Symlink(pipe, filepath.Join(n.root, "software/a/bin/device")); err != nil {
		t.Fatal(err)
	}
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, pipe, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	if err := n.prune(nil); err != nil {
		t.Fatal(err)
	}
	var event [4096]byte
	if _, err := unix.Read(watch, event[:]); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("it was opened: %v", err)
	}
}

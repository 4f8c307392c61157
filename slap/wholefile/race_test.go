// SPDX-License-Identifier: GPL-3.0-or-later

package wholefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// TestTemporaryExchanged: whoever can write the directory exchanges each temporary file
// for a pipe or a link to a file of the writer's, all the time. The writer never
// waits, and writes or changes nothing but what it made.
func TestTemporaryExchanged(t *testing.T) {
	directory, own := t.TempDir(), t.TempDir()
	secret := testkit.WriteFile(t, filepath.Join(own, "secret"), "secret")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "file")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		exchanged := 0
		defer func() { ended <- exchanged }()
		for turn := 0; ctx.Err() == nil; turn++ {
			names, _ := os.ReadDir(directory)
			for _, entry := range names {
				name := filepath.Join(directory, entry.Name())
				if !strings.HasPrefix(entry.Name(), ".file") || os.Remove(name) != nil {
					continue
				}
				exchanged++
				if turn%2 == 0 {
					_ = unix.Mkfifo(name, 0o666)
				} else {
					_ = os.Symlink(secret, name)
				}
			}
		}
	}()
	written := 0
	for deadline := time.Now().Add(time.Duration(testkit.Rounds(2)) * time.Second); time.Now().Before(deadline); {
		done := make(chan error, 1)
		go func() { done <- Write(path, []byte("mine"), 0o644, ExactMode(0o644)) }() // ends with the write
		select {
		case err := <-done:
			if err == nil {
				written++
			}
		case <-time.After(testkit.Patience):
			t.Fatal("the writer waits")
		}
		// What the attacker puts into its own directory it may.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	cancel()
	if exchanged := <-ended; exchanged == 0 || written == 0 {
		t.Errorf("%d files were exchanged, %d written", exchanged, written)
	}
	info, err := os.Stat(secret)
	if err != nil || info.Mode().Perm() != 0o600 || testkit.ReadFile(t, secret) != "secret" {
		t.Errorf("the writer's other file: %v, %v, %q", info, err, testkit.ReadFile(t, secret))
	}
}

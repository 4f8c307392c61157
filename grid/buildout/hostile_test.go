// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/testkit"
)

// The user of the directory can lock it, and hold the lock as root by running
// su: the agent doesn't wait for that lock (GRID-98).
func TestBeginIgnoresOtherLocks(t *testing.T) {
	b, _ := newBuilder(t)
	b.Timeout = time.Second // of waiting
	directory, err := os.Open(b.Directory)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	if err := unix.Flock(int(directory.Fd()), unix.LOCK_EX); err != nil { // by the agent's own user
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	end, err := b.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	end()
	if names := testkit.Names(t, b.Locks); len(names) > 0 {
		t.Errorf("locks are left: %v", names)
	}
}

// A wait for another agent ends, with an error that names the agent (GRID-98).
func TestBeginWaitsForAWhile(t *testing.T) {
	b, l := newBuilder(t)
	end, err := b.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	second := *b
	second.Timeout = time.Millisecond
	_, err = second.Begin(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d still builds in %s after 1ms", os.Getpid(), b.Directory)) {
		t.Errorf("after the wait: %v", err)
	}
	if line := fmt.Sprintf("INFO Waiting for process %d, which builds in %s", os.Getpid(), b.Directory); !l.has(line) {
		t.Errorf("log %q", l.lines)
	}
}

// Root's git runs nothing that somebody else's repository names, not even if
// the node's git settings trust every repository (GRID-99).
func TestGitRevisionOfStrangers(t *testing.T) {
	testkit.Root(t)
	testkit.Program(t, "git", "git")
	directory := t.TempDir()
	if err := os.Chmod(filepath.Dir(directory), 0o755); err != nil {
		t.Fatal(err)
	}
	home, ran := filepath.Join(t.TempDir(), "home"), filepath.Join(directory, "ran")
	testkit.WriteFile(t, filepath.Join(home, ".gitconfig"), "[safe]\n\tdirectory = *\n")
	profile := writeScript(t, filepath.Join(directory, "software.cfg"), "")
	hook := writeScript(t, filepath.Join(directory, "hook"), "#!/bin/sh\nid -u >> "+ran+"\n")
	for _, arguments := range [][]string{
		{"init", "-q", "-b", "master"}, {"add", "software.cfg"},
		{"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"},
		{"config", "core.fsmonitor", hook},
	} {
		command := exec.Command("git", arguments...)
		command.Dir = directory
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, output)
		}
	}
	if output, err := exec.Command("chown", "-R", fmt.Sprint(testkit.User()), directory).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	revision, ok := GitRevision(t.Context(), profile, append(os.Environ(), "HOME="+home))
	if !ok || !strings.HasPrefix(revision, "heads/master-0-g") {
		t.Errorf("revision %q", revision)
	}
	for uid := range strings.FieldsSeq(testkit.ReadFile(t, ran)) {
		if uid != fmt.Sprint(testkit.User()) {
			t.Errorf("the repository's program ran as user %s", uid)
		}
	}
	// A repository that partly belongs to another user is not reported.
	if err := os.Lchown(filepath.Join(directory, ".git"), 29997, 29997); err != nil {
		t.Fatal(err)
	}
	if uid, found := repositoryOwner(directory); found {
		t.Errorf("a repository of two users is one of user %d", uid)
	}
}

// TestGitRevisionBehindLinks has directories on the way to a repository that
// others than its owner can exchange (GRID-99).
func TestGitRevisionBehindLinks(t *testing.T) {
	testkit.Root(t)
	testkit.Program(t, "git", "git")
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	above := filepath.Join(base, "home")
	repository := filepath.Join(above, "repository")
	profile := filepath.Join(repository, "software.cfg")
	testkit.WriteFile(t, profile, "")
	for _, arguments := range [][]string{
		{"init", "-q", "-b", "master"}, {"add", "software.cfg"}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"},
	} {
		command := exec.Command("git", arguments...)
		command.Dir = repository
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, output)
		}
	}
	environment := append(os.Environ(), "HOME="+base)
	if _, ok := GitRevision(t.Context(), profile, environment); !ok {
		t.Error("root's own repository has no revision")
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(repository, link); err != nil {
		t.Fatal(err)
	}
	if _, ok := GitRevision(t.Context(), filepath.Join(link, "software.cfg"), environment); !ok {
		t.Error("root's own repository behind a link has no revision")
	}
	if err := os.Chmod(above, 0o777); err != nil {
		t.Fatal(err)
	}
	if uid, found := repositoryOwner(repository); found {
		t.Errorf("what everybody can exchange is user %d's", uid)
	}
	if err := os.Chmod(above, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if uid, found := repositoryOwner(repository); !found || uid != 0 {
		t.Errorf("in a directory like /tmp: %d, %v", uid, found)
	}
	if err := os.Lchown(above, testkit.User(), testkit.User()); err != nil {
		t.Fatal(err)
	}
	if uid, _ := repositoryOwner(repository); uid == 0 {
		t.Error("what a user can exchange is root's")
	}
}

// The output of a build is logged up to a limit, in little memory (GRID-106).
func TestOutputIsLimited(t *testing.T) {
	b, _ := newBuilder(t)
	logged, last := 0, ""
	b.Logger = slog.New(slog.NewTextHandler(writer(func(line []byte) {
		logged, last = logged+len(line), string(line)
	}), &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.MessageKey {
			return a
		}
		return slog.Attr{}
	}}))
	script := writeScript(t, filepath.Join(b.Directory, "flood"), "#!/bin/sh\nyes 'a line of a build that never has enough to say' | head -c 40000000\n")
	if err := b.Run(t.Context(), b.script(script)); err != nil {
		t.Fatal(err)
	}
	if logged < maxLog || logged > 2*maxLog {
		t.Errorf("logged %d bytes", logged)
	}
	if !strings.Contains(last, "more bytes left out") {
		t.Errorf("the log ends with %q", last)
	}
}

type writer func([]byte)

func (w writer) Write(line []byte) (int, error) {
	w(line)
	return len(line), nil
}

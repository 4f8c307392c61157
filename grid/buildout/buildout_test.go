// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"slapos/grid/testenv"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testenv.Main(m) }

type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) Enabled(context.Context, slog.Level) bool { return true }
func (l *log) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *log) WithGroup(string) slog.Handler            { return l }
func (l *log) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	return nil
}

func (l *log) has(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.lines, line)
}

// newBuilder makes a directory that an ordinary user owns.
func newBuilder(t *testing.T) (*Builder, *log) {
	t.Helper()
	directory := filepath.Join(testenv.Directory(t), "directory")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.HandOver(t, directory)
	root, err := confined.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	l := &log{}
	return &Builder{
		Directory:   directory,
		Root:        root,
		Environment: []string{"PATH=" + os.Getenv("PATH"), "LANG=C", "TMPDIR=/nowhere", "PIP_NO_BUILD_ISOLATION=0"},
		Locks:       t.TempDir(),
		Logger:      slog.New(l),
	}, l
}

// script returns a script of the directory, by its path.
func (b *Builder) script(path string) Script {
	name, err := filepath.Rel(b.Directory, path)
	if err != nil {
		name = path
	}
	return Script{b.Root, name}
}

func writeScript(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// GRID-12.
func TestBuildARelease(t *testing.T) {
	b, l := newBuilder(t)
	b.Python = testkit.Python(t)
	recipe := filepath.Join(filepath.Dir(b.Directory), "recipe")
	writeScript(t, filepath.Join(recipe, "recipe.py"), `
import os
class Recipe:
    def __init__(self, buildout, name, options):
        self.path = buildout["buildout"]["directory"] + "/made"
    def install(self):
        with open(self.path, "w") as made:
            made.write(os.environ["HOME"])
        return [self.path]
    update = install
`)
	writeScript(t, filepath.Join(recipe, "setup.py"), `
from setuptools import setup
setup(name="recipe", py_modules=["recipe"], entry_points={"zc.buildout": ["default = recipe:Recipe"]})
`)
	exec.Command("chmod", "-R", "a+rwX", recipe).Run() // setuptools writes next to setup.py
	release := writeScript(t, filepath.Join(recipe, "release.cfg"), `
[buildout]
develop = `+recipe+`
offline = true
parts = made
[made]
recipe = recipe
`)
	profile := ReleaseProfile(release, "", "")
	if err := os.WriteFile(filepath.Join(b.Directory, "buildout.cfg"), profile, 0o644); err != nil {
		t.Fatal(err)
	}
	parameters := []string{"buildout:directory=" + b.Directory, "-N", "-c", filepath.Join(b.Directory, "buildout.cfg")}
	ctx := t.Context()
	if err := b.Bootstrap(ctx, parameters...); err != nil {
		t.Fatalf("bootstrap: %v\n%s", err, strings.Join(l.lines, "\n"))
	}
	script := filepath.Join(b.Directory, "bin", "buildout")
	if err := b.Run(ctx, b.script(script), parameters...); err != nil {
		t.Fatalf("run: %v\n%s", err, strings.Join(l.lines, "\n"))
	}
	made, err := os.ReadFile(filepath.Join(b.Directory, "made"))
	if err != nil || string(made) != b.Directory {
		t.Errorf("HOME of the recipe is %q, %v, want %s", made, err, b.Directory)
	}
	if info, _ := os.Stat(filepath.Join(b.Directory, "made")); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want that of umask 027", info.Mode())
	}
	if !l.has("INFO Installing made.") {
		t.Errorf("the output isn't logged: %q", l.lines)
	}
	if name, err := interpreterOf(script); err != nil || name != b.Python {
		t.Errorf("interpreter %q, %v, want %s", name, err, b.Python)
	}
}

func TestRunCommandLine(t *testing.T) {
	b, _ := newBuilder(t)
	show := writeScript(t, filepath.Join(b.Directory, "show"), "#!/bin/sh\necho \"$@\" > $HOME/arguments; umask >> $HOME/arguments\nexit ${FAIL:-0}\n")
	for name, test := range map[string]struct {
		first string
		debug bool
		want  string
	}{
		"interpreter with arguments": {"#! " + show + " one two\n", false, "one two SCRIPT -U a b\n0027\n"},
		"debug":                      {"#!" + show + "\n", true, "SCRIPT -D -U a b\n0027\n"},
	} {
		t.Run(name, func(t *testing.T) {
			script := writeScript(t, filepath.Join(b.Directory, "bin", "buildout"), test.first)
			b.Debug = test.debug
			if err := b.Run(t.Context(), b.script(script), "a", "b"); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(b.Directory, "arguments"))
			if err != nil || string(got) != strings.ReplaceAll(test.want, "SCRIPT", script) {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	t.Run("failing in debug mode", func(t *testing.T) {
		// GRID-14: output that goes to the terminal isn't known, so it isn't reported.
		b.Debug, b.Environment = true, append(b.Environment, "FAIL=3")
		script := writeScript(t, filepath.Join(b.Directory, "bin", "buildout"), "#!"+show+"\n")
		err := b.Run(t.Context(), b.script(script))
		var failure *Error
		if !errors.As(err, &failure) || failure.Output != debugOutput {
			t.Errorf("error %v", err)
		}
	})
	b.Debug = false
	t.Run("without interpreter", func(t *testing.T) {
		// The program itself is executed.
		program := filepath.Join(b.Directory, "bin", "program")
		if err := exec.Command("cp", "/bin/true", program).Run(); err != nil {
			t.Fatal(err)
		}
		if err := b.Run(t.Context(), b.script(program)); err != nil {
			t.Error(err)
		}
	})
}

func TestRunFails(t *testing.T) {
	b, l := newBuilder(t)
	script := writeScript(t, filepath.Join(b.Directory, "bin", "buildout"), "#!/bin/sh\necho before; echo $HOME >&2; exit 3\n")
	err := b.Run(t.Context(), b.script(script))
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("%v is no *Error", err)
	}
	want := fmt.Sprintf("Failed to run buildout profile in directory '%s':\nbefore\n%s\n\n", b.Directory, b.Directory)
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !l.has("INFO before") {
		t.Errorf("log %q", l.lines)
	}
	if err := b.Run(t.Context(), b.script("missing")); err == nil {
		t.Error("no error for a missing script")
	}
}

func TestRunTimesOut(t *testing.T) {
	b, _ := newBuilder(t)
	b.Timeout = 200 * time.Millisecond
	script := writeScript(t, filepath.Join(b.Directory, "bin", "buildout"), "#!/bin/sh\necho waiting\nsleep 600\n")
	err := b.Run(t.Context(), b.script(script))
	if err == nil || !strings.Contains(err.Error(), "waiting\n") || !strings.Contains(err.Error(), "timed out after 0.2 seconds") {
		t.Errorf("got %v", err)
	}
}

// D-2: the error names what is missing, Python or zc.buildout, and how to get it.
func TestBootstrapWithoutPython(t *testing.T) {
	b, _ := newBuilder(t)
	b.Python = filepath.Join(b.Directory, "nothing")
	if err := b.Bootstrap(t.Context()); err == nil || !strings.Contains(err.Error(), "install Python 3 with zc.buildout") {
		t.Errorf("missing interpreter: %v", err)
	}
	b.Python, b.Environment = "", nil
	if _, err := os.Stat(slaposPython); err != nil {
		if err := b.Bootstrap(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no Python") {
			t.Errorf("no interpreter at all: %v", err)
		}
	}
	// An interpreter without zc.buildout: -S hides the site directories.
	b.Python = writeScript(t, filepath.Join(b.Directory, "python"), "#!/bin/sh\nexec "+testkit.Python(t)+" -S \"$@\"\n")
	b.Environment = []string{"PATH=" + os.Getenv("PATH")}
	if err := b.Bootstrap(t.Context()); err == nil || !strings.Contains(err.Error(), "-m pip install zc.buildout") {
		t.Errorf("no zc.buildout: %v", err)
	}
}

func TestBootstrapScript(t *testing.T) {
	b, _ := newBuilder(t)
	b.Python = writeScript(t, filepath.Join(b.Directory, "python"), "#!/bin/sh\necho \"$@\" > arguments\n")
	b.Script = "/some/script"
	if err := b.Bootstrap(t.Context(), "a=b"); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(b.Directory, "arguments")); string(got) != "-S /some/script a=b bootstrap\n" {
		t.Errorf("got %q", got)
	}
}

// start runs a script as the owner of the builder's directory, marked as a
// process of a build there.
func start(t *testing.T, b *Builder, script string) *exec.Cmd {
	t.Helper()
	user, err := b.owner()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/bin/sh", "-c", script)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), marker + "=" + b.Directory}
	command.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(user.UID), Gid: uint32(user.GID)}
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { command.Process.Kill() })
	return command
}

func TestBeginEndsOrphans(t *testing.T) {
	b, l := newBuilder(t)
	other, _ := newBuilder(t)
	orphan := start(t, b, "sleep 600 & wait")
	bystander := start(t, other, "exec sleep 600")
	end, err := b.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := orphan.Wait(); err == nil || orphan.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the orphan ended with %v", err)
	}
	if killed, _ := killMarked(b.Directory, uint32(orphanOwner(b))); len(killed) > 0 {
		t.Errorf("%v live", killed)
	}
	if err := bystander.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of another build: %v", err)
	}
	if !slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, "that an interrupted build left in") }) {
		t.Errorf("log %q", l.lines)
	}
}

func orphanOwner(b *Builder) int {
	user, _ := b.owner()
	return user.UID
}

func TestBeginWaitsForAgents(t *testing.T) {
	b, _ := newBuilder(t)
	end, err := b.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := b.Begin(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second build began: %v", err)
	}
	began := make(chan error)
	go func() {
		end, err := b.Begin(t.Context())
		if err == nil {
			end()
		}
		began <- err
	}()
	end()
	if err := <-began; err != nil {
		t.Error(err)
	}
}

// A process belongs to the build if it has the mark and the owner: anybody can
// set the mark, and get others killed. One that has yet to become the owner is ours.
func TestMarked(t *testing.T) {
	directory := t.TempDir()
	uid := uint32(os.Geteuid())
	for _, test := range []struct {
		variable string
		marked   map[uint32]bool // by the builds' owner
	}{
		{marker, map[uint32]bool{uid: true, uid + 1: false}},
		{"+" + marker, map[uint32]bool{uid: true, uid + 1: true}},
	} {
		process := exec.Command("sleep", "1000")
		process.Env = []string{test.variable + "=" + directory}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = process.Process.Kill(); _ = process.Wait() }()
		pid := process.Process.Pid
		testkit.Eventually(t, testkit.Patience, "the process has its environment", func() bool { return look(pid, directory, uid) == marked })
		for owner, want := range test.marked {
			if (look(pid, directory, owner) == marked) != want {
				t.Errorf("%s of %d is taken for one of a build of %d, or not: want %v", test.variable, uid, owner, want)
			}
		}
		if look(pid, directory+"x", uid) == marked {
			t.Errorf("%s of another build is taken for one of this", test.variable)
		}
	}
}

func TestInterpreter(t *testing.T) {
	for text, want := range map[string]string{
		"#!/usr/bin/python3\n":                       "/usr/bin/python3",
		"#! /usr/bin/python3 -S\nimport x\n":         "/usr/bin/python3",
		"#!/bin/sh\nexec /long/python -E \"$0\"\n":   "/long/python",
		"#!/bin/sh\n'exec' \"/a b/python\" \"$0\"\n": "/a b/python",
		"#!/bin/sh\n\"exec\" /a\\ b \"$0\" '\n":      "/bin/sh",
		"#!/bin/sh\necho\n":                          "/bin/sh",
		"#!/bin/sh":                                  "/bin/sh",
		"#!\n":                                       "",
		"\x7fELF":                                    "",
		"":                                           "",
	} {
		script := writeScript(t, filepath.Join(t.TempDir(), "script"), text)
		if got, err := interpreterOf(script); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func FuzzInterpreter(f *testing.F) {
	f.Add("#!/bin/sh", `exec "/a\"b" '$0' x\`)
	f.Add("#! a b", "")
	f.Fuzz(func(t *testing.T, first, second string) { interpreter(first, second) })
}

func TestReleaseProfile(t *testing.T) {
	got := ReleaseProfile("http://a/%41.cfg", "\n/a\n/b", "/c")
	want := "[buildout]\nextends = http://a/%41.cfg\nshared-part-list = \n\t/a\n\t/b\nbuild-time-part-list = /c\n\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	now := time.Date(2026, 11, 21, 1, 41, 13, 123456789, time.UTC)
	noted := NoteRevision(got, "heads/master-0-gabc", now)
	if string(noted) != want+"# 2026-11-21 01:41:13.123456 git revision: heads/master-0-gabc\n" {
		t.Errorf("got %q", noted)
	}
	if !bytes.Equal(NoteRevision(noted, "heads/master-0-gabc", now.Add(time.Hour)), noted) {
		t.Error("noted twice")
	}
}

func TestGitRevision(t *testing.T) {
	testkit.Program(t, "git", "git")
	directory := t.TempDir()
	profile := writeScript(t, filepath.Join(directory, "software.cfg"), "")
	environment := append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(directory))
	if revision, ok := GitRevision(t.Context(), profile, environment); ok {
		t.Errorf("revision %q without a repository", revision)
	}
	for _, arguments := range [][]string{
		{"init", "-q", "-b", "master"}, {"add", "."},
		{"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"},
	} {
		command := exec.Command("git", arguments...)
		command.Dir = directory
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", arguments, err, output)
		}
	}
	if revision, ok := GitRevision(t.Context(), profile, environment); !ok || !strings.HasPrefix(revision, "heads/master-0-g") {
		t.Errorf("revision %q", revision)
	}
	t.Chdir(directory) // the way to a relative place ends at this directory's name
	if revision, ok := GitRevision(t.Context(), "software.cfg", environment); !ok || !strings.HasPrefix(revision, "heads/master-0-g") {
		t.Errorf("revision %q of a relative place", revision)
	}
	if _, ok := GitRevision(t.Context(), "http://a/b.cfg", environment); ok {
		t.Error("a URL has a revision")
	}
}

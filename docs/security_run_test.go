// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"slapos/slap/testkit"
)

// Limits of a test that runs without a check. What it starts may be anything.
const (
	wholeTimeout    = 5 * time.Minute  // of a test as things are
	mutationTimeout = 20 * time.Second // without a check, and five times what it took before
	mutationThreads = 3000             // more on the whole machine than there were
)

// TestMutations takes out one check after the other, in a copy that only the
// compiler sees, and wants the named test to fail; with the check it must pass.
func TestMutations(t *testing.T) {
	only, err := regexp.Compile("(?i)" + testkit.Long(t, "SLAPOS_TEST_MUTATIONS", "mutations"))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Root(t) // some checks are about root alone
	testkit.Program(t, "prlimit", "util-linux")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	m := &mutator{t: t, root: root, directory: t.TempDir(), sound: map[string]func() (time.Duration, error){}}
	results := make([]string, len(mutations))
	t.Cleanup(func() { report(results) })
	for i, mutation := range mutations {
		if !only.MatchString(mutation.check + " " + mutation.file) {
			continue
		}
		t.Run(mutation.check, func(t *testing.T) {
			t.Parallel()
			results[i] = "NOT CAUGHT" // until it is
			begun := time.Now()
			how, err := m.catch(mutation, mutation.apply(t), filepath.Join(m.directory, strconv.Itoa(i)))
			if err == nil {
				results[i] = fmt.Sprintf("%s, %.0f s", how, time.Since(begun).Seconds())
			} else {
				t.Error(err)
			}
			fmt.Printf("%s: %s\n", mutation.check, results[i])
		})
	}
}

// report prints what was tried: check, test, outcome.
func report(results []string) {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	tried, caught := 0, 0
	for i, result := range results {
		if result == "" {
			continue
		}
		tried++
		if strings.HasPrefix(result, "caught") {
			caught++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", mutations[i].check, mutations[i].test, result)
	}
	table.Flush()
	fmt.Printf("%d of %d checks that were taken out are caught\n", caught, tried)
}

// A mutator builds and runs tests. Several goroutines use it.
type mutator struct {
	t         *testing.T
	root      string // of the repository
	directory string // for what it builds

	mu    sync.Mutex
	sound map[string]func() (time.Duration, error) // by directory or test: does it build, or pass, as things are
}

// once is what do returned the first time that the key came, and how long that took.
func (m *mutator) once(key string, do func() error) (time.Duration, error) {
	m.mu.Lock()
	f, found := m.sound[key]
	if !found {
		f = sync.OnceValues(func() (time.Duration, error) {
			begun := time.Now()
			err := do()
			return time.Since(begun), err
		})
		m.sound[key] = f
	}
	m.mu.Unlock()
	return f()
}

// catch takes one check out; the test's program and what it needs go to the path.
func (m *mutator) catch(mutation mutation, mutated []byte, path string) (how string, err error) {
	directory, function := mutation.place()
	whole := filepath.Join(m.directory, strings.ReplaceAll(directory, "/", "-")+".test")
	if _, err := m.once(directory, func() error { return m.build(directory, whole) }); err != nil {
		return "", err
	}
	took, err := m.once(directory+"."+function, func() error {
		output, err := m.run(whole, directory, function, wholeTimeout)
		if err == nil && !bytes.Contains(output, []byte("--- PASS: "+function+" ")) {
			err = errors.New("it isn't run")
		}
		if err != nil {
			return fmt.Errorf("%s doesn't pass as things are: %w\n%s", mutation.test, err, output)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".go", mutated, 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(m.root, mutation.file): path + ".go"}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".json", overlay, 0o600); err != nil {
		return "", err
	}
	defer os.Remove(path + ".test")
	if err := m.build(directory, path+".test", "-overlay", path+".json"); err != nil {
		return "", fmt.Errorf("without the check it doesn't compile: %w", err)
	}
	output, err := m.run(path+".test", directory, function, mutationTimeout+5*took)
	switch {
	case err == nil:
		return "", fmt.Errorf("%s passes without the check", mutation.test)
	case bytes.Contains(output, []byte("--- FAIL: "+function+" ")):
		return "caught", nil
	case bytes.Contains(output, []byte("panic: test timed out")):
		return "caught as it hangs", nil
	case bytes.Contains(output, []byte("panic: ")):
		return "caught by a panic", nil
	case errors.Is(err, context.DeadlineExceeded):
		return "caught as it hangs", nil
	}
	return "", fmt.Errorf("%s ends without a word: %w\n%s", mutation.test, err, output)
}

func (m *mutator) build(directory, program string, arguments ...string) error {
	arguments = append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", program}, arguments...)
	command := exec.CommandContext(m.t.Context(), cmp.Or(os.Getenv("GO"), "go"), append(arguments, "./"+directory)...)
	command.Dir = m.root
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build tests of %s: %w\n%s", directory, err, output)
	}
	return nil
}

// run runs one test under limits: as root in a process namespace, of which
// nothing is left when the test ends, else in a process group, and with few
// processes. A flood of processes ends it as its time does.
func (m *mutator) run(program, directory, function string, timeout time.Duration) (output []byte, err error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), timeout+10*time.Second)
	defer cancel()
	words := []string{"prlimit", "--nproc=4000", "--cpu=200", "--core=0", program,
		"-test.run=^" + function + "$", "-test.v", "-test.timeout=" + timeout.String()}
	if os.Geteuid() == 0 {
		// The shell is the first process, which others become the children of.
		words = append([]string{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `"$@"; exit $?`, "sh"}, words...)
	}
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Dir = filepath.Join(m.root, directory)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	// The name is short, as paths of sockets are; what is left goes with it.
	scratch, err := os.MkdirTemp("", "m")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o777|os.ModeSticky); err != nil {
		return nil, err
	}
	command.Env = append(os.Environ(), "TMPDIR="+scratch)
	written, err := os.CreateTemp(m.directory, "output")
	if err != nil {
		return nil, err
	}
	defer os.Remove(written.Name())
	defer written.Close()
	command.Stdout, command.Stderr = written, written // no pipe, which a process that is left would hold
	flood := make(chan struct{})
	go func() { // ends with ctx, and owns flood
		most := threads() + mutationThreads
		for ctx.Err() == nil {
			if threads() > most {
				close(flood)
				cancel()
				return
			}
			testkit.Await(ctx, 50*time.Millisecond, func() bool { return false })
		}
	}()
	err = command.Run()
	if command.Process != nil {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // what is left of the group
	}
	select {
	case <-flood:
		err = fmt.Errorf("ended, as it starts thousands of processes: %w", err)
	default:
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	output, readErr := os.ReadFile(written.Name())
	return output, errors.Join(err, readErr)
}

// threads are those of the whole machine.
func threads() int {
	text, _ := os.ReadFile("/proc/loadavg")
	_, rest, _ := strings.Cut(string(text), "/")
	count, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(count)
	return n
}

// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// events writes what a supervisor would send.
func events(payloads ...string) io.Reader {
	var b strings.Builder
	for i, payload := range payloads {
		name, rest, _ := strings.Cut(payload, " ")
		fmt.Fprintf(&b, "ver:3.0 server:supervisor serial:%d pool:watchdog poolserial:%d eventname:%s len:%d\n%s", i, i, name, len(rest), rest)
	}
	return strings.NewReader(b.String())
}

// GRID-79.
func TestWatch(t *testing.T) {
	t.Parallel()
	const event = "PROCESS_STATE_EXITED processname:web-on-watch groupname:slappart0 from_state:RUNNING expected:1 pid:7"
	for _, c := range []struct {
		name               string
		event              string
		deployed, reported string
		bang               bool
		want               string // of the report's file
	}{
		{"first", event, "10", "", true, "10"},
		{"fatal", strings.Replace(event, "EXITED", "FATAL", 1), "10", "", true, "10"},
		{"never deployed", event, "", "", true, "0"},
		{"reported", event, "10", "10", false, "10"},
		{"reported, older", event, "9", "10", false, "10"},
		{"deployed since", event, "11", "10", true, "11"},
		{"decimals", event, "1795225340.304699", "1795225340.304698", true, "1795225340.304699"},
		{"same decimals", event, "1795225340.304699", "1795225340.304699", false, "1795225340.304699"},
		{"reported, not deployed since", event, "", "10", false, "10"},
		{"nonsense", event, "x", "y", true, "x"},
		{"a file of somebody else", event, strings.Repeat("secret ", 10), "10", false, "10"},
		{"a file of somebody else, first", event, strings.Repeat("secret ", 10), "", true, "0"},
		{"not watched", strings.Replace(event, "-on-watch", "", 1), "10", "", false, ""},
		{"another event", strings.Replace(event, "EXITED", "RUNNING", 1), "10", "", false, ""},
		{"strange group", strings.Replace(event, "slappart0", "../slappart0", 1), "10", "", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			directory := filepath.Join(root, "slappart0")
			must(t, os.Mkdir(directory, 0o755))
			for file, text := range map[string]string{timestampFile: c.deployed, BangFile: c.reported} {
				if text != "" {
					must(t, os.WriteFile(filepath.Join(directory, file), []byte(text), 0o644))
				}
			}
			var out strings.Builder
			var bangs []string
			err := Watch(t.Context(), WatchOptions{
				InstanceRoot: root, In: events(c.event), Out: &out, Logger: slog.New(slog.DiscardHandler),
				Bang: func(_ context.Context, partition, message string) error {
					bangs = append(bangs, partition+": "+message)
					return nil
				},
			})
			must(t, err)
			if out.String() != "READY\nRESULT 2\nOKREADY\n" {
				t.Errorf("said %q", out.String())
			}
			var want []string
			if c.bang {
				want = []string{"slappart0: web-on-watch process in partition slappart0 encountered a problem"}
			}
			if !slices.Equal(bangs, want) {
				t.Errorf("reports %q", bangs)
			}
			data, _ := os.ReadFile(filepath.Join(directory, BangFile))
			if string(data) != c.want {
				t.Errorf("remembers %q", data)
			}
		})
	}
}

func TestWatchFailure(t *testing.T) {
	t.Parallel()
	const event = "PROCESS_STATE_EXITED processname:web-on-watch groupname:p pid:7"
	var out strings.Builder
	bangs := 0
	options := WatchOptions{
		In: events(event, event, event), Out: &out, Logger: slog.New(slog.DiscardHandler),
		Bang: func(context.Context, string, string) error {
			if bangs++; bangs == 1 {
				return errors.New("no network")
			}
			return nil
		},
		bangPause: time.Nanosecond,
	}
	must(t, Watch(t.Context(), options))
	if want := "READY\nRESULT 4\nFAILREADY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n"; out.String() != want || bangs != 3 {
		t.Errorf("said %q, %d reports", out.String(), bangs)
	}
	for _, broken := range []string{"x\n", "len:-1\n", "len:99999999999\n", "len:5\nabc"} {
		options.In = strings.NewReader(broken)
		if err := Watch(t.Context(), options); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}

// TestWatchTraps checks that a partition's user can't make the watchdog write
// elsewhere or wait.
func TestWatchTraps(t *testing.T) {
	t.Parallel()
	const event = "PROCESS_STATE_EXITED processname:web-on-watch groupname:p pid:7"
	root := t.TempDir()
	directory := filepath.Join(root, "p")
	must(t, os.Mkdir(directory, 0o755))
	victim := filepath.Join(root, "victim")
	must(t, os.WriteFile(victim, []byte("safe"), 0o644))
	must(t, os.Symlink(victim, filepath.Join(directory, BangFile)))
	must(t, os.Symlink(victim, filepath.Join(directory, BangFile+".new")))
	must(t, exec.Command("mkfifo", filepath.Join(directory, timestampFile)).Run())
	err := Watch(t.Context(), WatchOptions{
		InstanceRoot: root, In: events(event), Out: io.Discard, Logger: slog.New(slog.DiscardHandler),
		Bang: func(context.Context, string, string) error { return nil },
	})
	must(t, err)
	if data, _ := os.ReadFile(victim); string(data) != "safe" {
		t.Errorf("wrote %q elsewhere", data)
	}
	if data, err := os.ReadFile(filepath.Join(directory, BangFile)); string(data) != "0" {
		t.Errorf("remembers %q, %v", data, err)
	}
}

func FuzzReadEvent(f *testing.F) {
	f.Add([]byte("ver:3.0 eventname:PROCESS_STATE_EXITED len:9\na:b groupn"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = readEvent(bufio.NewReader(strings.NewReader(string(data))))
	})
}

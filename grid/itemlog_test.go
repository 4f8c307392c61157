// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"slapos/slap"
	"slapos/slap/testkit"
)

func messageLogger(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestItemLog(t *testing.T) {
	var out bytes.Buffer
	logger, log := messageLogger(&out), &itemLog{}
	check := func(want string) {
		t.Helper()
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
		out.Reset()
	}
	first, endFirst := log.begin(logger)
	second, endSecond := log.begin(logger)
	third, endThird := log.begin(logger)
	second = second.With("partition", "b")
	second.Info("b1", "n", 1)
	third.Info("c1")
	first.Info("a1")
	check("msg=a1\n")
	endThird()
	check("")
	endFirst()
	check("msg=b1 partition=b n=1\n")
	second.Info("b2")
	check("msg=b2 partition=b\n")
	endSecond()
	check("msg=c1\n")
	third.Info("late")
	check("msg=late\n")
	fourth, endFourth := log.begin(logger)
	fourth.Info("d1")
	check("msg=d1\n")
	endFourth()
}

func TestItemLogSpills(t *testing.T) {
	var out bytes.Buffer
	logger, log := messageLogger(&out), &itemLog{}
	_, endFirst := log.begin(logger)
	second, endSecond := log.begin(logger)
	const count = 2*maxPending + 7
	var want strings.Builder
	for n := range count {
		second.With("even", n%2 == 0).Info("line", "n", n, "raw", "\xff")
		fmt.Fprintf(&want, "msg=line even=%t n=%d raw=\"\\xff\"\n", n%2 == 0, n)
	}
	if log.items[1].spill == nil {
		t.Error("nothing was spilled")
	}
	endFirst()
	endSecond()
	if out.String() != want.String() {
		t.Errorf("%d lines of output, want %d in order", strings.Count(out.String(), "\n"), count)
	}
}

// Lines that can't be had back are told of, and those after them are told.
func TestItemLogLosesLines(t *testing.T) {
	var out bytes.Buffer
	logger, log := messageLogger(&out), &itemLog{}
	_, endFirst := log.begin(logger)
	second, endSecond := log.begin(logger)
	for range maxPending {
		second.Info("kept aside")
	}
	second.Info("the last")
	if err := log.items[1].spill.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	endFirst()
	endSecond()
	want := "msg=\"Lines of the log are lost here, the temporary file they were kept in can't be read: unexpected EOF\"\nmsg=\"the last\"\n"
	if out.String() != want {
		t.Errorf("got %.500s", out.String())
	}
}

// What a buildout prints is in the log while it still runs.
func TestOutputInRealTime(t *testing.T) {
	n := newInstanceNode(t, "slappart0")
	gate := filepath.Join(filepath.Dir(n.options.SoftwareRoot), "gate")
	if err := unix.Mkfifo(gate, 0o644); err != nil {
		t.Fatal(err)
	}
	open := func() {
		if err := os.WriteFile(gate, []byte("go on\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
	const built = "http://release/b.cfg"
	n.want(slap.StateAvailable, built)
	n.buildWith("echo building; read line <" + gate)
	testkit.Once(t, "the build's line is in the log", func() bool { return n.log.index("building") >= 0 }, open)
	n.run(0)
	n.deployWith("echo deploying; read line <" + gate)
	testkit.Once(t, "the deployment's line is in both logs", func() bool {
		content, _ := os.ReadFile(n.at("slappart0", ".slapgrid/log/instance.log"))
		return n.log.index("deploying") >= 0 && strings.Contains(string(content), " deploying\n")
	}, open)
	n.process(0)
}

// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
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
	logger, log := messageLogger(&out), &ItemLog{}
	check := func(want string) {
		t.Helper()
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
		out.Reset()
	}
	first, endFirst := log.Begin(logger)
	second, endSecond := log.Begin(logger)
	third, endThird := log.Begin(logger)
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
	fourth, endFourth := log.Begin(logger)
	fourth.Info("d1")
	check("msg=d1\n")
	endFourth()
}

func TestItemLogSpills(t *testing.T) {
	var out bytes.Buffer
	logger, log := messageLogger(&out), &ItemLog{}
	_, endFirst := log.Begin(logger)
	second, endSecond := log.Begin(logger)
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

// Lost lines are mentioned, and the lines after them are written.
func TestItemLogLosesLines(t *testing.T) {
	var out bytes.Buffer
	logger, log := messageLogger(&out), &ItemLog{}
	_, endFirst := log.Begin(logger)
	second, endSecond := log.Begin(logger)
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

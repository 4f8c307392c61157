// SPDX-License-Identifier: GPL-3.0-or-later

package board

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"slapos/promise"
)

var boardTime = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// newTestBoard has three partitions: one whose promises ended, one whose promises
// run, one where none could run.
func newTestBoard() *Board {
	board := New(func() time.Time { return boardTime })
	board.Begin()
	good := promise.Result{Title: "good", Name: "good.py", Path: "/a/good.py", Kind: promise.Plugin, Message: "fine", Duration: 12 * time.Millisecond, Date: boardTime.Add(-3 * time.Hour), Skipped: true}
	bad := promise.Result{Title: "bad", Name: "bad", Path: "/a/bad", Kind: promise.Executable, Failed: true, Message: "one\x1b[2J\ttwo\nthree", Duration: 2 * time.Second, Date: boardTime}
	board.Partition("slappart1").Listed([]promise.Result{{Name: "slow", Path: "/b/slow", Kind: promise.Executable}})
	board.Partition("slappart2")
	board.Finished("slappart2", promise.Report{}, errors.New("no Python\nat all"))
	board.Partition("slappart0").Listed([]promise.Result{good, {Name: "bad", Path: "/a/bad", Kind: promise.Executable}})
	board.Partition("slappart0").Ended(bad)
	report := promise.Report{Promises: []promise.Result{good, bad}, Checked: 1, Skipped: 1, Failed: 1, Duration: 2 * time.Second}
	board.Finished("slappart0", report, report.Err())
	return board
}

func TestPromiseTable(t *testing.T) {
	board := newTestBoard()
	want := []string{
		"PARTITION  PROMISE  STATE    TOOK    AGE  MESSAGE",
		"slappart0  good.py  good     0.012s  3h   fine",
		"slappart0  bad      failed   2.000s  0s   one\ufffd[2J two",
		"slappart1  slow     running  -       -",
		"slappart2           error                 no Python",
	}
	if got := board.Table(0); !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got := board.Table(5); !slices.Equal(got, want) {
		t.Errorf("just enough place: got\n%s", strings.Join(got, "\n"))
	}
	// Where place is short, those that are good go first.
	if got := board.Table(4); len(got) != 4 || strings.Contains(strings.Join(got, " "), "good.py") || got[3] != "and 2 more" {
		t.Errorf("little place: got\n%s", strings.Join(got, "\n"))
	}
	for limit := 1; limit < 3; limit++ {
		if got := board.Table(limit); len(got) > 2 {
			t.Errorf("no place: got\n%s", strings.Join(got, "\n"))
		}
	}
	if got, want := board.summary(), "3 partitions: 1 good, 1 failed, 1 running, 1 error"; got != want {
		t.Errorf("summary %q", got)
	}
	// What the next round doesn't meet is gone, unless it failed.
	board.Begin()
	board.Partition("slappart1")
	board.End(errors.New("no master"))
	if got := board.screen(30); len(got) != 7 || !strings.Contains(got[0], "no master") {
		t.Errorf("screen\n%s", strings.Join(got, "\n"))
	}
	board.End(nil)
	if got := board.Table(0); len(got) != 2 {
		t.Errorf("later\n%s", strings.Join(got, "\n"))
	}
}

// A partition's user chooses the names of its promises.
func TestPromiseTableNames(t *testing.T) {
	board := New(func() time.Time { return boardTime })
	board.Begin()
	board.Partition("slappart0").Listed([]promise.Result{{Name: "a\x1b[2J\tgood\nb", Path: "/a/a", Kind: promise.Executable}})
	if got := strings.Join(board.Table(0), "|"); strings.ContainsFunc(got, unicode.IsControl) || strings.Count(got, "|") != 1 {
		t.Errorf("%q", got)
	}
}

func TestPromiseTableOnTerminal(t *testing.T) {
	board := newTestBoard()
	board.HasColor = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var terminal bytes.Buffer
	board.Draw(ctx, &terminal)
	text := terminal.String()
	if !strings.HasPrefix(text, enterScreen+homeScreen) || !strings.Contains(text, "\x1b[0;31mslappart0  bad") || strings.Contains(text, "\x1b[2J") {
		t.Errorf("drawn %q", text)
	}
	if _, rest, _ := strings.Cut(text, leaveScreen); rest != strings.Join(board.Table(0), "\n")+"\n" {
		t.Errorf("left behind %q", rest)
	}
}

func TestPromiseDocument(t *testing.T) {
	text, err := json.Marshal(newTestBoard().Document())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"partitions":[{"partition":"slappart0","checked":1,"skipped":1,"failed":1,"duration":2,"error":null,"promises":[{"title":"good",`,
		`"kind":"plugin","failed":false,"skipped":true,"date":"2026-11-21T05:00:00Z","duration":0.012,"message":"fine"}`,
		`"date":null`, `"error":"no Python\nat all"`, `],"failed":2}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestPromiseMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slapos_promise.prom")
	if err := newTestBoard().WriteMetrics(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation) // node_exporter's
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for name, want := range map[string]float64{
		"slapos_promise_failed": 1, "slapos_promise_duration_seconds": 2.012, "slapos_promise_partition_error": 1,
		"slapos_promise_result_timestamp_seconds": float64(2*boardTime.Unix() - 3*3600), "slapos_promise_timestamp_seconds": float64(boardTime.Unix()),
	} {
		sum := 0.0
		for _, metric := range families[name].GetMetric() {
			sum += metric.GetGauge().GetValue()
		}
		if sum != want {
			t.Errorf("%s: sum %v, want %v\n%s", name, sum, want, text)
		}
	}
	if !bytes.HasSuffix(text, []byte("\n# EOF\n")) {
		t.Error("no end of OpenMetrics")
	}
}

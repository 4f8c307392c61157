// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/testkit"
)

// openFile opens a new file with a computer of some partitions.
func openFile(t *testing.T, options Options, partitions int) *Database {
	t.Helper()
	options.URI, options.Computer = filepath.Join(t.TempDir(), "proxy.db"), "c"
	d, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	description := ComputerDescription{Reference: "c"}
	for i := range partitions {
		description.Partitions = append(description.Partitions, PartitionDescription{Reference: fmt.Sprintf("p%d", i)})
	}
	if err := d.LoadComputer(t.Context(), description); err != nil {
		t.Fatal(err)
	}
	return d
}

func count(t *testing.T, d *Database, table string) (n int) {
	t.Helper()
	err := d.look(t.Context(), func(ctx context.Context, s *session) error {
		_, err := s.row(ctx, "SELECT count(*) FROM "+table, nil, &n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// addEvents fills history.
func addEvents(t *testing.T, d *Database, n int) {
	t.Helper()
	err := d.writer.do(t.Context(), func(ctx context.Context, tx *transaction) error {
		for i := range n {
			e := Event{Computer: "c", Kind: KindRelease, Subject: fmt.Sprintf("http://%d/", i), Event: EventReported, State: ReportError}
			id, err := tx.eventID(ctx, e)
			if err != nil {
				return err
			}
			if err := tx.log(ctx, e, id, fmt.Sprintf("%d failed", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullDatabase: history goes before a request is lost.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	d := openFile(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, 60)
	addEvents(t, d, 400)
	before := count(t, d, "event18")
	// The file can't grow any more, as on a disk without room.
	func() {
		d.writer.turn.Lock()
		defer d.writer.turn.Unlock()
		var pages int
		if _, err := d.writer.session.row(t.Context(), "PRAGMA page_count", nil, &pages); err != nil {
			t.Fatal(err)
		}
		if _, err := d.writer.session.row(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, &pages); err != nil {
			t.Fatal(err)
		}
	}()
	request := func(i, size int) error {
		_, err := d.Request(t.Context(), Order{Request: slap.Request{Reference: fmt.Sprintf("i%d", i), SoftwareRelease: "r", Parameters: slap.Dict{"x": strings.Repeat("x", size)}}})
		return err
	}
	for i := range 20 {
		if err := request(i, 500); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	after := count(t, d, "event18")
	if after >= before || after < before/2 || count(t, d, "log18") >= 400 {
		t.Errorf("%d events of %d are left", after, before)
	}
	if !strings.Contains(log.String(), "the older half of what happened was forgotten") {
		t.Errorf("the log: %s", &log)
	}
	// Until there is no room for events either, which were halved a moment ago. What
	// needs none goes on.
	fill := func(statement string) error {
		return d.writer.do(t.Context(), func(ctx context.Context, tx *transaction) error { return tx.note(ctx, statement) })
	}
	if err := fill("CREATE TABLE filler18 (x)"); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1_000_000, 100_000, 3_000} {
		for range 10_000 {
			if fill(fmt.Sprintf("INSERT INTO filler18 VALUES (zeroblob(%d))", size)) != nil {
				break
			}
		}
	}
	events := count(t, d, "event18")
	for i := range 150 {
		state := []slap.State{slap.StateStopped, slap.StateStarted}[i%2]
		if err := d.SetState(t.Context(), At{Computer: "c", Partition: "p1"}, state); err != nil {
			t.Fatalf("a request fails for want of room: %v", err)
		}
		if i, err := d.Instance(t.Context(), At{Computer: "c", Partition: "p1"}); err != nil || i.State != string(state) {
			t.Fatalf("%v, %v", i, err)
		}
	}
	if added := count(t, d, "event18") - events; added >= 150 {
		t.Errorf("%d events were added: there was room", added)
	}
	if err := request(1000, 1_000_000); !errors.Is(err, ErrFull) {
		t.Errorf("a request that needs room: %v", err)
	}
	// What needs no room goes on: this master is as ready as it was.
	if err := d.Ready(t.Context()); err != nil {
		t.Errorf("ready: %v", err)
	}
	if err := d.Report(t.Context(), Report{Computer: "c", Kind: KindInstance, Subject: "p0", State: ReportError, Log: strings.Repeat(fmt.Sprint(time.Now()), 100_000)}); err != nil {
		t.Errorf("a report fails for want of room: %v", err)
	}
}

// TestSweep lets events go that are too old: an instance that was destroyed is found by
// its name until then.
func TestSweep(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(1_700_000_000)
	d := openFile(t, Options{HistoryDays: 10, HistoryEvents: 5, Now: func() time.Time { return time.Unix(now.Load(), 0) }}, 1)
	if _, err := d.Request(t.Context(), Order{Request: slap.Request{Reference: "i", SoftwareRelease: "r"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Destroy(t.Context(), At{Computer: "c", Partition: "p0"}); err != nil {
		t.Fatal(err)
	}
	named := func() int {
		t.Helper()
		events, err := d.Events(t.Context(), EventFilter{Title: "i"})
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}
	addEvents(t, d, 520)
	now.Add(9 * 24 * 3600)
	if err := d.sweep(t.Context()); err != nil || named() != 2 {
		t.Errorf("%d events of what was destroyed, %v", named(), err)
	}
	now.Add(2 * 24 * 3600)
	if err := d.Supply(t.Context(), Software{URL: "new", Computer: "c", State: slap.StateAvailable}); err != nil {
		t.Fatal(err)
	}
	addEvents(t, d, 3)
	if err := d.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events, logs := count(t, d, "event18"), count(t, d, "log18"); events != 4 || logs != 3 || named() != 0 {
		t.Errorf("%d events, %d of what was destroyed, %d logs are left", events, named(), logs)
	}
	for range 10 {
		addEvents(t, d, 1)
	}
	if events := count(t, d, "event18 WHERE subject = 'http://0/'"); events != 5 {
		t.Errorf("%d events of one subject", events)
	}
	// All are too old: the last one stays, for the numbers to go on.
	last, err := d.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now.Add(30 * 24 * 3600)
	if err := d.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events := count(t, d, "event18"); events != 1 {
		t.Errorf("%d events are left", events)
	}
	addEvents(t, d, 1)
	if next, err := d.LastEvent(t.Context()); err != nil || next != last+1 {
		t.Errorf("event %d after %d, %v", next, last, err)
	}
}

// TestClaim: one delivers, and others that look whether they may don't write.
func TestClaim(t *testing.T) {
	t.Parallel()
	d := openFile(t, Options{}, 1)
	addEvents(t, d, 3)
	claim := func(owner string) (event int64, claimed bool) {
		t.Helper()
		event, claimed, err := d.Claim(t.Context(), "target", owner, 60)
		if err != nil {
			t.Fatal(err)
		}
		return event, claimed
	}
	// refused expects one without the right to see so while nobody can write.
	refused := func(when string) {
		t.Helper()
		d.writer.turn.Lock()
		seen := make(chan bool, 1)
		go func() {
			_, claimed, err := d.Claim(context.WithoutCancel(t.Context()), "target", "second", 60)
			seen <- err == nil && !claimed
		}()
		select {
		case right := <-seen:
			if !right {
				t.Errorf("%s: not refused", when)
			}
		case <-time.After(testkit.Patience):
			t.Errorf("%s: it waits for the right to write", when)
		}
		d.writer.turn.Unlock()
	}
	last, err := d.LastEvent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if event, claimed := claim("first"); event != last || !claimed {
		t.Errorf("a new target begins with %d, %v", event, claimed)
	}
	addEvents(t, d, 2)
	refused("another one delivers")
	if ours, err := d.Delivered(t.Context(), "target", "first", last+2, 0); err != nil || !ours {
		t.Fatal(ours, err)
	}
	refused("nothing is left to deliver")
	addEvents(t, d, 1)
	if event, claimed := claim("second"); event != last+2 || !claimed {
		t.Errorf("the second begins with %d, %v", event, claimed)
	}
	if _, claimed := claim("first"); claimed {
		t.Error("both deliver")
	}
}

// TestSeveralMasters: what one master only has in memory doesn't undo what
// another one wrote.
func TestSeveralMasters(t *testing.T) {
	t.Parallel()
	first := openFile(t, Options{}, 1)
	second, err := Open(t.Context(), first.options)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := first.Request(t.Context(), Order{Request: slap.Request{Reference: "i", SoftwareRelease: "r"}}); err != nil {
		t.Fatal(err)
	}
	report := func(d *Database, state, log string) {
		t.Helper()
		if err := d.Report(t.Context(), Report{Computer: "c", Kind: KindInstance, Subject: "p0", State: state, Log: log}); err != nil {
			t.Fatal(err)
		}
	}
	condition := func(d *Database) slap.Condition {
		t.Helper()
		c, err := d.Conditions(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		i, err := d.Instance(t.Context(), At{Computer: "c", Partition: "p0"})
		if err != nil {
			t.Fatal(err)
		}
		return c.Instance(i.Partition).Condition
	}
	report(first, ReportStarted, "")
	report(second, ReportStarted, "")
	report(second, ReportError, "broken")
	first.run(first.flushing())
	second.run(second.flushing())
	if got := condition(first); got != slap.ConditionFailed {
		t.Errorf("the first says %s", got)
	}
	report(first, ReportStarted, "")
	if got := condition(second); got != slap.ConditionRunning {
		t.Errorf("the second says %s", got)
	}
	first.Polled("c")
	first.run(first.flushing())
	if c, err := second.Conditions(t.Context()); err != nil || c.Node("c").Condition != slap.ConditionUp {
		t.Errorf("%v, %v", c.Node("c"), err)
	}
}

// TestLogs survives any bytes, and unpacks no more than was packed.
func FuzzLog(f *testing.F) {
	f.Add("Failed to run buildout profile in directory '/x':\nWhile:\n  Installing.\nError: no\r\n\x1b[1mx\x1b[0m")
	f.Add("\x1b[\x1b]0;t\x07\xff\xfe\u202e\u2028")
	f.Add(strings.Repeat("é\r\n", MaximumLog))
	f.Fuzz(func(t *testing.T, log string) {
		clean := cleanLog(log)
		message := summary(clean)
		if len(clean) > MaximumLog || strings.ContainsFunc(clean, func(r rune) bool { return r != '\n' && r != '\t' && hidden(r) }) {
			t.Errorf("cleaned %q is %q", log, clean)
		}
		if message == "" || strings.Contains(message, "\n") || len([]rune(message)) > MaximumMessage {
			t.Errorf("summary %q", message)
		}
		if text, err := unpackLog(packLog(clean)); err != nil || text != clean {
			t.Errorf("unpacked %q, %v", text, err)
		}
		if strings.ContainsFunc(messageOf(log), hidden) {
			t.Errorf("message %q", messageOf(log))
		}
	})
}

// TestSummary finds the line that says what failed.
func TestSummary(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"":  "an error without a text",
		" ": "an error without a text",
		"Software Release http://x is not present on system.\nCannot deploy instance.":                                          "Software Release http://x is not present on system.",
		"Failed to run buildout profile in directory '/x':\nInstalling a.\nmake: *** [all] Error 2\n\n":                         "make: *** [all] Error 2",
		"Failed to run buildout profile in directory '/x':\nWhile:\n  Installing a.\nError: Couldn't find a distribution for b": "Error: Couldn't find a distribution for b",
		"Traceback (most recent call last):\n  File \"x\", line 1\nurllib.error.HTTPError: HTTP Error 404: Not Found\n":         "urllib.error.HTTPError: HTTP Error 404: Not Found",
		"Promise 'a' failed with output: Error: b\nOSError: c":                                                                  "Promise 'a' failed with output: Error: b",
		"a\tb": "a b",
	} {
		if got := summary(cleanLog(log)); got != want {
			t.Errorf("%q: %q", log, got)
		}
	}
}

// TestOverviewAge: a large overview is made beside those who ask for it.
func TestOverviewAge(t *testing.T) {
	t.Parallel()
	d := openFile(t, Options{}, 1)
	condition := func() slap.Condition {
		t.Helper()
		o, err := d.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return o.Nodes[0].Condition
	}
	if got := condition(); got != slap.ConditionNever {
		t.Errorf("at first %s", got)
	}
	o := &d.history.overview
	o.mutex.Lock()
	o.took = 0 // however busy the machine is
	o.mutex.Unlock()
	d.Polled("c")
	if got := condition(); got != slap.ConditionUp {
		t.Errorf("heard of, it is %s", got)
	}
	// As if it had taken a second, now and long ago.
	age := func(age time.Duration) {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		o.last, o.took, o.made = &Overview{Nodes: []NodeOverview{{}}}, time.Second, time.Now().Add(-age)
	}
	d.Polled("c")
	age(0)
	if got := condition(); got != "" {
		t.Errorf("a large one is made anew at once: %s", got)
	}
	age(30 * time.Second)
	if got := condition(); got != "" {
		t.Errorf("who asks waits for a large one: %s", got)
	}
	testkit.Eventually(t, testkit.Patience, "it is made", func() bool { return condition() == slap.ConditionUp })
	// Nobody asks for it any more.
	making := func() bool {
		d.keepUp(t.Context())
		o.mutex.Lock()
		defer o.mutex.Unlock()
		return o.making || time.Since(o.made) < 30*time.Second
	}
	if age(time.Minute); making() {
		t.Error("it is made for nobody")
	}
	if age(2 * time.Minute); !making() {
		t.Error("it gets old while nobody asks")
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"slapos/proxy/store"
	"slapos/slap"
)

// about is a report of an instance or, by its URL, of a release on computer "c".
func about(subject, state string, log ...string) store.Report {
	kind := store.KindInstance
	if strings.Contains(subject, "/") {
		kind = store.KindRelease
	}
	return store.Report{Computer: "c", Kind: kind, Subject: subject, State: state, Log: strings.Join(log, "\n")}
}

func (l *lab) report(subject, state string, log ...string) {
	l.Helper()
	l.must(l.Report(l.ctx, about(subject, state, log...)))
}

func (l *lab) conditions() *store.Conditions {
	l.Helper()
	c, err := l.Conditions(l.ctx, "c")
	l.must(err)
	return c
}

// actual is that of an instance or a release on computer "c".
func (l *lab) actual(subject string) store.Actual {
	l.Helper()
	if strings.Contains(subject, "/") {
		return l.conditions().Release(store.Software{Computer: "c", URL: subject, State: slap.StateAvailable})
	}
	return l.conditions().Instance(l.at(subject))
}

// happened are events, as "event state message".
func (l *lab) happened(filter store.EventFilter) (lines []string) {
	l.Helper()
	events, err := l.Events(l.ctx, filter)
	l.must(err)
	for _, e := range events {
		lines = append(lines, strings.Join(strings.Fields(e.Event+" "+e.State+" "+e.Message), " "))
	}
	return lines
}

// reopen closes the database and opens it again.
func (l *lab) reopen() {
	l.Helper()
	l.must(l.Close())
	l.Store = open(l.T, store.Options{URI: l.uri, Now: l.clock.Now})
}

// testStory follows a release and its instance through a failed build to the end
// (PROXY-190 to PROXY-192, D-27).
func testStory(t *testing.T, at place) {
	l := newLab(t, at, 2)
	is := func(subject string, want slap.Condition, message string) {
		t.Helper()
		if got := l.actual(subject); got.Condition != want || got.Message != message {
			t.Errorf("%s is %s (%s), want %s (%s)", subject, got.Condition, got.Message, want, message)
		}
	}
	must := func(err error) { t.Helper(); l.must(err) }
	must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.request(order("i"))
	is(release, slap.ConditionRequested, "")
	is("slappart0", slap.ConditionWaiting, "waits for "+release+" (requested)")
	l.report(release, store.ReportBuilding)
	is(release, slap.ConditionBuilding, "")
	since := l.actual(release).Since
	l.report(release, store.ReportBuilding)
	l.equal("since", l.actual(release).Since, since)
	is("slappart0", slap.ConditionWaiting, "waits for "+release+" (building)")
	const output = "Failed to run buildout profile in directory '/sr':\nInstalling part.\nWhile:\n  Installing part.\nError: Couldn't find x\n\x1b[31m1 s\x1b[0m"
	l.report(release, store.ReportError, output)
	is(release, slap.ConditionFailed, "Error: Couldn't find x")
	is("slappart0", slap.ConditionWaiting, "waits for "+release+", which failed: Error: Couldn't find x")
	// It is tried again, in vain.
	for range 3 {
		l.report(release, store.ReportBuilding)
		l.report(release, store.ReportError, strings.Replace(output, "1 s", "2 s", 1))
	}
	is(release, slap.ConditionFailed, "Error: Couldn't find x")
	l.equal("failures", l.actual(release).Failures, int64(4))
	l.equal("release", l.happened(store.EventFilter{Computer: "c", Kind: store.KindRelease, Subject: release}),
		[]string{"supplied available", "reported building", "reported error Error: Couldn't find x"})
	log, err := l.Log(l.ctx, l.actual(release).Event)
	l.equal("log", []any{log, err}, []any{strings.NewReplacer("\x1b[31m1", "2", "\x1b[0m", "").Replace(output), error(nil)})

	l.report(release, store.ReportAvailable)
	is(release, slap.ConditionAvailable, "")
	is("slappart0", slap.ConditionRequested, "")
	l.Polled("c")
	is("slappart0", slap.ConditionDeploying, "")
	l.report("slappart0", store.ReportStarted)
	is("slappart0", slap.ConditionRunning, "")
	l.report("slappart0", store.ReportError, "Promise 'up' failed with output: no answer")
	is("slappart0", slap.ConditionPromiseFailed, "Promise 'up' failed with output: no answer")
	l.report("slappart0", store.ReportError, "Traceback (most recent call last):\n  File x\nOSError: disk")
	is("slappart0", slap.ConditionFailed, "OSError: disk")
	l.reopen()
	is("slappart0", slap.ConditionFailed, "OSError: disk")

	l.must(l.SetState(l.ctx, in("slappart0"), "stopped"))
	l.report("slappart0", store.ReportStarted)
	is("slappart0", slap.ConditionStopping, "")
	l.report("slappart0", store.ReportStopped)
	is("slappart0", slap.ConditionStopped, "")
	l.must(l.SetState(l.ctx, in("slappart0"), "destroyed"))
	is("slappart0", slap.ConditionDestroying, "")
	l.must(l.Destroy2("slappart0"))
	is("slappart0", "", "")
	// What is gone is found by its name.
	l.request(order("other"))
	found := l.happened(store.EventFilter{Title: "i"})
	l.equal("first and last", []string{found[0], found[len(found)-1]}, []string{"requested started " + release, "destroyed"})
	is("slappart0", slap.ConditionRequested, "")
	l.must(l.RemoveSoftware(l.ctx, "c", release))
	is("slappart0", slap.ConditionWaiting, "waits for "+release+", which nobody supplied to the node")
}

// testReports bounds and refuses what nodes say (PROXY-190).
func testReports(t *testing.T, at place) {
	l := newLab(t, at, 2)
	l.request(order("i"))
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.load("d", 1)
	version, err := l.NodeVersion(l.ctx, "c")
	l.must(err)
	for what, r := range map[string]store.Report{
		"free partition":     about("slappart1", store.ReportStarted),
		"unknown partition":  about("slappart7", store.ReportStarted),
		"unknown release":    about("http://other/", store.ReportAvailable),
		"unknown computer":   {Computer: "nope", Kind: store.KindInstance, Subject: "slappart0", State: store.ReportStarted},
		"another's":          {Computer: "d", Kind: store.KindRelease, Subject: release, State: store.ReportAvailable},
		"another's identity": {Computer: "c", Kind: store.KindInstance, Subject: "slappart0", State: store.ReportStarted, Identity: "d"},
		"unknown shared":     {Computer: "c", Kind: store.KindShared, Subject: "_x", State: store.ReportError},
	} {
		l.unknown(what, l.Report(l.ctx, r))
	}
	l.unknown("promises", l.Promises(l.ctx, store.PromiseReport{PartitionID: id("slappart1"), Passed: 1}))
	if l.Report(l.ctx, about("slappart0", "well")) == nil || l.Report(l.ctx, about("slappart0", store.ReportBuilding)) == nil {
		t.Error("a state that is none is kept")
	}
	own := about("slappart0", store.ReportError, "first\x00\x1b]0;t\x07 \xff\u202e", strings.Repeat("0123456789\r\n", 1<<20), "MemoryError: é \xe2\x82\x01 "+strings.Repeat("é", 500))
	own.Identity = "c"
	l.must(l.Report(l.ctx, own))
	got := l.actual("slappart0")
	if got.Condition != slap.ConditionWaiting {
		t.Errorf("condition %s", got.Condition)
	}
	events, err := l.Events(l.ctx, store.EventFilter{Kind: store.KindInstance, Event: store.EventReported})
	l.must(err)
	if len(events) != 1 || !strings.HasPrefix(events[0].Message, "MemoryError: é \ufffd\ufffd\ufffd ") || len([]rune(events[0].Message)) != store.MaximumMessage || !events[0].HasLog {
		t.Errorf("events %+v", events)
	}
	log, err := l.Log(l.ctx, events[0].ID)
	l.must(err)
	if len(log) > store.MaximumLog || len(log) < store.MaximumLog-100 || !strings.HasPrefix(log, "0123456789\n") || strings.ContainsAny(log, "\r\x00\x1b") {
		t.Errorf("a log of %d bytes: %.40q", len(log), log)
	}
	if _, err := l.Log(l.ctx, 12345); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no log: %v", err)
	}
	after, err := l.NodeVersion(l.ctx, "c")
	l.must(err)
	l.equal("version", after, version)

	// The last three logs of each subject are kept.
	for i := range 5 {
		l.report("slappart0", store.ReportError, fmt.Sprintf("failure %c", 'a'+i))
	}
	events, err = l.Events(l.ctx, store.EventFilter{Kind: store.KindInstance, Subject: "slappart0", Event: store.EventReported})
	l.must(err)
	var logs []bool
	for _, e := range events {
		logs = append(logs, e.HasLog)
	}
	l.equal("logs", logs, []bool{false, false, false, true, true, true})
}

// testEvents bounds events by number, and reads them in pieces (PROXY-192).
func testEvents(t *testing.T, at place) {
	l := newLab(t, at, 2)
	for i := range 250 {
		l.request(order("i", with(slap.Dict{"n": int64(i)})))
	}
	all, err := l.Events(l.ctx, store.EventFilter{Title: "i", Limit: 1000})
	l.must(err)
	l.equal("events", len(all), store.DefaultHistoryEvents)
	last, err := l.LastEvent(l.ctx)
	l.must(err)
	l.equal("last", all[len(all)-1].ID, last)
	l.equal("counted", total(l.EventCounts()), int64(251))
	page, err := l.Events(l.ctx, store.EventFilter{Computer: "c", After: last - 20, Limit: 5})
	l.must(err)
	l.equal("after", []int64{page[0].ID, page[4].ID, int64(len(page))}, []int64{last - 19, last - 15, 5})
	page, err = l.Events(l.ctx, store.EventFilter{Computer: "c", Before: last - 20, Limit: 5})
	l.must(err)
	l.equal("before", []int64{page[0].ID, page[4].ID, int64(len(page))}, []int64{last - 25, last - 21, 5})

	// Each operation adds its own, in the name of who asked, and one that changes
	// nothing adds none.
	ctx := store.As(l.ctx, "tester\n1")
	begin := last
	news := func() []string {
		found := l.happened(store.EventFilter{After: begin})
		begin, err = l.LastEvent(l.ctx)
		l.must(err)
		return found
	}
	l.must(l.Publish(ctx, in("slappart0"), slap.Dict{"secret": "hidden"}))
	l.must(l.Publish(ctx, in("slappart0"), slap.Dict{"secret": "hidden"}))
	l.must(l.Bang(ctx, in("slappart0"), store.Alone, "why\x1b[0m not"))
	l.must(l.Rename(ctx, in("slappart0"), "j", store.Alone))
	l.must(l.SetState(ctx, in("slappart0"), "stopped"))
	l.must(l.SetState(ctx, in("slappart0"), "stopped"))
	l.must(l.Banged(ctx, "c", "all"))
	l.unknown("banged", l.Banged(ctx, "nope", "all"))
	l.must(l.Supply(ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.must(l.Supply(ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.must(l.Supply(ctx, store.Software{URL: release, Computer: "c", State: "destroyed"}))
	l.must(l.RemoveSoftware(ctx, "c", release))
	l.must(l.RemoveSoftware(ctx, "c", release))
	l.requestShared(order("s"))
	l.requestShared(order("s"))
	l.requestShared(order("s", state("destroyed")))
	l.must(l.Destroy2("slappart0"))
	l.must(l.Destroy2("slappart0"))
	l.load("c", 1)
	l.load("c", 1)
	events, err := l.Events(l.ctx, store.EventFilter{After: begin})
	l.must(err)
	l.equal("actors", []string{events[0].Actor, events[len(events)-1].Actor}, []string{"tester 1", ""})
	l.equal("operations", news(), []string{"published", "bang why not", "renamed it was i", "changed stopped state stopped", "bang all",
		"supplied available", "supplied destroyed", "destroyed", "requested started " + release, "changed destroyed state destroyed",
		"destroyed", "formatted 1 partitions"})

	// What can't be placed is told once.
	l.request(order("k"))
	for range 3 {
		if _, err := l.Request(l.ctx, order("l")); err == nil {
			t.Error("there is room")
		}
		if _, err := l.Request(l.ctx, order("m", func(o *store.Order) { o.Filter = slap.Dict{"computer_guid": "nope"} })); err == nil {
			t.Error("there is such a computer")
		}
	}
	l.equal("refused", news()[1:], []string{"refused No free computer partition found for: l",
		"refused there is no computer nope: No free computer partition found for: m"})
}

// testHeard learns how often a node speaks, and tells when it falls silent
// (PROXY-191).
func testHeard(t *testing.T, at place) {
	l := newLab(t, at, 1)
	l.request(order("i"))
	l.equal("never", l.conditions().Node("c").Condition, slap.ConditionNever)
	for range 10 {
		l.clock.pass(300)
		l.Polled("c")
		l.Heard("c")
	}
	heard := l.conditions().Heard("c")
	if heard.Period < 300 || heard.Period > 330 {
		t.Errorf("period %v", heard.Period)
	}
	l.equal("up", l.conditions().Node("c").Condition, slap.ConditionUp)
	l.reopen()
	l.equal("kept", l.conditions().Heard("c"), heard)
	l.report("slappart0", store.ReportStarted)
	l.clock.pass(1000)
	node, instance := l.conditions().Node("c"), l.actual("slappart0")
	l.equal("silent", []slap.Condition{node.Condition, instance.Condition}, []slap.Condition{slap.ConditionUnknown, slap.ConditionUnknown})
	l.equal("since", []float64{node.Since, instance.Since}, []float64{heard.Time, heard.Time})
	l.reopen() // closing writes what it waits with
	l.Polled("c")
	l.equal("back", l.actual("slappart0").Condition, slap.ConditionRunning)
	l.reopen()
	l.equal("events", l.happened(store.EventFilter{Computer: "c", Kind: store.KindNode}), []string{"formatted 1 partitions", "silent", "heard"})
}

// testFuture: what was written while the clock was ahead, by years, hides nothing once
// it is right again.
func testFuture(t *testing.T, at place) {
	l := newLab(t, at, 2)
	const years = 3 * 365 * 24 * 3600
	l.clock.pass(years)
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.request(order("i"))
	l.Polled("c")
	l.report(release, store.ReportAvailable)
	l.report("slappart0", store.ReportError, "OSError: disk")
	l.clock.pass(-years)
	l.reopen()
	l.Polled("c")
	for range 2 { // also as it is written
		l.report("slappart0", store.ReportError, "OSError: port")
		got, now := l.actual("slappart0"), l.conditions().Now
		l.equal("the instance", []any{got.Condition, got.Message}, []any{slap.ConditionFailed, "OSError: port"})
		if node := l.conditions().Node("c"); got.Since > now || node.Reported > now || node.Condition != slap.ConditionUp {
			t.Errorf("at %f: since %f, the node %+v", now, got.Since, node)
		}
		l.reopen()
	}
	l.clock.pass(24 * 3600)
	l.equal("silent", l.actual("slappart0").Condition, slap.ConditionUnknown)
	l.reopen()
	events := l.happened(store.EventFilter{Computer: "c", Kind: store.KindNode})
	l.equal("last", events[len(events)-1], "silent")
}

// testRepeated writes nothing for reports that say nothing new.
func testRepeated(t *testing.T, at place) {
	l := newLab(t, at, 1)
	l.request(order("i"))
	l.report("slappart0", store.ReportStarted)
	first := l.actual("slappart0")
	for range 5 {
		l.report("slappart0", store.ReportStarted)
	}
	later := l.actual("slappart0")
	l.equal("since", later.Since, first.Since)
	l.equal("reported later", later.Reported > first.Reported+5, true)
	l.reopen()
	l.equal("written later", l.actual("slappart0").Reported, later.Reported)
	// A node of the original starts an instance before its promises fail.
	const failure = "Promise 'up' failed with output: no answer"
	for range 4 {
		l.report("slappart0", store.ReportStarted)
		l.report("slappart0", store.ReportError, failure)
	}
	l.report("slappart0", store.ReportStarted)
	l.equal("still failing", l.actual("slappart0").Condition, slap.ConditionPromiseFailed)
	l.equal("failures", l.actual("slappart0").Failures, int64(4))
	l.clock.pass(120)
	l.reopen()
	l.equal("confirmed", l.actual("slappart0").Condition, slap.ConditionRunning)
	l.equal("events", l.happened(store.EventFilter{Computer: "c", Kind: store.KindInstance, Event: store.EventReported}),
		[]string{"reported started", "reported error " + failure, "reported started"})
}

// testPromises keeps which promises fail, and since when.
func testPromises(t *testing.T, at place) {
	l := newLab(t, at, 1)
	l.request(order("i"))
	l.report("slappart0", store.ReportStarted)
	promises := func(passed int, failing ...string) {
		t.Helper()
		r := store.PromiseReport{PartitionID: id("slappart0"), Passed: passed}
		for _, name := range failing {
			r.Failing = append(r.Failing, store.FailingPromise{Name: name, Message: "no\n" + name})
		}
		l.must(l.Promises(l.ctx, r))
	}
	promises(3)
	l.equal("all pass", l.actual("slappart0").Condition, slap.ConditionRunning)
	promises(1, "up", "disk", "up", "")
	got := l.actual("slappart0")
	l.equal("failing", []any{got.Condition, got.Message}, []any{slap.ConditionPromiseFailed, "disk: no disk (and 1 more)"})
	promises(1, "up", "disk")
	promises(2, "up")
	l.must(store.Sweep(l.ctx, l.Store.(*store.Database))) // what is still there stays
	counts, failing := l.conditions().Promises(id("slappart0"))
	l.equal("counts", []int64{counts.Passed, counts.Failed}, []int64{2, 1})
	l.equal("named", []any{failing[0].Name, failing[0].Message, failing[0].Since}, []any{"up", "no up", got.Since})
	var many []string
	for i := range 150 {
		many = append(many, fmt.Sprintf("p%03d", i))
	}
	promises(0, many...)
	counts, failing = l.conditions().Promises(id("slappart0"))
	l.equal("bounded", []int64{counts.Failed, int64(len(failing))}, []int64{150, 100})
	events := l.happened(store.EventFilter{Event: store.EventPromise})
	l.equal("events", events[:3], []string{"promise failed disk: no disk", "promise failed up: no up", "promise passed disk"})
	l.equal("of many", len(events), 13)
	// They pass after the node reported the failure.
	promises(150)
	l.report("slappart0", store.ReportError, "Promise 'up' failed with output: no answer")
	l.equal("reported", l.actual("slappart0").Condition, slap.ConditionPromiseFailed)
	promises(150)
	l.equal("pass again", l.actual("slappart0").Condition, slap.ConditionRunning)
	l.must(l.Destroy2("slappart0"))
	counts, _ = l.conditions().Promises(id("slappart0"))
	l.equal("gone", counts, store.PromiseCounts{})
}

// testOverview has everything with its condition.
func testOverview(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.load("d", 2)
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.must(l.Supply(l.ctx, store.Software{URL: "http://lost/", Computer: "nope", State: "available"}))
	l.request(order("i"))
	l.requestShared(order("s"))
	l.report(release, store.ReportAvailable)
	l.report("slappart0", store.ReportStarted)
	l.must(l.Publish(l.ctx, store.Reference{Text: "_s", Host: "slappart0"}, slap.Dict{"url": "x"}))
	if _, err := l.Request(l.ctx, order("lost", func(o *store.Order) { o.Filter = slap.Dict{"computer_guid": "nope"} })); err == nil {
		t.Error("placed")
	}
	l.Polled("c")
	o, err := l.Overview(l.ctx)
	l.must(err)
	var lines []string
	for _, n := range o.Nodes {
		lines = append(lines, fmt.Sprint(n.Computer, " ", n.Condition, " ", n.Busy, "/", n.Partitions, " ", n.Releases, " ", n.Attention))
	}
	for _, r := range o.Releases {
		lines = append(lines, fmt.Sprint(r.Computer, " ", r.URL, " ", r.Condition, " ", r.Message))
	}
	for _, i := range o.Instances {
		lines = append(lines, fmt.Sprint(i.Name, " ", i.Partition, " ", i.Wanted, " ", i.Condition))
	}
	for _, e := range o.Refused {
		lines = append(lines, e.Title+" "+e.Message)
	}
	l.equal("overview", lines, []string{"c up 1/3 1 0", "d never 0/2 0 0", "c " + release + " available ", "nope http://lost/ requested there is no computer nope",
		"i slappart0 started running", "_s slappart0 started running", "lost there is no computer nope: No free computer partition found for: lost"})
	// A host's error about it is the shared instance's own.
	l.must(l.Report(l.ctx, store.Report{Computer: "c", Kind: store.KindShared, Subject: "_s", State: store.ReportError, Log: "bad parameter"}))
	shared, err := l.List(l.ctx, store.HostedBy(in("slappart0")))
	l.must(err)
	got := l.conditions().Of(shared[0])
	l.equal("shared", []any{got.Condition, got.Message}, []any{slap.ConditionFailed, "bad parameter"})
}

// historyContract are the tests of history.
var historyContract = []struct {
	name string
	run  func(*testing.T, place)
}{
	{"story", testStory},
	{"reports", testReports},
	{"events", testEvents},
	{"heard", testHeard},
	{"future", testFuture},
	{"repeated", testRepeated},
	{"promises", testPromises},
	{"overview", testOverview},
	{"lists", testLists},
}

// TestConditionWords: no condition has two names.
func TestConditionWords(t *testing.T) {
	t.Parallel()
	for _, words := range [][]slap.Condition{slap.InstanceConditions(), slap.ReleaseConditions(), slap.NodeConditions()} {
		sorted := slices.Sorted(slices.Values(words))
		if len(slices.Compact(sorted)) != len(words) {
			t.Errorf("twice: %v", words)
		}
	}
}

func total(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

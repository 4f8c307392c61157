// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// testConnection goes through PROXY-41 and PROXY-50.
func testConnection(t *testing.T, at place) {
	l := newLab(t, at, 2)
	l.request(order("root"))
	l.request(order("child", by("slappart0")))
	publish := func(url string) func() {
		return func() { l.must(l.Publish(l.ctx, in("slappart1"), slap.Dict{"url": url})) }
	}
	l.equal("first", l.touched(publish("a"), "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("same", l.touched(publish("a"), "slappart0", "slappart1"), []string(nil))
	l.equal("other", l.touched(publish("b"), "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("stored", *l.at("slappart1").Connection, "<?xml version='1.0' encoding='utf-8'?>\n<instance>\n  <parameter id=\"url\">b</parameter>\n</instance>\n")
	l.unknown("publish", l.Publish(l.ctx, in("nope"), slap.Dict{}))
	l.equal("by name", l.touched(func() {
		l.must(l.Publish(l.ctx, store.Name{Title: "child", Root: "root"}, slap.Dict{"url": "c"}))
		l.unknown("publish by name", l.Publish(l.ctx, store.Name{Title: "nope"}, slap.Dict{}))
	}, "slappart0", "slappart1"), []string{"slappart0"})
}

// testRename goes through PROXY-43.
func testRename(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root"))
	l.request(order("child", by("slappart0")))
	l.equal("time", l.touched(func() { l.must(l.Rename(l.ctx, in("slappart0"), "new", store.Below)) }, "slappart0", "slappart1"), []string(nil))
	l.equal("root", l.at("slappart0").Title, "new")
	l.equal("child's root", l.at("slappart1").Root, "new")
	if err := l.Rename(l.ctx, in("nope"), "x", store.Below); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	l.must(l.Rename(l.ctx, store.Name{Title: "new"}, "newer", store.Alone))
	l.equal("renamed by name", l.at("slappart0").Title, "newer")
	l.equal("child's root stays", l.at("slappart1").Root, "new")
	l.must(l.Rename(l.ctx, in("slappart2"), "free", store.Below))
	l.equal("others of no tree", l.at("slappart0").Root, "")
}

// testDestroy goes through PROXY-44.
func testDestroy(t *testing.T, at place) {
	l := newLab(t, at, 4)
	l.request(order("root"))
	l.request(order("b", by("slappart0")))
	l.request(order("a", by("slappart1")))
	var waiting []string
	l.equal("time", l.touched(func() {
		var err error
		waiting, err = l.Destroy(l.ctx, in("slappart0"))
		l.must(err)
	}, "slappart0", "slappart1", "slappart2"), []string(nil))
	l.equal("waiting", waiting, []string{"a", "b"})
	l.equal("asked to go", l.at("slappart1").State, "destroyed")
	l.must(l.Destroy2("slappart1"))
	_, err := l.Destroy(l.ctx, store.Name{Title: "a", Root: "root"})
	l.must(err)
	l.must(l.Destroy2("slappart0"))
	l.must(l.Destroy2("slappart0")) // free already
	p := l.at("slappart0")
	p.Addresses, p.Timestamp = nil, nil
	l.equal("free", p, &store.Partition{ID: id("slappart0"), State: "started"})
	if l.timestamp("slappart0") == 0 {
		t.Error("the time stamp is kept")
	}
	if _, err := l.Destroy(l.ctx, in("nope")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := l.Destroy(l.ctx, store.Name{Title: "nope"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown name: %v", err)
	}
}

// testNames finds instances by the names of PROXY-92.
func testNames(t *testing.T, at place) {
	l := newLab(t, at, 4)
	l.request(order("r_1"))
	l.request(order("child", by("slappart0")))
	l.requestShared(order("s_h", by("slappart0"), with(slap.Dict{"n": int64(1)})))
	l.requestShared(order("lone"))
	named, err := l.Instance(l.ctx, store.Name{Title: "child", Root: "r_1"})
	l.must(err)
	l.equal("child", named.Partition.ID.Partition, "slappart1")
	l.equal("addresses", len(named.Partition.Addresses), 2)
	shared, err := l.Instance(l.ctx, store.Name{Title: "s_h", Root: "r_1", Shared: true})
	l.must(err)
	l.equal("as stored", fmt.Sprintf("%#v", shared.Parameters), `map[string]interface {}{"n":1}`)
	hosted, err := l.List(l.ctx, store.HostedBy(store.Name{Title: "r_1"}))
	l.must(err)
	l.equal("hosted", []store.Name{hosted[0].Name, hosted[1].Name},
		[]store.Name{{Title: "s_h", Root: "r_1", Shared: true}, {Title: "lone", Shared: true}})
	for _, name := range []store.Name{{Title: "nope"}, {Title: "nope", Shared: true}} {
		if _, err := l.Instance(l.ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v", name, err)
		}
		if _, err := l.List(l.ctx, store.HostedBy(name)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("hosted by %v: %v", name, err)
		}
	}
	l.equal("roots", l.list(store.Roots()), []store.Name{{Title: "r_1"}, {Title: "lone", Shared: true}})
	l.equal("roots of a title", l.list(store.RootsTitled("r_1")), []store.Name{{Title: "r_1"}})
	l.equal("shared roots of a title", l.list(store.RootsTitled("lone")), []store.Name{{Title: "lone", Shared: true}})
	l.equal("titled", l.list(store.Titled("child")), []store.Name{{Title: "child", Root: "r_1"}})
	l.equal("none titled", l.list(store.Titled("nope")), []store.Name(nil))
	l.equal("in the tree", l.list(store.InTree("r_1")), []store.Name{{Title: "child", Root: "r_1"}})
	l.equal("in no tree", l.list(store.InTree("")), []store.Name(nil))
	all := []string{"slappart0", "slappart1"}
	l.equal("bang", l.touched(func() { l.must(l.Bang(l.ctx, store.Name{Title: "r_1"}, store.Below, "")) }, all...), all)
	l.equal("bang child", l.touched(func() { l.must(l.Bang(l.ctx, store.Name{Title: "child", Root: "r_1"}, store.Below, "")) }, all...), all[1:])
	l.equal("bang nothing", l.touched(func() { l.unknown("bang", l.Bang(l.ctx, store.Name{}, store.Below, "")) }, all...), []string(nil))
	l.must(l.Destroy2("slappart1"))
	l.requestShared(order("lone", state("destroyed")))
	roots, err := l.List(l.ctx, store.Roots())
	l.must(err)
	l.equal("destroyed shared", roots[1].Hosted(), false)
}

// testRelated goes through PROXY-187.
func testRelated(t *testing.T, at place) {
	l := newLab(t, at, 6)
	list := func(what, partition string, titles, want []string) {
		t.Helper()
		dropped, err := l.Related(l.ctx, id(partition), titles)
		l.must(err)
		l.equal(what, dropped, want)
	}
	l.request(order("root"))
	for _, title := range []string{"a", "b", "c", "d"} {
		l.request(order(title, by("slappart0")))
	}
	l.request(order("host"))
	l.requestShared(order("s", by("slappart0")))
	list("first", "slappart0", []string{"b", "a", "s", "b"}, nil)
	l.equal("time", l.touched(func() { list("same", "slappart0", []string{"s", "b", "a"}, nil) }, "slappart0", "slappart1"), []string(nil))
	list("a shared one less", "slappart0", []string{"a", "b"}, []string{"s"})
	_, err := l.Instance(l.ctx, store.Name{Title: "s", Root: "root", Shared: true})
	l.unknown("shared", err)
	l.equal("time of what goes", l.touched(func() { list("one less", "slappart0", []string{"b", "more"}, []string{"a"}) }, "slappart1", "slappart2"), []string{"slappart1"})
	l.equal("gone", l.at("slappart1").State, "destroyed")
	l.equal("kept", l.at("slappart2").State, "started")
	l.equal("never listed", l.at("slappart3").State, "started")
	list("what never was", "slappart0", []string{"b"}, nil)
	// Another has asked for it since.
	l.request(order("b", by("slappart3")))
	list("of others", "slappart0", nil, nil)
	l.equal("of others, kept", l.at("slappart2").State, "started")
	// A partition's next instance has nothing to do with the list of the last.
	list("of a child", "slappart4", []string{"b"}, nil)
	l.must(l.Destroy2("slappart4"))
	list("after its end", "slappart4", nil, nil)
	_, err = l.Related(l.ctx, id("nope"), nil)
	l.unknown("partition", err)
}

func testUsage(t *testing.T, at place) {
	l := newLab(t, at, 0)
	reports, err := l.Usage(l.ctx, "c", 10)
	l.must(err)
	l.equal("none", len(reports), 0)
	for _, text := range []string{"<a/>", "<b/>", "<c/>"} {
		l.must(l.AddUsage(l.ctx, "c", text))
	}
	reports, err = l.Usage(l.ctx, "c", 2)
	l.must(err)
	l.equal("newest", []string{reports[0].Report, reports[1].Report}, []string{"<c/>", "<b/>"})
}

func testVersion(t *testing.T, at place) {
	l := newLab(t, at, 2)
	l.load("d", 1)
	changed := func(computer string, do func()) bool {
		t.Helper()
		former, err := l.NodeVersion(l.ctx, computer)
		l.must(err)
		do()
		version, err := l.NodeVersion(l.ctx, computer)
		l.must(err)
		return version != former
	}
	l.equal("new", changed("c", func() { l.request(order("i")) }), true)
	l.equal("same", changed("c", func() { l.request(order("i")) }), false)
	l.equal("other computer", changed("d", func() { l.request(order("j")) }), false)
	l.equal("bang", changed("c", func() { l.must(l.Bang(l.ctx, in("slappart0"), store.Tree, "")) }), true)
	l.equal("failed", changed("c", func() { _, _ = l.Request(l.ctx, order("k")) }), false)
	l.equal("usage", changed("c", func() { l.must(l.AddUsage(l.ctx, "c", "x")) }), false)
	l.equal("supply", changed("c", func() { l.must(l.Supply(l.ctx, store.Software{URL: "u", Computer: "c", State: "available"})) }), true)
}

// testFailure leaves nothing of what fails (PROXY-6).
func testFailure(t *testing.T, at place) {
	l := newLab(t, at, 1)
	before := l.at("slappart0")
	for what, o := range map[string]store.Order{
		"forbidden character": order("x", with(slap.Dict{"a": "\x00"})),
		"key":                 order("x", with(slap.Dict{"\x01": "a"})),
	} {
		if _, err := l.Request(l.ctx, o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	l.request(order("kept"))
	kept := l.at("slappart0")
	for what, do := range map[string]func() error{
		"title": func() error { _, err := l.Request(l.ctx, order("\x07")); return err },
		"release": func() error {
			_, err := l.Request(l.ctx, order("x", func(o *store.Order) { o.SoftwareRelease = "\x1b" }))
			return err
		},
		"type": func() error {
			_, err := l.Request(l.ctx, order("x", func(o *store.Order) { o.SoftwareType = "\uFFFE" }))
			return err
		},
		"shared": func() error { _, err := l.Request(l.ctx, order("\x01", shared)); return err },
		"rename": func() error { return l.Rename(l.ctx, in("slappart0"), "\x07", store.Below) },
		"named":  func() error { return l.Rename(l.ctx, store.Name{Title: "kept"}, "\x07", store.Alone) },
		"supply": func() error { return l.Supply(l.ctx, store.Software{URL: "\x07", Computer: "c", State: "available"}) },
		"format": func() error {
			d := description("c", 1)
			d.Partitions[0].Addresses[0].Interface = "\x07"
			return l.LoadComputer(l.ctx, d)
		},
	} {
		var unfit *store.TextError
		if err := do(); !errors.As(err, &unfit) {
			t.Errorf("%s that XML can't carry: %v", what, err)
		}
	}
	l.equal("untouched", l.at("slappart0"), kept)
	_, err := l.Destroy(l.ctx, in("slappart0"))
	l.must(err)
	after := l.at("slappart0")
	after.Timestamp = before.Timestamp // kept by destruction
	l.equal("untouched", after, before)
	cancelled, cancel := context.WithCancel(l.ctx)
	cancel()
	if _, err := l.Request(cancelled, order("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	l.equal("untouched", l.at("slappart0").Busy, false)
}

// testConcurrent asks for more than there is, many times each, from two
// connections to the same database.
func testConcurrent(t *testing.T, at place) {
	const partitions, titles, repeats = 20, 30, 4
	l := newLab(t, at, partitions)
	stores := []store.Store{l.Store, open(t, store.Options{URI: l.uri})}
	var group sync.WaitGroup
	var mutex sync.Mutex
	places := map[string]map[string]bool{}
	refused := 0
	for i := range titles * repeats {
		group.Add(1)
		go func() {
			defer group.Done()
			title := fmt.Sprintf("i%d", i%titles)
			instance, err := stores[i%2].Request(l.ctx, order(title, with(slap.Dict{"i": int64(i)})))
			mutex.Lock()
			defer mutex.Unlock()
			var full *store.AllocationError
			switch {
			case errors.As(err, &full):
				refused++
			case err != nil:
				t.Error(err)
			default:
				at := instance.Partition.ID.Partition
				if places[at] == nil {
					places[at] = map[string]bool{}
				}
				places[at][title] = true
			}
		}()
	}
	group.Wait()
	l.equal("partitions", len(places), partitions)
	l.equal("refused", refused, (titles-partitions)*repeats)
	for at, titles := range places {
		if len(titles) != 1 {
			t.Errorf("%s was given to %v", at, titles)
		}
	}
}

func testClosed(t *testing.T, at place) {
	l := newLab(t, at, 1)
	l.must(l.Close())
	if _, err := l.Request(l.ctx, order("x")); err == nil {
		t.Error("a closed database takes requests")
	}
	if _, err := l.Node(l.ctx, "c"); err == nil {
		t.Error("a closed database can be read")
	}
}

// testTwoPrograms sees in one what the other does.
func testTwoPrograms(t *testing.T, at place) {
	l := newLab(t, at, 2)
	other := open(t, store.Options{URI: l.uri})
	for i := range 2 {
		before, err := l.NodeVersion(l.ctx, "c")
		l.must(err)
		if _, err := other.Request(l.ctx, order(fmt.Sprintf("i%d", i))); err != nil {
			t.Fatal(err)
		}
		after, err := l.NodeVersion(l.ctx, "c")
		l.must(err)
		if before == after {
			t.Error("the other's request is not noticed")
		}
		l.request(order(fmt.Sprintf("i%d", i), state("stopped")))
	}
	l.equal("both", []string{l.at("slappart0").State, l.at("slappart1").State}, []string{"stopped", "stopped"})
}

// testNamedState changes the state of an instance, and nothing else.
func testNamedState(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root", with(slap.Dict{"a": "1"})))
	l.request(order("child", by("slappart0")))
	l.requestShared(order("guest"))
	set := func(name store.Name, state slap.State) error { return l.SetState(l.ctx, name, state) }
	l.equal("stopped", l.touched(func() { l.must(set(store.Name{Title: "root"}, slap.StateStopped)) }, "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("again", l.touched(func() { l.must(set(store.Name{Title: "root"}, slap.StateStopped)) }, "slappart0"), []string(nil))
	root, err := l.Instance(l.ctx, store.Name{Title: "root"})
	l.must(err)
	l.equal("state", root.State, "stopped")
	l.equal("parameters", root.Parameters, slap.Dict{"a": "1"})
	tree, err := l.List(l.ctx, store.InTree("root"))
	l.must(err)
	l.equal("tree", []string{tree[0].Title, tree[0].Partition.Requester}, []string{"child", "slappart0"})

	guest := store.Name{Title: "guest", Shared: true}
	if err := set(guest, slap.StateStopped); err == nil {
		t.Error("a shared instance is stopped")
	}
	l.must(set(guest, slap.StateDestroyed))
	hosted, err := l.List(l.ctx, store.HostedBy(store.Name{Title: "root"}))
	l.must(err)
	l.equal("hosted", len(hosted), 0)
	for _, name := range []store.Name{{Title: "nope"}, {Title: "nope", Shared: true}} {
		if err := set(name, slap.StateDestroyed); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v", name, err)
		}
	}
}

// testSubjects has every kind of name mean the same instance, and every reach
// what it says.
func testSubjects(t *testing.T, at place) {
	l := newLab(t, at, 4)
	l.request(order("root"))
	l.request(order("child", by("slappart0")))
	l.request(order("grandchild", by("slappart1")))
	l.requestShared(order("guest", by("slappart1")))
	own, name := in("slappart1"), store.Name{Title: "child", Root: "root"}
	for what, subject := range map[string]store.Subject{"at": own, "name": name} {
		found, err := l.Instance(l.ctx, subject)
		l.must(err)
		l.equal(what, found.Name, name)
		l.equal(what, found.Partition.ID.Partition, "slappart1")
		all := []string{"slappart0", "slappart1", "slappart2"}
		for reach, touched := range map[store.Reach][]string{store.Alone: all[1:2], store.Below: all[1:2], store.Tree: all} {
			l.equal(fmt.Sprint(what, " bangs ", reach), l.touched(func() { l.must(l.Bang(l.ctx, subject, reach, "")) }, all...), touched)
		}
		l.must(l.SetState(l.ctx, subject, slap.StateStopped))
		l.equal(what, l.at("slappart1").State, "stopped")
		l.must(l.SetState(l.ctx, subject, slap.StateStarted))
	}
	l.must(l.Bang(l.ctx, in("slappart0"), store.Alone, ""))
	for _, subject := range []store.Subject{in("slappart0"), store.Name{Title: "again"}} {
		l.must(l.Rename(l.ctx, subject, "again", store.Below))
		l.equal("below", l.list(store.InTree("again")), []store.Name{{Title: "child", Root: "again"}, {Title: "grandchild", Root: "again"}})
	}
	l.unknown("rename", l.Rename(l.ctx, store.Name{Title: "nope"}, "x", store.Alone))
	l.must(l.Rename(l.ctx, in("slappart0"), "root", store.Alone))
	l.equal("alone", len(l.list(store.InTree("again"))), 2)

	for what, subject := range map[string]store.Subject{
		"name": store.Name{Title: "guest", Root: "root", Shared: true}, "reference": store.Reference{Text: "root_guest"},
	} {
		guest, err := l.Instance(l.ctx, subject)
		l.must(err)
		l.equal(what, guest.Partition.ID.Partition, "slappart0")
		l.equal(what, guest.Shared, true)
		l.must(l.Publish(l.ctx, subject, slap.Dict{"by": what}))
		guest, err = l.Instance(l.ctx, subject)
		l.must(err)
		l.equal(what, guest.Connection, slap.Dict{"by": what})
		for do, err := range map[string]error{
			"bang": l.Bang(l.ctx, subject, store.Below, ""), "rename": l.Rename(l.ctx, subject, "x", store.Alone),
			"destroy": func() error { _, err := l.Destroy(l.ctx, subject); return err }(),
		} {
			if !errors.Is(err, store.ErrShared) {
				t.Errorf("%s by %s: %v", do, what, err)
			}
		}
		var wrong *store.StateError
		if err := l.SetState(l.ctx, subject, slap.StateStopped); !errors.As(err, &wrong) {
			t.Errorf("stopped by %s: %v", what, err)
		}
		_, err = l.List(l.ctx, store.HostedBy(subject))
		l.unknown("hosted by a shared one", err)
	}
	l.must(l.SetState(l.ctx, store.Reference{Text: "root_guest"}, slap.StateDestroyed))
	hosted, err := l.List(l.ctx, store.HostedBy(in("slappart0")))
	l.must(err)
	l.equal("hosted", len(hosted), 0)
	var wrong *store.StateError
	if err := l.Supply(l.ctx, store.Software{URL: "u", Computer: "c", State: "started"}); !errors.As(err, &wrong) || err.Error() != "wrong state started" {
		t.Errorf("supply: %v", err)
	}
}

// testAwait waits for changes of one computer, whoever makes them.
func testAwait(t *testing.T, at place) {
	l := newLab(t, at, 2)
	other := open(t, store.Options{URI: l.uri})
	for i, writer := range []store.Store{l.Store, other, l.Store, other} {
		before, err := l.NodeVersion(l.ctx, "c")
		l.must(err)
		if _, err := writer.Request(l.ctx, order("x", state([]slap.State{slap.StateStarted, slap.StateStopped}[i%2]))); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, testkit.Patience, "the change is told", func() bool {
			changed, leave := l.AwaitNode("c")
			defer leave()
			now, err := l.NodeVersion(l.ctx, "c")
			l.must(err)
			if now != before {
				return true
			}
			<-changed
			return false
		})
	}
}

// testAwaitOne waits for one computer while another changes.
func testAwaitOne(t *testing.T, at place) {
	l := newLab(t, at, 2)
	changed, leave := l.AwaitNode("c")
	defer leave()
	<-changed // the first look tells what came before it
	quiet, leaveQuiet := l.AwaitNode("nobody")
	defer leaveQuiet()
	changed, leave = l.AwaitNode("c")
	defer leave()
	if _, err := l.Request(l.ctx, order("y")); err != nil {
		t.Fatal(err)
	}
	<-changed
	select {
	case <-quiet:
		t.Error("a change of another computer is told")
	default:
	}
	l.must(l.Close())
	<-quiet
}

// testAwaitAgain: who waits again and again, alone, is woken by changes, not by the
// waiting itself.
func testAwaitAgain(t *testing.T, at place) {
	l := newLab(t, at, 1)
	rung := 0
	for again := true; again; {
		changed, leave := l.AwaitNode("c")
		select {
		case <-changed:
			if rung++; rung == 100 {
				t.Error("nothing changes, and it is told again and again")
				again = false
			}
		case <-time.After(300 * time.Millisecond):
			again = false
		}
		leave()
	}
}

// testBell rings for each event, whoever adds it.
func testBell(t *testing.T, at place) {
	l := newLab(t, at, 2)
	other := open(t, store.Options{URI: l.uri})
	ctx, stop := context.WithCancel(l.ctx)
	bell := l.EventBell(ctx)
	last, err := l.LastEvent(l.ctx)
	l.must(err)
	for i, writer := range []store.Store{l.Store, other, other, l.Store} {
		if _, err := writer.Request(l.ctx, order("x", with(slap.Dict{"n": int64(i)}))); err != nil {
			t.Fatal(err)
		}
		now := last
		for now == last {
			select {
			case <-bell:
			case <-time.After(testkit.Patience):
				t.Fatalf("event %d of another store isn't told", i)
			}
			now, err = l.LastEvent(l.ctx)
			l.must(err)
		}
		last = now
	}
	stop()
	l.must(l.Close())
}

// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"errors"
	"fmt"
	"testing"

	"slapos/proxy/store"
	"slapos/slap"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	contract(t, file)
}

// contract is what every database must do.
func contract(t *testing.T, at place) {
	for _, c := range append([]struct {
		name string
		run  func(*testing.T, place)
	}{
		{"load computer", testLoadComputer},
		{"software", testSoftware},
		{"trace", testTrace},
		{"request again", testRequestAgain},
		{"states", testStates},
		{"requester", testRequester},
		{"shared", testShared},
		{"connection", testConnection},
		{"rename", testRename},
		{"destroy", testDestroy},
		{"names", testNames},
		{"subjects", testSubjects},
		{"named state", testNamedState},
		{"usage", testUsage},
		{"related", testRelated},
		{"version", testVersion},
		{"failure leaves nothing", testFailure},
		{"concurrent requests", testConcurrent},
		{"two programs", testTwoPrograms},
		{"await", testAwait},
		{"await one", testAwaitOne},
		{"await again", testAwaitAgain},
		{"bell", testBell},
		{"processes", testProcesses},
		{"closed", testClosed},
		{"access", testAccess},
		{"access at once", testAccessAtOnce},
		{"only a partition", testOnlyPartition},
	}, historyContract...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // mostly, they wait for the disk
			c.run(t, at)
		})
	}
}

// testLoadComputer goes through PROXY-35.
func testLoadComputer(t *testing.T, at place) {
	l := newLab(t, at, 3)
	node, err := l.Node(l.ctx, "c")
	l.must(err)
	l.equal("partitions", len(node.Partitions), 3)
	l.equal("addresses", node.Partitions[1].Addresses, []slap.Address{{Interface: "tap1", IP: "10.0.0.1"}, {Interface: "tap1", IP: "fd00::1"}})
	l.request(order("kept"))
	l.request(order("lost"))
	smaller := description("c", 1)
	smaller.Partitions = append(smaller.Partitions, store.PartitionDescription{Reference: "new"})
	l.must(l.LoadComputer(l.ctx, smaller))
	node, err = l.Node(l.ctx, "c")
	l.must(err)
	l.equal("partitions", len(node.Partitions), 2)
	l.equal("kept", node.Partitions[0].Title, "kept")
	l.equal("new", node.Partitions[1].ID.Partition, "new")
	l.equal("new is free", node.Partitions[1].Busy, false)
	l.load("d", 120)
	computers, err := l.Computers(l.ctx)
	l.must(err)
	l.equal("computers", []string{computers[0].Reference, computers[1].Reference}, []string{"c", "d"})
	if _, err := l.Node(l.ctx, "nope"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown computer: %v", err)
	}
	if _, err := l.Instance(l.ctx, in("nope")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown partition: %v", err)
	}
	counts, err := l.Statistics(l.ctx)
	l.must(err)
	l.equal("statistics", counts, []store.StateCount{{Computer: "c", State: "free", Count: 1}, {Computer: "c", State: "started", Count: 1}, {Computer: "d", State: "free", Count: 120}})
}

// testSoftware goes through PROXY-36 and PROXY-37.
func testSoftware(t *testing.T, at place) {
	l := newLab(t, at, 0)
	supply := func(url string, state slap.State) {
		l.must(l.Supply(l.ctx, store.Software{URL: url, Computer: "c", State: state}))
	}
	supply("a", slap.StateAvailable)
	supply("b", slap.StateAvailable)
	supply("a", slap.StateDestroyed)
	list, err := l.Software(l.ctx, "c")
	l.must(err)
	// As INSERT OR REPLACE does, a new supply goes to the end.
	l.equal("software", list, []store.Software{{URL: "b", Computer: "c", State: "available"}, {URL: "a", Computer: "c", State: "destroyed"}})
	l.must(l.RemoveSoftware(l.ctx, "c", "a"))
	l.must(l.RemoveSoftware(l.ctx, "c", "a"))
	list, err = l.Software(l.ctx, "c")
	l.must(err)
	l.equal("software left", len(list), 1)
	if _, err := l.Software(l.ctx, "nope"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown computer: %v", err)
	}
	l.must(l.Supply(l.ctx, store.Software{URL: "a", Computer: "nope", State: "available"}))
}

// testTrace is the worked trace of PROXY-68, with PROXY-42, PROXY-50 and
// PROXY-52.
func testTrace(t *testing.T, at place) {
	l := newLab(t, at, 4)
	row := func(partition string) [3]string {
		p := l.at(partition)
		return [3]string{p.Title, p.Root, p.Requester}
	}
	l.request(order("inst1"))
	l.request(order("child1", by("slappart0")))
	l.request(order("child2", as("slappart1")))
	l.request(order("child4", by("nope")))
	l.equal("inst1", row("slappart0"), [3]string{"inst1", "", "user"})
	l.equal("child1", row("slappart1"), [3]string{"child1", "inst1", "slappart0"})
	l.equal("child2", row("slappart2"), [3]string{"child2", "inst1", "slappart1"})
	l.equal("child4", row("slappart3"), [3]string{"child4", "", "nope"})

	all := []string{"slappart0", "slappart1", "slappart2", "slappart3"}
	l.equal("asked again", l.touched(func() { l.request(order("child2", by("slappart0"))) }, all...), []string(nil))
	l.equal("requester", l.at("slappart2").Requester, "slappart0")
	l.request(order("child2", by("slappart1")))
	l.equal("publish", l.touched(func() {
		l.must(l.Publish(l.ctx, in("slappart2"), slap.Dict{"url": "x"}))
	}, all...), []string{"slappart1"})
	l.equal("bang", l.touched(func() { l.must(l.Bang(l.ctx, in("slappart2"), store.Tree, "")) }, all...), all[:3])
	l.equal("same time", l.timestamp("slappart0"), l.timestamp("slappart2"))
	l.equal("bang nobody", l.touched(func() { l.unknown("bang", l.Bang(l.ctx, in("nope"), store.Tree, "")) }, all...), []string(nil))
}

// testRequestAgain goes through PROXY-51, PROXY-62 and PROXY-63.
func testRequestAgain(t *testing.T, at place) {
	l := newLab(t, at, 1)
	first := l.request(order("i", with(slap.Dict{"n": int64(1), "e": "é"})))
	l.equal("text", first.Parameters, slap.Dict{"n": "1", "e": "é"})
	l.equal("addresses", len(first.Partition.Addresses), 2)
	same := func(change ...func(*store.Order)) bool {
		return l.touched(func() {
			l.request(order("i", append([]func(*store.Order){with(slap.Dict{"n": int64(1), "e": "é"})}, change...)...))
		}, "slappart0") == nil
	}
	for what, change := range map[string]func(*store.Order){
		"parameters": with(slap.Dict{"n": int64(2)}),
		"state":      state("stopped"),
		"release":    func(o *store.Order) { o.SoftwareRelease = "other" },
		"type":       func(o *store.Order) { o.SoftwareType = "" },
	} {
		same()
		l.equal("unchanged", same(), true)
		l.equal("changed "+what, same(change), false)
	}
	l.request(order("i", func(o *store.Order) { o.SoftwareType = "" }))
	l.equal("type", l.at("slappart0").SoftwareType, "")
	_, err := l.Request(l.ctx, order("j"))
	var full *store.AllocationError
	if !errors.As(err, &full) || full.Reason != "No free computer partition found for: j" {
		t.Errorf("no room: %v", err)
	}
}

// testStates goes through PROXY-62 and PROXY-63.
func testStates(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root"))
	child := l.request(order("child", by("slappart0"), state("stopped"), func(o *store.Order) { o.SoftwareType = "" }))
	l.equal("child", child.State, "stopped")
	l.equal("type", child.Partition.SoftwareType, "default")
	// Nobody cares: "started" is answered, the state stays (PROXY-64).
	l.equal("answer", l.request(order("child", by("slappart0"))).State, "started")
	l.equal("stored", l.at("slappart1").State, "stopped")
	l.request(order("root", state("stopped")))
	l.equal("under a stopped root", l.request(order("child", by("slappart0"), state("started"))).State, "stopped")
	l.equal("new and destroyed", l.request(order("gone", state("destroyed"))).Partition.Busy, true)
}

func testRequester(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root"))
	for _, c := range []struct {
		order store.Order
		want  store.Requester
	}{
		{order("x"), store.Requester{ID: "user"}},
		{order("x", by("slappart0")), store.Requester{ID: "slappart0", Root: "root"}},
		{order("x", by("slappart1")), store.Requester{ID: "slappart1"}},
		{order("x", by("slappart1"), as("slappart0")), store.Requester{ID: "slappart0", Root: "root"}},
	} {
		got, err := l.Resolve(l.ctx, c.order)
		l.must(err)
		l.equal("requester", got.Requester, c.want)
	}
	var unknown *store.RequesterError
	_, err := l.Request(l.ctx, order("x", as("")))
	if !errors.As(err, &unknown) || err.Error() != "No partition matching the authorization header: (c / None)" {
		t.Errorf("unknown: %v", err)
	}
	// PROXY-61.
	allocated := func(o store.Order) bool {
		found, err := l.Resolve(l.ctx, o)
		l.must(err)
		return found.Allocated
	}
	l.equal("allocated", allocated(order("root")), true)
	l.equal("in a tree", allocated(order("root", by("slappart0"))), false)
	l.must(l.Forwarded(l.ctx, "user_x", "http://m", ""))
	l.must(l.Forwarded(l.ctx, "user_x", "http://m", ""))
	l.must(l.Forwarded(l.ctx, "user_x", "http://m", "destroyed"))
}

// testShared goes through PROXY-65 and PROXY-66, with the time stamps of
// PROXY-50 and PROXY-51.
func testShared(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("host"))
	l.request(order("other"))
	ask := func(change ...func(*store.Order)) store.Order {
		o := order("sl", append([]func(*store.Order){by("slappart1"), with(slap.Dict{"k": "v", "n": int64(1)})}, change...)...)
		o.Shared = true
		return o
	}
	l.equal("new", l.touched(func() {
		got := l.requestShared(ask())
		l.equal("host", got.Partition.ID.Partition, "slappart0")
		l.equal("text", got.Parameters, slap.Dict{"k": "v", "n": "1"})
	}, "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("stored", *l.at("slappart0").Shared, `<marshal><list id="i2"><dictionary id="i3"><string>k</string><string>v</string>`+
		`<string>n</string><int>1</int><string>slap_software_type</string><string>default</string><string>slave_reference</string>`+
		`<string>other_sl</string><string>slave_title</string><string>other_sl</string></dictionary></list></marshal>`)
	l.equal("again", l.touched(func() { l.requestShared(ask()) }, "slappart0"), []string(nil))
	l.equal("changed", l.touched(func() { l.requestShared(ask(with(slap.Dict{"k": "w"}))) }, "slappart0"), []string{"slappart0"})
	l.equal("published", l.touched(func() {
		l.must(l.Publish(l.ctx, store.Reference{Text: "other_sl", Host: "slappart0"}, slap.Dict{"url": "u"}))
		l.unknown("publish shared", l.Publish(l.ctx, store.Reference{Text: "nope", Host: "slappart0"}, slap.Dict{"url": "u"}))
	}, "slappart0", "slappart1"), []string{"slappart1"})
	l.equal("connection", l.requestShared(ask(with(slap.Dict{"k": "w"}))).Connection, slap.Dict{"url": "u"})
	resolved, err := l.Resolve(l.ctx, ask())
	l.must(err)
	l.equal("allocated", resolved.Allocated, true)

	on := func(guid string) func(*store.Order) {
		return func(o *store.Order) { o.Filter = slap.Dict{"instance_guid": guid} }
	}
	l.equal("by guid", l.requestShared(order("s2", on("c-slappart1"))).Partition.ID.Partition, "slappart1")
	l.equal("by partition", l.requestShared(order("s3", on("slappart1"))).Partition.ID.Partition, "slappart1")
	_, err = l.Request(l.ctx, order("s4", shared, on("c-slappart2")))
	var none *store.AllocationError
	if !errors.As(err, &none) || none.Reason != "No partition corresponding to slave request: ['http://example.com/sr.cfg', 'c', 'default', 'slappart2']" {
		t.Errorf("no host: %v", err)
	}
	l.equal("destroyed", l.touched(func() { l.requestShared(ask(state("destroyed"))) }, "slappart0"), []string{"slappart0"})
	l.equal("list", *l.at("slappart0").Shared, `<marshal><list id="i2"/></marshal>`)
	// A host that never had any is not a failure.
	l.must(l.Destroy2("slappart0"))
	l.request(order("host"))
	l.equal("nothing to destroy", l.touched(func() { l.requestShared(ask(state("destroyed"))) }, "slappart0"), []string(nil))
}

// Destroy2 frees a partition that has no descendants.
func (l *lab) Destroy2(partition string) error {
	waiting, err := l.Destroy(l.ctx, in(partition))
	if len(waiting) > 0 {
		err = fmt.Errorf("waits for %v", waiting)
	}
	return err
}

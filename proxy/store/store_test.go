package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

const release = "http://example.com/sr.cfg"

// lab is an open store whose clock steps at every look.
type lab struct {
	*testing.T
	store.Store
	ctx context.Context
	uri string
}

type clock struct {
	sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.Lock()
	defer c.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

// place gives the address of an empty database.
type place func(t *testing.T) string

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "proxy.db") }

func open(t *testing.T, options store.Options) *store.Database {
	t.Helper()
	if options.Computer == "" {
		options.Computer = "c"
	}
	s, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newLab opens an empty database and loads a computer "c" into it.
func newLab(t *testing.T, at place, partitions int) *lab {
	t.Helper()
	l := &lab{T: t, ctx: t.Context(), uri: at(t)}
	l.Store = open(t, store.Options{URI: l.uri, Now: (&clock{now: time.Unix(1_700_000_000, 0)}).Now})
	l.load("c", partitions)
	return l
}

func description(computer string, partitions int) store.ComputerDescription {
	address := "10.0.0.254"
	d := store.ComputerDescription{Reference: computer, Address: &address}
	for i := range partitions {
		d.Partitions = append(d.Partitions, store.PartitionDescription{
			Reference: fmt.Sprintf("slappart%d", i),
			Addresses: []store.NetworkAddress{
				{Interface: fmt.Sprintf("tap%d", i), Address: fmt.Sprintf("10.0.0.%d", i), Netmask: "255.255.255.255"},
				{Interface: fmt.Sprintf("tap%d", i), Address: fmt.Sprintf("fd00::%d", i), Netmask: "ffff::"},
			},
		})
	}
	return d
}

func (l *lab) load(computer string, partitions int) {
	l.Helper()
	l.must(l.LoadComputer(l.ctx, description(computer, partitions)))
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func order(title string, change ...func(*store.Order)) store.Order {
	o := store.Order{Request: slap.Request{SoftwareRelease: release, SoftwareType: "default", Reference: title, Parameters: slap.Dict{}}}
	for _, c := range change {
		c(&o)
	}
	return o
}

func by(partition string) func(*store.Order) {
	return func(o *store.Order) {
		o.Request.Requester = slap.PartitionID{Computer: "c", Partition: partition}
	}
}

func as(partition string) func(*store.Order) {
	return func(o *store.Order) { o.Authorized = &slap.PartitionID{Computer: "c", Partition: partition} }
}

func with(parameters slap.Dict) func(*store.Order) {
	return func(o *store.Order) { o.Parameters = parameters }
}

func state(state slap.State) func(*store.Order) {
	return func(o *store.Order) { o.State = state }
}

func (l *lab) request(o store.Order) *store.Instance {
	l.Helper()
	i, err := l.Request(l.ctx, o)
	l.must(err)
	return i
}

func (l *lab) requestShared(o store.Order) *store.Instance {
	l.Helper()
	o.Shared = true
	i, err := l.RequestShared(l.ctx, o)
	l.must(err)
	return i
}

func id(partition string) slap.PartitionID {
	return slap.PartitionID{Computer: "c", Partition: partition}
}

func (l *lab) at(partition string) *store.Partition {
	l.Helper()
	p, err := l.Partition(l.ctx, id(partition))
	l.must(err)
	return p
}

func (l *lab) timestamp(partition string) float64 {
	l.Helper()
	if p := l.at(partition); p.Timestamp != nil {
		return *p.Timestamp
	}
	return 0
}

// touched runs do and says which of the partitions have a new time stamp.
func (l *lab) touched(do func(), partitions ...string) (touched []string) {
	l.Helper()
	former := map[string]float64{}
	for _, p := range partitions {
		former[p] = l.timestamp(p)
	}
	do()
	for _, p := range partitions {
		if l.timestamp(p) != former[p] {
			touched = append(touched, p)
		}
	}
	return touched
}

func (l *lab) equal(what string, got, want any) {
	l.Helper()
	if !reflect.DeepEqual(got, want) {
		l.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

func TestSQLite(t *testing.T) { contract(t, file) }

// contract is what every database must do.
func contract(t *testing.T, at place) {
	for _, c := range []struct {
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
		{"usage", testUsage},
		{"version", testVersion},
		{"failure leaves nothing", testFailure},
		{"concurrent requests", testConcurrent},
		{"two programs", testTwoPrograms},
		{"closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, at) })
	}
}

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
	if _, err := l.Partition(l.ctx, id("nope")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown partition: %v", err)
	}
	counts, err := l.Statistics(l.ctx)
	l.must(err)
	l.equal("statistics", counts, []store.StateCount{{Computer: "c", State: "free", Count: 1}, {Computer: "c", State: "started", Count: 1}, {Computer: "d", State: "free", Count: 120}})
}

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

// testTrace is the worked trace of PROXY-68.
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
		l.must(l.SetConnection(l.ctx, id("slappart2"), slap.Dict{"url": "x"}))
	}, all...), []string{"slappart1"})
	l.equal("bang", l.touched(func() { l.must(l.Bang(l.ctx, id("slappart2"))) }, all...), all[:3])
	l.equal("same time", l.timestamp("slappart0"), l.timestamp("slappart2"))
	l.equal("bang nobody", l.touched(func() { l.must(l.Bang(l.ctx, id("nope"))) }, all...), []string(nil))
}

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
		got, err := l.Requester(l.ctx, c.order)
		l.must(err)
		l.equal("requester", got, c.want)
	}
	var unknown *store.RequesterError
	_, err := l.Request(l.ctx, order("x", as("")))
	if !errors.As(err, &unknown) || err.Error() != "No partition matching the authorization header: (c / None)" {
		t.Errorf("unknown: %v", err)
	}
	allocated := func(o store.Order) bool {
		found, err := l.Allocated(l.ctx, o)
		l.must(err)
		return found
	}
	l.equal("allocated", allocated(order("root")), true)
	l.equal("in a tree", allocated(order("root", by("slappart0"))), false)
	l.must(l.SetForwarded(l.ctx, "user_x", "http://m"))
	l.must(l.SetForwarded(l.ctx, "user_x", "http://m"))
	l.must(l.UnsetForwarded(l.ctx, "user_x", "http://m"))
}

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
		l.must(l.SetSharedConnection(l.ctx, "other_sl", "slappart0", slap.Dict{"url": "u"}))
		l.must(l.SetSharedConnection(l.ctx, "nope", "slappart0", slap.Dict{"url": "u"}))
	}, "slappart0", "slappart1"), []string{"slappart1"})
	l.equal("connection", l.requestShared(ask(with(slap.Dict{"k": "w"}))).Connection, slap.Dict{"url": "u"})
	allocated, err := l.Allocated(l.ctx, ask())
	l.must(err)
	l.equal("allocated", allocated, true)

	on := func(guid string) func(*store.Order) {
		return func(o *store.Order) { o.Filter = slap.Dict{"instance_guid": guid} }
	}
	l.equal("by guid", l.requestShared(order("s2", on("c-slappart1"))).Partition.ID.Partition, "slappart1")
	l.equal("by partition", l.requestShared(order("s3", on("slappart1"))).Partition.ID.Partition, "slappart1")
	_, err = l.RequestShared(l.ctx, order("s4", on("c-slappart2")))
	var none *store.AllocationError
	if !errors.As(err, &none) || none.Reason != "No partition corresponding to slave request: ['http://example.com/sr.cfg', 'c', 'default', 'slappart2']" {
		t.Errorf("no host: %v", err)
	}
	l.equal("destroyed", l.touched(func() { l.requestShared(ask(state("destroyed"))) }, "slappart0"), []string{"slappart0"})
	l.equal("list", *l.at("slappart0").Shared, `<marshal><list id="i2"/></marshal>`)
	// A host that never had any is no failure.
	l.must(l.Destroy2("slappart0"))
	l.request(order("host"))
	l.equal("nothing to destroy", l.touched(func() { l.requestShared(ask(state("destroyed"))) }, "slappart0"), []string(nil))
}

// Destroy2 frees a partition that has no descendants.
func (l *lab) Destroy2(partition string) error {
	waiting, err := l.Destroy(l.ctx, id(partition))
	if len(waiting) > 0 {
		err = fmt.Errorf("waits for %v", waiting)
	}
	return err
}

func testConnection(t *testing.T, at place) {
	l := newLab(t, at, 2)
	l.request(order("root"))
	l.request(order("child", by("slappart0")))
	publish := func(url string) func() {
		return func() { l.must(l.SetConnection(l.ctx, id("slappart1"), slap.Dict{"url": url})) }
	}
	l.equal("first", l.touched(publish("a"), "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("same", l.touched(publish("a"), "slappart0", "slappart1"), []string(nil))
	l.equal("other", l.touched(publish("b"), "slappart0", "slappart1"), []string{"slappart0"})
	l.equal("stored", *l.at("slappart1").Connection, "<?xml version='1.0' encoding='utf-8'?>\n<instance>\n  <parameter id=\"url\">b</parameter>\n</instance>\n")
	l.must(l.SetConnection(l.ctx, id("nope"), slap.Dict{}))
	l.equal("by name", l.touched(func() {
		l.must(l.SetNamedConnection(l.ctx, store.Name{Title: "child", Root: "root"}, slap.Dict{"url": "c"}))
		l.must(l.SetNamedConnection(l.ctx, store.Name{Title: "nope"}, slap.Dict{}))
	}, "slappart0", "slappart1"), []string{"slappart0"})
}

func testRename(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root"))
	l.request(order("child", by("slappart0")))
	l.equal("time", l.touched(func() { l.must(l.Rename(l.ctx, id("slappart0"), "new")) }, "slappart0", "slappart1"), []string(nil))
	l.equal("root", l.at("slappart0").Title, "new")
	l.equal("child's root", l.at("slappart1").Root, "new")
	if err := l.Rename(l.ctx, id("nope"), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	l.must(l.RenameNamed(l.ctx, store.Name{Title: "new"}, "newer"))
	l.equal("renamed by name", l.at("slappart0").Title, "newer")
	l.equal("child's root stays", l.at("slappart1").Root, "new")
	l.must(l.Rename(l.ctx, id("slappart2"), "free"))
	l.equal("others of no tree", l.at("slappart0").Root, "")
}

func testDestroy(t *testing.T, at place) {
	l := newLab(t, at, 4)
	l.request(order("root"))
	l.request(order("b", by("slappart0")))
	l.request(order("a", by("slappart1")))
	var waiting []string
	l.equal("time", l.touched(func() {
		var err error
		waiting, err = l.Destroy(l.ctx, id("slappart0"))
		l.must(err)
	}, "slappart0", "slappart1", "slappart2"), []string(nil))
	l.equal("waiting", waiting, []string{"a", "b"})
	l.equal("asked to go", l.at("slappart1").State, "destroyed")
	l.must(l.Destroy2("slappart1"))
	_, err := l.DestroyNamed(l.ctx, store.Name{Title: "a", Root: "root"})
	l.must(err)
	l.must(l.Destroy2("slappart0"))
	l.must(l.Destroy2("slappart0")) // free already
	p := l.at("slappart0")
	p.Addresses, p.Timestamp = nil, nil
	l.equal("free", p, &store.Partition{ID: id("slappart0"), State: "started"})
	if l.timestamp("slappart0") == 0 {
		t.Error("the time stamp is kept")
	}
	if _, err := l.Destroy(l.ctx, id("nope")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	if _, err := l.DestroyNamed(l.ctx, store.Name{Title: "nope"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown name: %v", err)
	}
}

func testNames(t *testing.T, at place) {
	l := newLab(t, at, 4)
	l.request(order("r_1"))
	l.request(order("child", by("slappart0")))
	l.requestShared(order("s_h", by("slappart0"), with(slap.Dict{"n": int64(1)})))
	l.requestShared(order("lone"))
	named, err := l.Named(l.ctx, store.Name{Title: "child", Root: "r_1"})
	l.must(err)
	l.equal("child", named.Partition.ID.Partition, "slappart1")
	l.equal("addresses", len(named.Partition.Addresses), 2)
	shared, err := l.Named(l.ctx, store.Name{Title: "s_h", Root: "r_1", Shared: true})
	l.must(err)
	l.equal("as stored", fmt.Sprintf("%#v", shared.Parameters), `map[string]interface {}{"n":1}`)
	hosted, err := l.Hosted(l.ctx, store.Name{Title: "r_1"})
	l.must(err)
	l.equal("hosted", []store.Name{hosted[0].Name, hosted[1].Name},
		[]store.Name{{Title: "s_h", Root: "r_1", Shared: true}, {Title: "lone", Shared: true}})
	for _, name := range []store.Name{{Title: "nope"}, {Title: "nope", Shared: true}} {
		if _, err := l.Named(l.ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v", name, err)
		}
		if _, err := l.Hosted(l.ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("hosted by %v: %v", name, err)
		}
	}
	roots, err := l.Roots(l.ctx)
	l.must(err)
	l.equal("roots", []int{len(roots.Partitions), len(roots.Shared)}, []int{1, 1})
	l.equal("root", roots.Shared[0].Title, "lone")
	roots, err = l.RootsTitled(l.ctx, "r_1")
	l.must(err)
	l.equal("titled", []int{len(roots.Partitions), len(roots.Shared)}, []int{1, 0})
	p, err := l.Titled(l.ctx, "child")
	l.must(err)
	l.equal("titled", p.ID.Partition, "slappart1")
	if _, err := l.Titled(l.ctx, "nope"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("titled: %v", err)
	}
	all := []string{"slappart0", "slappart1"}
	l.equal("bang", l.touched(func() { l.must(l.BangNamed(l.ctx, store.Name{Title: "r_1"})) }, all...), all)
	l.equal("bang child", l.touched(func() { l.must(l.BangNamed(l.ctx, store.Name{Title: "child", Root: "r_1"})) }, all...), all[1:])
	l.equal("bang nothing", l.touched(func() { l.must(l.BangNamed(l.ctx, store.Name{})) }, all...), []string(nil))
	l.must(l.Destroy2("slappart1"))
	l.requestShared(order("lone", state("destroyed")))
	roots, err = l.Roots(l.ctx)
	l.must(err)
	l.equal("destroyed shared", roots.Shared[0].Parameters, slap.Dict(nil))
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
	l.equal("bang", changed("c", func() { l.must(l.Bang(l.ctx, id("slappart0"))) }), true)
	l.equal("failed", changed("c", func() { _, _ = l.Request(l.ctx, order("k")) }), false)
	l.equal("usage", changed("c", func() { l.must(l.AddUsage(l.ctx, "c", "x")) }), false)
	l.equal("supply", changed("c", func() { l.must(l.Supply(l.ctx, store.Software{URL: "u", Computer: "c", State: "available"})) }), true)
}

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
	// Titles and releases may hold what XML can't; lists of shared can't.
	l.equal("untouched", l.at("slappart0"), before)
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

// SPDX-License-Identifier: GPL-3.0-or-later

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
	ctx   context.Context
	uri   string
	clock *clock
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

func (c *clock) pass(seconds int) {
	c.Lock()
	defer c.Unlock()
	c.now = c.now.Add(time.Duration(seconds) * time.Second)
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
	l := &lab{T: t, ctx: t.Context(), uri: at(t), clock: &clock{now: time.Unix(1_700_000_000, 0)}}
	l.Store = open(t, store.Options{URI: l.uri, Now: l.clock.Now})
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
		o.Requester = slap.PartitionID{Computer: "c", Partition: partition}
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
	return l.request(o)
}

func shared(o *store.Order) { o.Shared = true }

func id(partition string) slap.PartitionID {
	return slap.PartitionID{Computer: "c", Partition: partition}
}

func in(partition string) store.At { return store.At(id(partition)) }

func (l *lab) at(partition string) *store.Partition {
	l.Helper()
	i, err := l.Instance(l.ctx, in(partition))
	l.must(err)
	return i.Partition
}

// unknown expects an operation on something that isn't there to say so.
func (l *lab) unknown(what string, err error) {
	l.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		l.Errorf("%s: %v", what, err)
	}
}

// list returns the names of the instances that are selected.
func (l *lab) list(selection store.Selection) (names []store.Name) {
	l.Helper()
	instances, err := l.List(l.ctx, selection)
	l.must(err)
	for _, i := range instances {
		names = append(names, i.Name)
	}
	return names
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

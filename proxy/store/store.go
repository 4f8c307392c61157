// SPDX-License-Identifier: GPL-3.0-or-later

// Package store keeps what the local master knows: computers and their
// partitions, the software releases that they should have, and the instances
// that were asked for.
//
// [Open] gives a [Store] over an SQLite file, whose schema is the original
// slapproxy's version 18 so that either program can open it (PROXY-20), or
// over PostgreSQL and databases that speak its protocol. The rules of
// allocation, time stamps and propagation live here and nowhere else: the HTTP
// faces of the proxy only translate.
//
// # Contract
//
// Every operation is one transaction: it happened whole and is on disk when
// the call returns nil, or left nothing behind. Operations of any number of
// goroutines and processes are as if done one after the other; two requests
// never get the same free partition. An operation that finds everything as it
// should be writes nothing. Unless said otherwise, an operation on something
// unknown returns [ErrNotFound]; the other errors of the package are named
// with the operation that returns them, and anything else is a failure of the
// database, after which the operation may be tried again. Operations that keep
// texts for answers refuse with a *[TextError] what XML can't carry.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"slapos/slap"
)

// ErrNotFound is returned for a computer, partition or instance that the
// store doesn't know.
var ErrNotFound = errors.New("not found")

// ErrNoHost says that the partition of a shared instance is gone.
var ErrNoHost = errors.New("host not found")

// ErrFull says that the disk of the database, or its quota, has no room for what
// is to be written. Nothing was.
var ErrFull = errors.New("the disk is full")

// ErrShared says that an operation is none for shared instances.
var ErrShared = errors.New("a shared instance has no partition of its own")

// StateError says that something can't be in a state.
type StateError struct{ State slap.State }

func (e *StateError) Error() string { return fmt.Sprintf("wrong state %s", e.State) }

// AllocationError says that a request can't be placed. The text is part of
// the protocol (PROXY-62, PROXY-65).
type AllocationError struct{ Reason string }

func (e *AllocationError) Error() string { return e.Reason }

// RequesterError says that a request was made in the name of a partition that
// does not exist (PROXY-14).
type RequesterError struct{ Partition slap.PartitionID }

func (e *RequesterError) Error() string {
	partition := e.Partition.Partition
	if partition == "" {
		partition = "None"
	}
	return fmt.Sprintf("No partition matching the authorization header: (%s / %s)", e.Partition.Computer, partition)
}

// History is what nodes told, and what happened. Texts are cleaned and bounded
// (MaximumMessage, MaximumLog), times are those of the master. None of it changes
// NodeVersion, and all of it is given up before another operation fails for want
// of room. The other operations add their events by themselves, in the name that
// [As] gives to their context.
type History interface {
	// Report keeps what a node tells about something that it should have; about
	// anything else, or by another node, it returns ErrNotFound. It is on disk
	// then, unless it says nothing new: the time and number of such reports are
	// written with others, later.
	Report(ctx context.Context, report Report) error
	// Promises keeps which promises of an instance fail; errors as with Report.
	Promises(ctx context.Context, report PromiseReport) error
	// Banged adds the event that a computer which is known, or the default one, is
	// to be processed again.
	Banged(ctx context.Context, computer, message string) error
	// Heard notes that a node spoke, in memory alone.
	Heard(computer string)
	// Polled is Heard for a node that asked what it should do: its period is
	// learned from these times.
	Polled(computer string)

	// Overview returns the condition of everything. It is of this moment unless making
	// it takes long: then it has what events tell, and the rest may be as old as twenty
	// times that, a hundred times if nobody asked. Who gets it must not change it.
	Overview(ctx context.Context) (*Overview, error)
	// Conditions returns what tells the conditions of what is on some computers,
	// of all of them if none is named. It is of this moment.
	Conditions(ctx context.Context, computers ...string) (*Conditions, error)
	// Events returns what happened, in order, see [EventFilter].
	Events(ctx context.Context, filter EventFilter) ([]Event, error)
	// LastEvent is the number of the newest event, 0 without one.
	LastEvent(ctx context.Context) (int64, error)
	// EventBell returns a channel that gets a value when there may be another event: at
	// once if this process adds it, else within seconds, until the context ends.
	EventBell(ctx context.Context) <-chan struct{}
	// EventCounts counts the events since the database was opened, of this process, by
	// what they are.
	EventCounts() map[string]int64
	// Log returns the text of an error that an event has; ErrNotFound without one.
	Log(ctx context.Context, event int64) (string, error)
}

// Store is the memory of the local master.
type Store interface {
	Nodes
	Instances
	Requests
	History
	Lists
	Access
	Deliveries

	// Ready returns nil if the database can be read and written now, and otherwise
	// why it can't. What it writes changes nothing.
	Ready(ctx context.Context) error
	// Close waits for operations under way and closes the database.
	Close() error
}

// Access are the tokens and certificates by which others than the owner use the
// master (JOIN-10).
type Access interface {
	// AddToken keeps a token, and forgets those that ended long ago. It returns a
	// *[NameError] for a name that no certificate can have.
	AddToken(ctx context.Context, token Token) error
	// Access returns all that are kept, the oldest first.
	Access(ctx context.Context) ([]Token, []Certificate, error)
	// AwaitAccess is AwaitNode for them.
	AwaitAccess() (changed <-chan struct{}, leave func())
	// Join notes a certificate that is to be signed by the right of a token, and gives
	// it a name. A key that has joined keeps its name, and uses
	// the same token up once. Errors are ErrToken…, [ErrRevoked] and *[NameError].
	Join(ctx context.Context, joining Joining) (Certificate, error)
	// Renew notes the certificate that follows another one, or returns [ErrRevoked].
	Renew(ctx context.Context, old, serial string, expires time.Time) (Certificate, error)
	// RevokeToken, Revoke and RevokeKey end a token, what has a name, and the
	// certificates of a key. Revoke counts what it ended.
	RevokeToken(ctx context.Context, id string) error
	Revoke(ctx context.Context, name string) (int64, error)
	RevokeKey(ctx context.Context, key string) error
}

// Nodes are the operations on computers, their software and their use.
type Nodes interface {
	// LoadComputer makes a computer what the description says: partitions
	// that it doesn't name are forgotten with their instances, those that it
	// names keep theirs, new ones are free (PROXY-35).
	LoadComputer(ctx context.Context, description ComputerDescription) error
	// Computers lists the known computers in the order of their loading.
	Computers(ctx context.Context) ([]Computer, error)
	// Node returns a computer with its partitions and software, each in the
	// order of creation. The default computer has an answer even when it was
	// never loaded (PROXY-32).
	Node(ctx context.Context, computer string) (*Node, error)
	// NodeVersion changes whenever the answer of Node may have changed, and
	// is much cheaper. Computers that are not known have one too.
	NodeVersion(ctx context.Context, computer string) (int64, error)
	// Epoch names the counting of versions: those of another epoch mean nothing.
	// Programs that share a server share it.
	Epoch() string
	// AwaitNode returns a channel that is closed when the version of a computer may
	// have changed, and at the end of the database; leave gives it up. Ask for the
	// version after the call. What this process writes is told at once, what others
	// write within seconds.
	AwaitNode(computer string) (changed <-chan struct{}, leave func())

	// Supply asks for a software release on a computer, which need not be
	// known, or for its removal (PROXY-36). It returns a *[StateError] for
	// another state than available and destroyed.
	Supply(ctx context.Context, software Software) error
	// RemoveSoftware forgets a software release; an unknown one is no error.
	RemoveSoftware(ctx context.Context, computer, url string) error
	// Software lists the releases of a known computer.
	Software(ctx context.Context, computer string) ([]Software, error)

	// AddUsage keeps a usage report of a computer, which need not be known.
	AddUsage(ctx context.Context, computer, report string) error
	// Usage returns at most limit newest reports of a computer, newest first.
	// Having none is no error.
	Usage(ctx context.Context, computer string, limit int) ([]UsageReport, error)
	// Statistics counts partitions by their state.
	Statistics(ctx context.Context) ([]StateCount, error)
}

// Instances are the operations on instances that exist. Each takes any kind of
// [Subject], unless said otherwise. Shared instances have no partition of
// their own: Bang, Rename and Destroy return [ErrShared] for them.
type Instances interface {
	// Instance returns an instance, with the addresses of its own partition. A
	// partition known by [At] may be free: its instance has no title. If only
	// the host of a shared instance is missing, the error is [ErrNoHost].
	Instance(ctx context.Context, subject Subject) (*Instance, error)
	// List returns the instances that a [Selection] describes: first those with
	// their own partition, then shared ones, each in the order of creation.
	List(ctx context.Context, selection Selection) ([]*Instance, error)

	// Publish sets the connection parameters of an instance. When they change,
	// the requester's time stamp does too (PROXY-50).
	Publish(ctx context.Context, subject Subject, connection slap.Dict) error
	// SetState asks for another state of an instance, and leaves all else as
	// it was requested. A shared one can only be destroyed: its host no longer
	// lists it. It returns a *[StateError] for another state of a shared one.
	SetState(ctx context.Context, subject Subject, state slap.State) error
	// Related keeps the titles of the instances that the deployment of a
	// partition requested. It asks for the end of those that the list before it
	// had and that only this partition requests, and returns their titles
	// (PROXY-187). The first list of a partition ends none.
	Related(ctx context.Context, id slap.PartitionID, titles []string) (dropped []string, err error)
	// Bang renews the time stamps of an instance and, as far as reach says, of
	// its tree. The message says why.
	Bang(ctx context.Context, subject Subject, reach Reach, message string) error
	// Rename changes the title of an instance. Unless reach is Alone, the
	// instances below a root follow it; otherwise they keep the old title as
	// that of their root.
	Rename(ctx context.Context, subject Subject, title string, reach Reach) error
	// Destroy frees the partition of an instance. A root whose descendants
	// still exist is not freed: they are asked to go, and their titles
	// returned (PROXY-44).
	Destroy(ctx context.Context, subject Subject) (waiting []string, err error)
}

// Requests are the operations behind a request for an instance (PROXY-61).
// Those that take an order return a *[RequesterError] when its authorized
// partition is unknown.
type Requests interface {
	// Resolve says in whose name an order is made, and whether its instance
	// exists already.
	Resolve(ctx context.Context, order Order) (Resolved, error)
	// Request finds or allocates an instance, and brings it up to date; a
	// shared one that is requested as destroyed is taken from its host. It
	// returns an *[AllocationError] when no partition is free, or none is a
	// host for a shared instance.
	Request(ctx context.Context, order Order) (*Instance, error)
	// Forwarded records that the instance called name was requested of another
	// master in that state; a destroyed one is removed. It may be repeated.
	Forwarded(ctx context.Context, name, masterURL string, state slap.State) error
}

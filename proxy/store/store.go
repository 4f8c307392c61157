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

	"slapos/slap"
)

// ErrNotFound is returned for a computer, partition or instance that the
// store doesn't know.
var ErrNotFound = errors.New("not found")

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

// Store is the memory of the local master.
type Store interface {
	Nodes
	Requests
	Instances
	Names

	// AddUsage keeps a usage report of a computer, which need not be known.
	AddUsage(ctx context.Context, computer, report string) error
	// Usage returns the newest reports of a computer, at most limit, newest
	// first. No report is no error.
	Usage(ctx context.Context, computer string, limit int) ([]UsageReport, error)
	// Statistics counts partitions by their state.
	Statistics(ctx context.Context) ([]StateCount, error)
	// Close waits for operations under way and closes the database.
	Close() error
}

// Nodes are the operations on computers and their software.
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
	// Partition returns a partition with its addresses.
	Partition(ctx context.Context, id slap.PartitionID) (*Partition, error)

	// Supply asks for a software release on a computer, which need not be
	// known, or for its removal (PROXY-36).
	Supply(ctx context.Context, software Software) error
	// RemoveSoftware forgets a software release; an unknown one is no error.
	RemoveSoftware(ctx context.Context, computer, url string) error
	// Software lists the releases of a known computer.
	Software(ctx context.Context, computer string) ([]Software, error)
}

// Requests are the operations behind a request for an instance (PROXY-61). All
// return a *[RequesterError] when the order's authorized partition is unknown.
type Requests interface {
	// Requester says in whose name an order is made.
	Requester(ctx context.Context, order Order) (Requester, error)
	// Allocated reports whether the instance exists already.
	Allocated(ctx context.Context, order Order) (bool, error)
	// Request finds or allocates an instance of its own partition, and brings
	// it up to date. It returns an *[AllocationError] when no partition is
	// free.
	Request(ctx context.Context, order Order) (*Instance, error)
	// RequestShared adds, updates or (state destroyed) removes a shared
	// instance on a host. It returns an *[AllocationError] without one.
	RequestShared(ctx context.Context, order Order) (*Instance, error)
	// SetForwarded notes that the instance called name is asked of another
	// master, UnsetForwarded that it no longer is. Both may be repeated.
	SetForwarded(ctx context.Context, name, masterURL string) error
	UnsetForwarded(ctx context.Context, name, masterURL string) error
}

// Instances are the operations on the instance of a partition.
type Instances interface {
	// SetConnection publishes the connection parameters of a partition. When
	// they change, the requester's time stamp does too (PROXY-50). An unknown
	// partition is no error.
	SetConnection(ctx context.Context, id slap.PartitionID, connection slap.Dict) error
	// SetSharedConnection does the same for the shared instance of that
	// reference, "<root title>_<title>", and notes its host unless that is "".
	SetSharedConnection(ctx context.Context, reference, host string, connection slap.Dict) error
	// Bang renews the time stamps of the whole tree of an instance. An unknown
	// partition is no error.
	Bang(ctx context.Context, id slap.PartitionID) error
	// Rename changes the title of an instance, and of the tree when it is a
	// root.
	Rename(ctx context.Context, id slap.PartitionID, title string) error
	// Destroy frees a partition. A root whose descendants still exist is not
	// freed: they are asked to go, and their titles returned (PROXY-44).
	Destroy(ctx context.Context, id slap.PartitionID) (waiting []string, err error)
}

// Names are the operations that know instances by their name.
type Names interface {
	// Named returns the instance of that name. When only the host of a shared
	// one is missing, the error is ErrNoHost.
	Named(ctx context.Context, name Name) (*Instance, error)
	// Titled returns the first partition, of any tree, whose instance has that
	// title.
	Titled(ctx context.Context, title string) (*Partition, error)
	// Hosted lists the shared instances on the partition of that instance.
	Hosted(ctx context.Context, name Name) ([]*Instance, error)
	// Roots returns the roots of all instance trees, without addresses.
	Roots(ctx context.Context) (*Roots, error)
	// RootsTitled returns those of that title.
	RootsTitled(ctx context.Context, title string) (*Roots, error)

	// Tree lists the partitions of the instances below the root of that title,
	// without addresses.
	Tree(ctx context.Context, root string) ([]*Partition, error)

	// SetNamedState asks for another state of an instance, and leaves all
	// else as it was asked for. A shared one can only be destroyed: its host
	// no longer lists it.
	SetNamedState(ctx context.Context, name Name, state slap.State) error
	// SetNamedConnection publishes connection parameters as SetConnection
	// does. An unknown name is no error.
	SetNamedConnection(ctx context.Context, name Name, connection slap.Dict) error
	// BangNamed renews the time stamps of the instance and of the tree that
	// it is the root of (PROXY-120).
	BangNamed(ctx context.Context, name Name) error
	// RenameNamed changes the title of that instance only (PROXY-121).
	RenameNamed(ctx context.Context, name Name, title string) error
	// DestroyNamed does as Destroy.
	DestroyNamed(ctx context.Context, name Name) (waiting []string, err error)
}

// ErrNoHost says that the partition of a shared instance is gone.
var ErrNoHost = errors.New("host not found")

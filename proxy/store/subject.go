// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"fmt"

	"slapos/slap"
)

// Subject says which instance an operation is about. It is one of
//
//   - [At], whatever instance is in a partition;
//   - [Name], as JSON-RPC and the panel name instances (PROXY-92);
//   - [Reference], as nodes name shared instances (PROXY-41).
type Subject interface {
	fmt.Stringer
	// shared returns the reference of a shared instance; false for one with its
	// own partition.
	shared() (Reference, bool)
	// where selects the partition of one that has its own: nothing asks it of
	// others. The condition takes two arguments, $1 and $2.
	where() (condition string, args [2]any)
	// computer is where the partition is, "" when that isn't known.
	computer() string
}

// At names the instance in a partition.
type At slap.PartitionID

func (a At) String() string { return a.Partition }

func (a At) shared() (Reference, bool) { return Reference{}, false }

func (a At) where() (string, [2]any) {
	return "WHERE reference = $1 AND computer_reference = $2", [2]any{a.Partition, a.Computer}
}

func (a At) computer() string { return a.Computer }

// Name names an instance: its title, the title of the root of its tree (""
// for a root), and whether it is shared.
type Name struct {
	Title  string
	Root   string
	Shared bool
}

// Reference is the name under which a shared instance is stored.
func (n Name) Reference() string { return n.Root + "_" + n.Title }

func (n Name) String() string {
	if n.Shared {
		return n.Reference()
	}
	return n.Title
}

func (n Name) shared() (Reference, bool) { return Reference{Text: n.Reference()}, n.Shared }

func (n Name) where() (string, [2]any) {
	return "WHERE partition_reference = $1 AND requested_by = $2", [2]any{n.Title, n.Root}
}

func (n Name) computer() string { return "" }

// tree is the name of the root of the tree of an instance.
func (n Name) tree() Name {
	if n.Root != "" {
		return Name{Title: n.Root}
	}
	return n
}

// Reference names a shared instance by the text "<root title>_<title>".
type Reference struct {
	Text string
	// Host is the partition that speaks for the instance, "" when none does:
	// what it publishes makes it the host on record.
	Host string
}

func (r Reference) String() string { return r.Text }

func (r Reference) shared() (Reference, bool) { return r, true }

func (r Reference) where() (string, [2]any) { return "", [2]any{} }

func (r Reference) computer() string { return "" }

// Reach says how far an operation goes beyond the instance that it names. The
// two protocols differ here: by SLAP, a bang reaches the whole tree (PROXY-42)
// and a new title all below a root (PROXY-43); by JSON-RPC, a bang reaches what
// is below a root (PROXY-120) and a new title the instance alone (PROXY-121).
type Reach int

const (
	// Alone is the instance and no other.
	Alone Reach = iota
	// Below is the instance and, when it is a root, all of its tree.
	Below
	// Tree is the whole tree, wherever in it the instance stands.
	Tree
)

// partition reads the partition of an instance that has its own, nil without
// one.
func (s *session) partition(ctx context.Context, subject Subject) (*Partition, error) {
	if _, shared := subject.shared(); shared {
		return nil, nil
	}
	condition, args := subject.where()
	return partitionTable.first(ctx, s, condition, args[:]...)
}

// owned is partition for an operation that needs one.
func (s *session) owned(ctx context.Context, subject Subject) (*Partition, error) {
	p, err := s.partition(ctx, subject)
	if err == nil && p == nil {
		err = ErrNotFound
	}
	return p, err
}

// alone returns ErrShared for a shared instance.
func alone(subject Subject) error {
	if _, shared := subject.shared(); shared {
		return ErrShared
	}
	return nil
}

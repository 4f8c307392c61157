// SPDX-License-Identifier: GPL-3.0-or-later

// Package slap is what crosses the wire between a SlapOS node or client and
// its Master: the entities ([Computer], [Partition], [SoftwareRelease],
// [Instance], [Request]), the two XML formats they travel in, and the
// [Client].
//
// # Values
//
// [Marshal] writes and [Unmarshal] reads every structured value of the
// protocol, in any form field or answer. The types are those of Python, where
// the protocol comes from:
//
//	None          nil
//	bool          bool
//	int           int, int64, uint64, *big.Int (read back as int when it fits)
//	float         float64 (a json.Number is an int or a float, depending on its text)
//	str           string ([]byte is written as one)
//	tuple         Tuple
//	list          []any (or []string, and *List where identity matters)
//	dict          Dict (or map[string]string, and *Map for other keys)
//	set           Set
//	complex       complex128
//	an entity     *Computer, *Partition, *SoftwareRelease, *Instance
//
// A Master stores parameters in a second, flatter format, the <instance>
// document: [EncodeInstance] and [DecodeInstance]. Its values are text, so
// everything else is written as Python's str() would ([PythonString]).
//
// # Client
//
// [NewClient] returns a [Client], which is safe for concurrent use and has a
// method for each call of the protocol, named after it. Test errors with
// errors.Is against [ErrNotFound], [ErrNotReady], [ErrServer] and
// [ErrConnection]; the answer behind an error is an [*HTTPError].
//
// Bytes, names and texts are those of slapos.core 1.26.1, which can read what
// this package writes, and the reverse.
package slap

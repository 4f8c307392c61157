// SPDX-License-Identifier: GPL-3.0-or-later

// Package slap is what crosses the wire between a SlapOS node or client and
// its Master: the entities ([Computer], [Partition], [SoftwareRelease],
// [Instance], [Request]), the two XML formats they travel in, and the
// [Client].
//
// # Values
//
// Every structured value of the protocol, whatever the form field or the
// answer, is written by [Marshal] and read by [Unmarshal]. The shapes are
// those of Python, where the protocol was born:
//
//	None          nil
//	bool          bool
//	int           int, int64, uint64, *big.Int (read back as int when it fits)
//	float         float64 (a json.Number is an int or a float, as it is written)
//	str           string ([]byte is written as one)
//	tuple         Tuple
//	list          []any (or []string, and *List where identity matters)
//	dict          Dict (or map[string]string, and *Map for other keys)
//	set           Set
//	complex       complex128
//	an entity     *Computer, *Partition, *SoftwareRelease, *Instance
//
// Parameters kept by a Master are stored in a second, flatter format, the
// <instance> document: [EncodeInstance] and [DecodeInstance]. Its values are
// text, so what isn't text is written as Python's str() would ([PythonString]).
//
// # Client
//
// [NewClient] makes a [Client] that is safe for concurrent use and has one
// method for each call of the protocol, named after it. Errors are tested
// with errors.Is against [ErrNotFound], [ErrNotReady], [ErrServer] and
// [ErrConnection]; the answer behind an error is an [*HTTPError].
//
// Bytes, names and texts are those of slapos.core 1.26.1, which reads what
// this package writes and the reverse.
package slap

// SPDX-License-Identifier: GPL-3.0-or-later

// Package server serves ShaCache and ShaDir from a [Store]: contents, which are
// in a [Directory] or a [Bucket], and their entries, in [Files] or a [Table].
//
// Directory and Files are in the layout of the original's local cache: either
// program can serve what the other has left. Unlike that one, a [Server] keeps
// every entry of a key, so that several people can sign what they have built.
//
// Contents and entries appear whole or not at all, whatever happens to the
// server or its clients meanwhile. What a client sends is never held in memory,
// entries aside.
package server

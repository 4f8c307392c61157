// SPDX-License-Identifier: GPL-3.0-or-later

// Package server serves ShaCache and ShaDir from a [Store]: contents in a
// [Directory] or a [Bucket], and their entries in [Files] or a [Table].
//
// Directory and Files have the layout of the original's local cache: either
// program can serve the files of the other. Unlike that one, a [Server] keeps
// every entry of a key, so that several people can sign their builds.
//
// Contents and entries appear whole or not at all, whatever happens to the
// server or its clients meanwhile. Except for entries, uploads are never held
// in memory.
package server

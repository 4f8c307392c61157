// SPDX-License-Identifier: GPL-3.0-or-later

// Package archive packs a directory into a compressed tar archive, and unpacks
// one that comes from outside.
//
// Archives are what Python's tarfile reads and writes: pax headers, one top
// directory, gzip. The gzip stream is made of many members that are compressed
// at once, each of which tells its size, so that [Unpack] can inflate them at
// once. Archives of other programs, in gzip, bzip2, xz or none of them, are
// inflated beside the writing of files.
//
// An archive is unpacked beside its place and appears there whole, or not at
// all. One member that could do harm is enough to refuse it: a name or a hard
// link that leads out of the top directory, a member below a link, a device, a
// file that would run as another user, more data than there is room for. What is
// in memory at a time doesn't depend on the size of the archive.
package archive

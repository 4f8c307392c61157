// SPDX-License-Identifier: GPL-3.0-or-later

// Package archive packs a directory into a compressed tar archive, and unpacks
// one that comes from outside.
//
// Archives have the format of Python's tarfile: pax headers, one top directory,
// gzip. The gzip stream consists of many members that are compressed in
// parallel, each with its size in the header, so that [Unpack] can inflate them
// in parallel, too. Archives of other programs, in gzip, bzip2, xz or
// uncompressed, are inflated while files are written.
//
// An archive is unpacked beside its place and appears there whole, or not at
// all. One dangerous member is enough to refuse it: a name or a hard link that
// leads out of the top directory, a member below a link, a device, a file that
// would run as another user, more data than there is room for. Memory use
// doesn't depend on the size of the archive.
package archive

// SPDX-License-Identifier: GPL-3.0-or-later

// Package networkcache is a client of ShaCache and ShaDir, and the cache of
// built Software Releases on top of them.
//
// ShaCache keeps contents, each under the SHA-512 of its bytes. ShaDir is a
// directory beside it: under a key it lists entries, each a JSON text about a
// content and a signature of that text. Keys are "file-urlmd5:" and the md5 sum
// of a URL for downloaded files, "pypi:NAME=VERSION" for Python packages, and
// the bare md5 sum of the URL for a built Software Release.
//
// The servers are not trusted. An entry counts if one of the client's
// certificates verifies its signature, and a content if it has the sum in the
// entry. A [Client] speaks the protocol of slapos.libnetworkcache to the byte:
// files, servers and clients of either can be mixed.
//
// A [Releases] stores built releases as archives (package archive) and brings
// them to nodes of the same [Platform]. Package server is the other side.
package networkcache

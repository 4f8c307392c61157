// SPDX-License-Identifier: GPL-3.0-or-later

// Package proximity makes a cache near its clients out of a [server.Server]: a
// [Cache] is the origin that brings what the server's store hasn't got from
// other caches, the upstreams, and keeps it.
//
// Lists of entries are kept for some time, and for as long as no upstream
// answers. A content is brought once for any number of clients: a [fetch]
// writes it to a file from which all of them read what has arrived. Nobody gets
// the last byte before the sum of all is right, so that no client can take
// another content for the whole one. What is left of a broken fetch is continued
// by the next one, from any upstream.
//
// Upstreams are not trusted: signatures and sums decide, as for every client.
// Requests carry the header Via, by which a cache knows its own ones when they
// come back.
package proximity

// SPDX-License-Identifier: GPL-3.0-or-later

// Package xmlrpc reads and writes the XML-RPC messages that supervisor, its
// command-line client and the original's agent exchange (GRID-76).
//
// Values are nil, bool, int (any size up to 64 bits), float64, string, []byte,
// []any and map[string]any. Go structs become XML-RPC structures, with members
// named by the `xml` tag. Decoding gives nil, bool, int, float64, string,
// []byte (base64), []any and map[string]any; a date comes back as text.
//
// What is written can always be parsed again: characters that XML 1.0 doesn't
// allow (most control characters, bytes that aren't UTF-8) become U+FFFD.
// Python's supervisor writes them unchanged, and its client then fails on a log
// with colours.
package xmlrpc

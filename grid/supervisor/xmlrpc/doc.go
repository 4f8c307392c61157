// SPDX-License-Identifier: GPL-3.0-or-later

// Package xmlrpc reads and writes the XML-RPC messages that supervisor, its
// command-line client and the original's agent exchange (GRID-76).
//
// Values are nil, bool, int (any size up to 64 bits), float64, string, []byte,
// []any and map[string]any. Structures of Go are written as XML-RPC
// structures, their members named by the `xml` tag. Decoding gives nil, bool,
// int, float64, string, []byte (base64), []any and map[string]any; dates come
// back as their text.
//
// What is written can always be parsed again: characters that XML 1.0 has no
// place for (most control characters, bytes that are no UTF-8) are replaced by
// U+FFFD. Python's supervisor writes them as they are, and its client then
// fails on a log that holds a colour.
package xmlrpc

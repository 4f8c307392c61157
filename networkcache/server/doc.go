// Package server serves ShaCache and ShaDir from one directory.
//
//	DIRECTORY/cache/SUM   a content, named by its SHA-512
//	DIRECTORY/dir/KEY     a JSON list of entries, newest first
//
// The files are those of the original's local cache: either program can serve
// the directory of the other. Unlike that one, ShaDir keeps every entry of a
// key, so that several people can sign what they have built.
//
// Contents and entries appear whole or not at all, whatever happens to the
// server or its clients meanwhile. What a client sends is never held in memory,
// entries aside.
package server

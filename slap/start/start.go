// SPDX-License-Identifier: GPL-3.0-or-later

// Package start keeps the start of the program short: the garbage collector
// rests from the moment this package is initialised until [Done]. What packages
// make in their inits lives as long as the process does, so a collection would
// find nothing to free: leaving it out touches some two hundred pages less.
//
// Packages are initialised as soon as what they import is, in the order of
// their paths. This one imports nothing but runtime/debug and so comes before
// those that allocate much.
package start

import "runtime/debug"

var percent = debug.SetGCPercent(-1)

// Done lets the garbage collector work as GOGC says. It is for the first line
// of main.
func Done() { debug.SetGCPercent(percent) }

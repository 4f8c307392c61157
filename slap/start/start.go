// SPDX-License-Identifier: GPL-3.0-or-later

// Package start shortens the program's start: the garbage collector is off from
// the initialisation of this package until [Done]. What packages allocate while
// they are initialised lives as long as the process, so a collection would find
// nothing to free: leaving it out touches some two hundred pages less.
//
// A package is initialised once its imports are, in the order of paths. This
// one only imports runtime/debug, and so comes before those that allocate much.
package start

import "runtime/debug"

var percent = debug.SetGCPercent(-1)

// Done turns the garbage collector on, as GOGC says. Call it in the first line
// of main.
func Done() { debug.SetGCPercent(percent) }

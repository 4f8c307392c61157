// SPDX-License-Identifier: GPL-3.0-or-later

// Package grid is the agent of a node: what makes the machine be what the master
// wants. It has no code of its own, only rooms. A pass is one run over the releases
// or partitions of the node, by a command that ends with it, and has a room for
// itself; below are those that passes use:
//
//	node software           software ─── buildout, parts, supervision, pass
//	node instance, promise  instance ─── partition, buildout, firewall, supervision, supervisor, pass
//	node report             report ───── partition, supervision, pass
//	node prune              prune ────── parts
//	node boot               boot
//
//	                        partition ── supervision, supervisor, pass
//	                        firewall, supervision ─── supervisor
//	                        buildout, parts, pass, supervisor
//
// Package pass is the kernel: what a pass is told of the node, how items are worked
// on at once, steps and their outcomes, logs, results. Package partition is what
// instance and report have in common. Package supervisor is a program of its own,
// which keeps services running; package supervision makes it follow its files while
// a pass changes them.
//
// Passes don't import each other; only tests do that have one pass follow another.
// What a pass leaves for the next is on disk, also when it is killed: .completed of
// a release, .timestamp of a partition, its retention lock, the supervisor's files.
package grid

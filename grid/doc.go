// SPDX-License-Identifier: GPL-3.0-or-later

// Package grid is the agent of a node, which makes the machine match what the
// master wants. It has no code of its own, only rooms. A pass is one run over
// the node's releases or partitions, by a command that ends with it. Each pass
// has a room; below them are the rooms that they use:
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
// Package pass is the kernel: what a pass knows of the node, how it works on
// several items at once, steps and their outcomes, logs, results. Package
// partition is shared by instance and report. Package supervisor is a program
// of its own, which keeps services running; package supervision makes it follow
// its files while a pass changes them.
//
// Passes don't import each other; only tests run one after another. What a pass
// leaves for the next is on disk, and survives a kill: .completed of a release,
// .timestamp of a partition, its retention lock, the supervisor's files.
package grid

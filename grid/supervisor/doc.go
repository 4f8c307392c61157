// SPDX-License-Identifier: GPL-3.0-or-later

// Package supervisor keeps the services of partitions running.
//
// The supervisor itself is [Serve], a daemon that reads the configuration files
// of Python's supervisor and answers its XML-RPC calls on a unix socket.
// [Layout] names and writes those files for a node, [Launch] makes sure that
// one supervisor runs, [Client] talks to it and [Control] is the program
// supervisorctl.
//
// Both sides follow Python's supervisor 4.3, so a node can switch between the
// original and this program while its services run: the client here can drive a
// supervisor of Python, and the original's agent can drive ours (D-5, GRID-76).
package supervisor

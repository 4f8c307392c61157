// SPDX-License-Identifier: GPL-3.0-or-later

// Package config reads the configuration files of Python's supervisor 4.3: its
// dialect of ini files, included files, expansion of %(name)s, and the options
// of [supervisord], [unix_http_server], [inet_http_server], [supervisorctl],
// [program:x], [group:x] and [eventlistener:x].
//
// Two things differ on purpose. A missing directory of a program's log, or a
// missing numeric user, doesn't invalidate the whole configuration: only that
// program fails to start. And group= is honoured: the original's agent writes
// it, but Python's supervisor ignores it.
//
// [fcgi-program:x] sections are ignored with a warning.
package config

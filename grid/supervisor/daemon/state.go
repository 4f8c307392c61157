// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

// state is the state of a process:
//
//	STOPPED ──start──▶ STARTING ──startsecs──▶ RUNNING ──ends──▶ EXITED
//	   ▲                │    ▲                    │                │
//	   │          fails │    │ delay              │ stop           │ autorestart
//	   │                ▼    │                    ▼                ▼
//	   │ stop        BACKOFF─┘               STOPPING           STARTING
//	   ├────────────────┤                         │
//	   │                └─too often─▶ FATAL       │ ended
//	   └──────────────────────────────────────────┘
//
// A process that can't be signalled is UNKNOWN.
type state int

const (
	stopped  state = 0
	starting state = 10
	running  state = 20
	backoff  state = 30
	stopping state = 40
	exited   state = 100
	fatal    state = 200
	unknown  state = 1000
)

var stateNames = map[state]string{
	stopped: "STOPPED", starting: "STARTING", running: "RUNNING", backoff: "BACKOFF",
	stopping: "STOPPING", exited: "EXITED", fatal: "FATAL", unknown: "UNKNOWN",
}

func (s state) String() string { return stateNames[s] }

// isRunning reports whether a start would be refused.
func (s state) isRunning() bool { return s == running || s == backoff || s == starting }

// isStopped reports whether a group with it may be removed.
func (s state) isStopped() bool {
	return s == stopped || s == exited || s == fatal || s == unknown
}

// isSignallable reports whether there is a process.
func (s state) isSignallable() bool { return s == running || s == starting || s == stopping }

// supervisorState is the state of the supervisor itself.
type supervisorState int

const (
	supervisorRunning    supervisorState = 1
	supervisorRestarting supervisorState = 0
	supervisorShutdown   supervisorState = -1
)

func (s supervisorState) String() string {
	switch s {
	case supervisorRunning:
		return "RUNNING"
	case supervisorRestarting:
		return "RESTARTING"
	}
	return "SHUTDOWN"
}

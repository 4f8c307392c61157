// SPDX-License-Identifier: GPL-3.0-or-later

package xmlrpc

import "github.com/ochinchina/supervisord/faults"

// Fault is the error answer of a server. Text starts with the name of Code,
// as in "BAD_NAME: slappart0".
type Fault struct {
	Code int
	Text string
}

// Error returns the text that the server sent.
func (f *Fault) Error() string { return f.Text }

// faultNames are the names that supervisor puts before the details of a fault.
var faultNames = map[int]string{
	faults.UnknownMethod:        "UNKNOWN_METHOD",
	faults.IncorrectParameters:  "INCORRECT_PARAMETERS",
	faults.BadArguments:         "BAD_ARGUMENTS",
	faults.SignatureUnsupported: "SIGNATURE_UNSUPPORTED",
	faults.ShutdownState:        "SHUTDOWN_STATE",
	faults.BadName:              "BAD_NAME",
	faults.BadSignal:            "BAD_SIGNAL",
	faults.NoFile:               "NO_FILE",
	faults.NotExecutable:        "NOT_EXECUTABLE",
	faults.Failed:               "FAILED",
	faults.AbnormalTermination:  "ABNORMAL_TERMINATION",
	faults.SpawnError:           "SPAWN_ERROR",
	faults.AlreadyStated:        "ALREADY_STARTED",
	faults.NotRunning:           "NOT_RUNNING",
	faults.Success:              "SUCCESS",
	faults.AlreadyAdded:         "ALREADY_ADDED",
	faults.StillRunning:         "STILL_RUNNING",
	faults.CantReRead:           "CANT_REREAD",
}

// NewFault returns the fault for a code; detail may be empty. The detail of
// BAD_NAME is the name in the call, which may be empty, too.
func NewFault(code int, detail string) *Fault {
	name, ok := faultNames[code]
	if !ok {
		name = "UNKNOWN"
	}
	if detail != "" || code == faults.BadName {
		name += ": " + detail
	}
	return &Fault{Code: code, Text: name}
}

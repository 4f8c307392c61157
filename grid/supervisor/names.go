// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"strings"

	"github.com/ochinchina/supervisord/faults"
)

// Codes of [Fault].
const (
	FaultUnknownMethod       = faults.UnknownMethod
	FaultShutdownState       = faults.ShutdownState
	FaultBadName             = faults.BadName
	FaultBadSignal           = faults.BadSignal
	FaultNoFile              = faults.NoFile
	FaultNotExecutable       = faults.NotExecutable
	FaultFailed              = faults.Failed
	FaultAbnormalTermination = faults.AbnormalTermination
	FaultSpawnError          = faults.SpawnError
	FaultAlreadyStarted      = faults.AlreadyStated
	FaultNotRunning          = faults.NotRunning
	FaultSuccess             = faults.Success
	FaultAlreadyAdded        = faults.AlreadyAdded
	FaultStillRunning        = faults.StillRunning
	FaultCantReread          = faults.CantReRead
)

// namespec returns the name that users see: the process's own if its group has
// the same name, else group:name.
func namespec(group, process string) string {
	if group == process {
		return process
	}
	return group + ":" + process
}

// splitNamespec is the inverse; process is empty for a whole group, written
// "group:" or "group:*".
func splitNamespec(name string) (group, process string) {
	group, process, found := strings.Cut(name, ":")
	switch {
	case !found:
		return name, name
	case process == "*":
		return group, ""
	}
	return group, process
}

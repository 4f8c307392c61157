// SPDX-License-Identifier: GPL-3.0-or-later

package slap

// Condition is what became of something that a Master wants, while [State] is
// what it wants: the one word that the store, JSON-RPC, the panel, metrics and
// commands have for it.
type Condition string

// The conditions of instances, from the request to the end.
const (
	// ConditionRequested: the node hasn't asked for it yet.
	ConditionRequested Condition = "requested"
	// ConditionWaiting: its release isn't available on the node.
	ConditionWaiting Condition = "waiting"
	// ConditionDeploying: the node knows of it, and hasn't reported since.
	ConditionDeploying Condition = "deploying"
	ConditionRunning   Condition = "running"
	// ConditionPromiseFailed: it was started, and promises of it fail.
	ConditionPromiseFailed Condition = "promise-failed"
	// ConditionFailed: the node's last report was an error. Releases have it too.
	ConditionFailed   Condition = "failed"
	ConditionStopping Condition = "stopping"
	ConditionStopped  Condition = "stopped"
	// ConditionDestroying: it is to go, and is still there. Releases have it too.
	ConditionDestroying Condition = "destroying"
	// ConditionUnknown: the node is silent, or said nothing since the Master
	// began to keep reports. Releases and nodes have it too.
	ConditionUnknown Condition = "unknown"
)

// Further conditions of releases, which begin as [ConditionRequested].
const (
	ConditionBuilding  Condition = "building"
	ConditionAvailable Condition = "available"
)

// Further conditions of nodes.
const (
	// ConditionUp: it was heard of within three of its periods.
	ConditionUp Condition = "up"
	// ConditionNever: it was never heard of.
	ConditionNever Condition = "never"
)

// InstanceConditions lists the conditions of instances, those that need
// attention last.
func InstanceConditions() []Condition {
	return []Condition{ConditionRunning, ConditionStopped, ConditionRequested, ConditionWaiting, ConditionDeploying, ConditionStopping,
		ConditionDestroying, ConditionUnknown, ConditionPromiseFailed, ConditionFailed}
}

// ReleaseConditions are those of software releases.
func ReleaseConditions() []Condition {
	return []Condition{ConditionAvailable, ConditionRequested, ConditionBuilding, ConditionDestroying, ConditionUnknown, ConditionFailed}
}

// NodeConditions are those of computers.
func NodeConditions() []Condition { return []Condition{ConditionUp, ConditionNever, ConditionUnknown} }

// NeedsAttention reports whether a person should look at what is in this
// condition.
func (c Condition) NeedsAttention() bool { return c == ConditionFailed || c == ConditionPromiseFailed }

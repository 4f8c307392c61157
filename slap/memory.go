// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ErrForgetful means that the Master doesn't tell what became of what it wants:
// only this program's local master does (PROXY-194).
var ErrForgetful = errors.New("this master doesn't keep what happened: only a local master of this program does")

// A Moment is a time in a Master's answer: whole seconds since 1970, 0 for never.
// For people's tools it is written as RFC 3339, null for never.
type Moment struct{ time.Time }

// UnmarshalJSON reads seconds.
func (m *Moment) UnmarshalJSON(text []byte) error {
	seconds, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("a time: %.40q is no whole number", text)
	}
	m.Time = time.Time{}
	if seconds > 0 {
		m.Time = time.Unix(seconds, 0).UTC()
	}
	return nil
}

// MarshalJSON writes RFC 3339.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.Format(time.RFC3339))
}

// Actual is what became of something, as far as the Master knows.
type Actual struct {
	Condition Condition `json:"condition"`
	Since     Moment    `json:"since"`
	// Message is the line that says most about it.
	Message string `json:"message"`
	// Reported is when the node last told about it.
	Reported Moment `json:"reported"`
	Failures int64  `json:"failures"` // in a row
	// Event is the one that has the log of the last failure, 0 without one.
	Event int64 `json:"event"`
}

// The kinds of what a Master tells about.
const (
	KindNode     = "node"
	KindRelease  = "release"
	KindInstance = "instance"
	KindShared   = "shared"
)

// CloudStatus is how everything is that a Master knows.
type CloudStatus struct {
	Time   Moment `json:"time"`
	Counts struct {
		Nodes     map[Condition]int64 `json:"nodes"`
		Releases  map[Condition]int64 `json:"releases"`
		Instances map[Condition]int64 `json:"instances"`
	} `json:"counts"`
	Nodes []NodeStatus `json:"node_list"`
	// Attention is what a person should look at, the first of AttentionCount.
	Attention      []Attention `json:"attention_list"`
	AttentionCount int64       `json:"attention_count"`
	LastEvent      int64       `json:"last_event"`
}

// NodeStatus is how a node is.
type NodeStatus struct {
	Computer   string `json:"computer_guid"`
	Actual     Actual `json:"actual"`
	Partitions int64  `json:"partitions"`
	Busy       int64  `json:"busy"`
	Releases   int64  `json:"releases"`
	Attention  int64  `json:"attention"`
}

// Attention is something that a person should look at.
type Attention struct {
	Kind     string `json:"kind"`
	Computer string `json:"computer_guid"`
	Subject  string `json:"subject"` // the release, or the partition
	Title    string `json:"title"`   // of an instance
	GUID     string `json:"instance_guid"`
	Actual   Actual `json:"actual"`
}

// InstanceStatus is how an instance is.
type InstanceStatus struct {
	Title           string `json:"title"`
	GUID            string `json:"instance_guid"`
	Computer        string `json:"computer_guid"`
	Partition       string `json:"compute_partition_id"`
	SoftwareRelease string `json:"software_release_uri"`
	Wanted          State  `json:"wanted"`
	Actual          Actual `json:"actual"`
	Promises        struct {
		Passed   int64            `json:"passed"`
		Failed   int64            `json:"failed"`
		Reported Moment           `json:"reported"`
		Failing  []FailingPromise `json:"failing"`
	} `json:"promises"`
}

// FailingPromise is a promise that fails.
type FailingPromise struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	Since   Moment `json:"since"`
}

// ReleaseStatus is how a release on a node is.
type ReleaseStatus struct {
	Computer        string `json:"computer_guid"`
	SoftwareRelease string `json:"software_release_uri"`
	Wanted          State  `json:"wanted"`
	Actual          Actual `json:"actual"`
}

// Event is something that happened.
type Event struct {
	ID       int64  `json:"id"`
	Time     Moment `json:"time"`
	Computer string `json:"computer_guid"`
	Kind     string `json:"kind"`
	Subject  string `json:"subject"`
	Title    string `json:"title"`
	Root     string `json:"root_instance_title"`
	Event    string `json:"event"`
	State    string `json:"state"`
	Message  string `json:"message"`
	// Actor is who asked for it, "" for what a node told.
	Actor  string `json:"actor"`
	HasLog bool   `json:"has_log"`
}

// EventFilter selects events; what is empty selects all.
type EventFilter struct {
	Computer string `json:"computer_guid,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Title    string `json:"title,omitempty"`
	// After selects those with a greater ID, the oldest first; without it, the newest
	// are selected.
	After int64 `json:"after,omitempty"`
	// Limit is at most 1000; 0 is the Master's 100.
	Limit int `json:"limit,omitempty"`
}

// InstanceGUID is the identity of an instance at a local master (PROXY-92); root is
// the title of the one that it was requested below, "" for a service.
func InstanceGUID(title, root string, shared bool) string {
	kind := "0"
	if shared {
		kind = "1"
	}
	return title + "___" + root + "___" + kind
}

// CloudStatus tells how everything is. The error is [ErrForgetful] if the Master
// can't, as in all calls here.
func (c *Client) CloudStatus(ctx context.Context) (*CloudStatus, error) {
	return ask[CloudStatus](ctx, c, "slapos.get.v1.status", Dict{})
}

// InstanceStatus tells how an instance is; the error matches ErrNotFound for one
// that isn't there.
func (c *Client) InstanceStatus(ctx context.Context, guid string) (*InstanceStatus, error) {
	return ask[InstanceStatus](ctx, c, "slapos.get.v1.software_instance_status", Dict{"instance_guid": guid})
}

// ReleaseStatus tells how a release on a node is; the error matches ErrNotFound if
// nobody supplied it.
func (c *Client) ReleaseStatus(ctx context.Context, url, computer string) (*ReleaseStatus, error) {
	return ask[ReleaseStatus](ctx, c, "slapos.get.v1.software_installation_status", Dict{"computer_guid": computer, "software_release_uri": url})
}

// Events lists what happened, in order.
func (c *Client) Events(ctx context.Context, filter EventFilter) ([]Event, error) {
	list, err := ask[struct {
		Events []Event `json:"result_list"`
	}](ctx, c, "slapos.allDocs.v1.event_list", filter)
	if err != nil {
		return nil, err
	}
	return list.Events, nil
}

// EventLog is the text of the error that an event tells about; the error matches
// ErrNotFound without one.
func (c *Client) EventLog(ctx context.Context, event int64) (string, error) {
	log, err := ask[struct {
		Text string `json:"text"`
	}](ctx, c, "slapos.get.v1.event_log", Dict{"event": event})
	if err != nil {
		return "", err
	}
	return log.Text, nil
}

// ask calls a method of JSON-RPC that reads.
func ask[T any](ctx context.Context, c *Client, method string, input any) (*T, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, call{method: http.MethodPost, path: method, json: body})
	var refused *HTTPError
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return nil, ErrForgetful
		case http.StatusForbidden:
			var said struct {
				Title string `json:"title"`
			}
			if json.Unmarshal(refused.Body, &said) == nil && said.Title != "" {
				return nil, notFound("%s", said.Title)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	result := new(T)
	if err := json.Unmarshal(answer, result); err != nil {
		// Some masters answer with a page of theirs.
		c.log.Debug("not an answer of this method", "method", method, "error", err)
		return nil, ErrForgetful
	}
	return result, nil
}

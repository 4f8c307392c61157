// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// PromiseReport says which promises of a partition fail.
type PromiseReport struct {
	Passed  int
	Failing []PromiseFailure
}

// PromiseFailure is a promise that fails, in a report.
type PromiseFailure struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

// accepts reports whether a Master takes promises (PROXY-195).
func accepts(answer http.Header) bool {
	for _, value := range answer.Values("Slapos-Accepts") {
		if slices.ContainsFunc(strings.Split(value, ","), func(word string) bool { return strings.TrimSpace(word) == "promises" }) {
			return true
		}
	}
	return false
}

// TakesPromises reports whether the last answer to [Client.FullComputerInformation]
// said that the Master takes what [Client.ReportPromises] sends. Others must not get it.
func (c *Client) TakesPromises() bool { return c.takesPromises.Load() }

// ReportPromises tells which promises of a partition fail, after all were run.
func (c *Client) ReportPromises(ctx context.Context, id PartitionID, report PromiseReport) error {
	failing := report.Failing
	if failing == nil {
		failing = []PromiseFailure{}
	}
	body, err := json.Marshal(Dict{
		"computer_guid": id.Computer, "compute_partition_id": id.Partition, "passed": report.Passed, "failing": failing,
	})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, call{
		method: http.MethodPost, path: "slapos.put.v1.software_instance_promise_list", json: body, most: maxConfirmation,
	})
	return err
}

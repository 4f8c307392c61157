// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"
	"testing"
	"time"

	"slapos/cmd/slapos/board"
	"slapos/promise"
)

// Messages are printed as they are, not as if they went into a page.
func TestPromiseDocumentText(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	results := board.New(func() time.Time { return now })
	failed := promise.Result{Title: "page", Name: "page.py", Path: "/a/page.py", Kind: promise.Plugin, Failed: true, Message: "<urlopen error>", Date: now}
	report := promise.Report{Promises: []promise.Result{failed}, Checked: 1, Failed: 1}
	results.Finished("slappart0", report, report.Err())
	for _, watch := range []bool{false, true} {
		e, stdout, _ := newTestEnvironment(t)
		err := e.writePromises(&promiseOptions{json: true, watch: watch}, results)
		if err != nil || !strings.Contains(stdout.String(), `"<urlopen error>"`) || watch && strings.Count(stdout.String(), "\n") != 1 {
			t.Errorf("watch %v: %q, %v", watch, stdout, err)
		}
	}
}

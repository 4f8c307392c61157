// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"testing"
	"time"

	"slapos/grid/pass"
	"slapos/grid/testenv"
)

// A softwareNode is a node, and the options of its passes over releases.
type softwareNode struct {
	*testenv.Node
	options Options
}

func newSoftwareNode(t *testing.T) *softwareNode {
	t.Helper()
	n := &softwareNode{Node: testenv.NewNode(t)}
	n.options = Options{MinFreeSpace: 1, UploadTries: 3, UploadDelay: time.Millisecond}
	return n
}

// pass runs a pass.
func (n *softwareNode) pass(ctx context.Context) (pass.Result, error) {
	n.options.Node, n.options.Supervisor = n.Pass, n.Supervisor
	return Pass(ctx, n.options)
}

func (n *softwareNode) run(wantExit int) pass.Result {
	n.T.Helper()
	return n.Run(wantExit, n.pass)
}

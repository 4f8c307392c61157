// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"testing"

	"slapos/grid/pass"
	"slapos/grid/report"
	"slapos/grid/software"
	"slapos/grid/testenv"
)

// An instanceNode is a node, and the options of its passes over partitions.
type instanceNode struct {
	*testenv.Node
	options Options
}

func newInstanceNode(t *testing.T, partitions ...string) *instanceNode {
	t.Helper()
	n := &instanceNode{Node: testenv.NewInstanceNode(t, partitions...)}
	n.options = Options{MinFreeSpace: 1, MaximumPeriodicity: DefaultMaximumPeriodicity}
	return n
}

// pass runs a pass.
func (n *instanceNode) pass(ctx context.Context) (pass.Result, error) {
	return Pass(ctx, n.passOptions())
}

func (n *instanceNode) passOptions() Options {
	n.options.Node, n.options.Supervisor = n.Pass, n.Supervisor
	return n.options
}

func (n *instanceNode) process(wantExit int) pass.Result {
	n.T.Helper()
	return n.Run(wantExit, n.pass)
}

// promises runs a pass over promises alone.
func (n *instanceNode) promises() (pass.Result, error) {
	return PromisePass(n.T.Context(), n.passOptions())
}

// build runs a pass over releases.
func (n *instanceNode) build(wantExit int) pass.Result {
	n.T.Helper()
	return n.Run(wantExit, func(ctx context.Context) (pass.Result, error) {
		return software.Pass(ctx, software.Options{Node: n.Pass, Supervisor: n.Supervisor, MinFreeSpace: 1})
	})
}

// report runs a report.
func (n *instanceNode) report() (pass.Result, error) {
	return report.Pass(n.T.Context(), report.Options{Node: n.Pass, Supervisor: n.Supervisor})
}

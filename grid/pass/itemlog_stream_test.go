// SPDX-License-Identifier: GPL-3.0-or-later

package pass

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// Items that log at the same time and end in any order are written one after
// the other, each whole and in order.
func TestItemLogPieces(t *testing.T) {
	testkit.NoLeaks(t)
	const items, lines = 8, 300
	testkit.EachProcessors(t, func(t *testing.T) {
		for range testkit.Rounds(5) {
			var out bytes.Buffer
			logger, log := messageLogger(&out), &ItemLog{}
			var logging sync.WaitGroup
			var want strings.Builder
			for item := range items {
				own, end := log.Begin(logger)
				logging.Go(func() { // the log guards all that they share
					defer end()
					for n := range lines {
						own.Info("line", "item", item, "n", n)
					}
				})
				for n := range lines {
					fmt.Fprintf(&want, "msg=line item=%d n=%d\n", item, n)
				}
			}
			logging.Wait()
			if out.String() != want.String() {
				t.Fatalf("%d lines of %d, or not in order", strings.Count(out.String(), "\n"), items*lines)
			}
		}
	})
}

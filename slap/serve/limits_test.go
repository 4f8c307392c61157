// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"log/slog"
	"testing"
)

// The server gives up on a client that sends its request in drops.
func TestServerLimits(t *testing.T) {
	if server := (Loop{Log: slog.New(slog.DiscardHandler)}).server(); server.ReadHeaderTimeout <= 0 || server.IdleTimeout <= 0 {
		t.Errorf("waits %v for a request, %v for the next", server.ReadHeaderTimeout, server.IdleTimeout)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"net"
	"net/http"
	"testing"

	"slapos/grid/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func serve(a *Agent, listener net.Listener) *http.Server {
	server := &http.Server{Handler: a.Handler(true)}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return server
}

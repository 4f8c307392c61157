// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"slapos/grid/supervisor"
	"slapos/grid/supervisor/xmlrpc"
)

// GRID-74: a group whose processes take their time to end is removed once they have.
func TestEndGroupTriesAgain(t *testing.T) {
	var calls []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		method, _, err := xmlrpc.UnmarshalCall(body)
		if err != nil {
			t.Error(err)
		}
		calls = append(calls, method)
		answer, _ := xmlrpc.MarshalResponse(true)
		switch {
		case method == "supervisor.stopProcessGroup":
			answer, _ = xmlrpc.MarshalResponse([]any{})
		case len(calls) < 4:
			answer = xmlrpc.MarshalFault(xmlrpc.NewFault(supervisor.FaultStillRunning, "slappart0"))
		}
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write(answer)
	}))
	socket := filepath.Join(t.TempDir(), "sv.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	client := supervisor.NewClient(socket)
	defer client.Close()
	if err := endGroup(t.Context(), client, "slappart0", slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	const remove = "supervisor.removeProcessGroup"
	if want := []string{"supervisor.stopProcessGroup", remove, remove, remove}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package supervision

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"slapos/grid/supervisor"
	"slapos/grid/supervisor/xmlrpc"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestLateReading has a partition change its group while the supervisor reads
// its files for another one. The result of that reading is outdated for the
// group: acting on it would stop services that were started since.
func TestLateReading(t *testing.T) {
	var readings, stops atomic.Int32
	stopping, second, changed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := scriptedSupervision(t, func(method string) any {
		switch method {
		case "supervisor.reloadConfig":
			switch readings.Add(1) {
			case 1:
				return differing("a")
			case 2: // the group doesn't follow its file yet; the answer comes late
				close(second)
				<-changed
				return differing("a", "b")
			}
			return differing()
		case "supervisor.stopProcessGroup":
			if stops.Add(1) == 1 {
				close(stopping)
				<-second
			}
			return []any{}
		}
		return true
	})
	log := slog.New(slog.DiscardHandler)
	only := func(wanted string) func(string) bool { return func(group string) bool { return group == wanted } }

	other := make(chan error, 1)
	go func() {
		<-stopping
		s.changes.note()
		other <- s.follow(t.Context(), only("b"), log)
	}()
	if err := s.follow(t.Context(), only("a"), log); err != nil {
		t.Fatal(err)
	}
	close(changed)
	if err := <-other; err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stops.Load(); got != 2 {
		t.Errorf("%d groups were stopped, want a and b once each", got)
	}
}

// differing is an answer to reloadConfig with changed groups.
func differing(groups ...string) any {
	changed := make([]any, len(groups))
	for i, group := range groups {
		changed[i] = group
	}
	return []any{[]any{[]any{}, changed, []any{}}}
}

// scriptedSupervision is a supervision whose supervisor gives scripted answers:
// a real one's answers can't be timed.
func scriptedSupervision(t *testing.T, answer func(method string) any) *Supervision {
	t.Helper()
	root := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(root, "sv.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		method, _, err := xmlrpc.UnmarshalCall(body)
		if err != nil {
			t.Error(err)
		}
		value := answer(method)
		if fault, failed := value.(*xmlrpc.Fault); failed {
			_, _ = w.Write(xmlrpc.MarshalFault(fault))
			return
		}
		response, err := xmlrpc.MarshalResponse(value)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(response)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	s := New(root, Options{}, slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	return s
}

// Removal of a group whose processes still run is retried (GRID-74).
func TestEndGroupTriesAgain(t *testing.T) {
	var calls []string
	s := scriptedSupervision(t, func(method string) any {
		calls = append(calls, method)
		switch {
		case method == "supervisor.stopProcessGroup":
			return []any{}
		case len(calls) < 4:
			return xmlrpc.NewFault(supervisor.FaultStillRunning, "slappart0")
		}
		return true
	})
	if err := s.endGroup(t.Context(), "slappart0", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"supervisor.stopProcessGroup", "supervisor.removeProcessGroup", "supervisor.removeProcessGroup", "supervisor.removeProcessGroup"}; !slices.Equal(calls, want) {
		t.Errorf("calls %q", calls)
	}
}

// A failed process doesn't make a start fail, a failed call does.
func TestStart(t *testing.T) {
	failed := map[string]any{"group": "slappart0", "name": "web", "status": supervisor.FaultSpawnError, "description": "no such file"}
	for _, test := range []struct {
		answer any
		known  bool
		fails  bool
	}{
		{[]any{failed}, true, false},
		{xmlrpc.NewFault(supervisor.FaultBadName, "slappart0"), false, false},
		{xmlrpc.NewFault(supervisor.FaultShutdownState, ""), true, true},
	} {
		s := scriptedSupervision(t, func(string) any { return test.answer })
		known, err := s.Partition("slappart0", "/srv/slappart0").Start(t.Context())
		if known != test.known || (err != nil) != test.fails {
			t.Errorf("%v: known %t, error %v", test.answer, known, err)
		}
	}
}

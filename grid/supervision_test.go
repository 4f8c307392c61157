// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"slapos/grid/supervisor/xmlrpc"
)

// TestLateReading has a partition change its group while the supervisor reads
// its files for another one. What that reading says of the group is out of date
// when it is answered: acting on it would stop services that were started since.
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
		s.noteChange()
		other <- s.follow(t.Context(), only("b"), log)
	}()
	if err := s.follow(t.Context(), only("a"), log); err != nil {
		t.Fatal(err)
	}
	close(changed)
	if err := <-other; err != nil {
		t.Fatal(err)
	}
	if err := s.finish(t.Context(), log); err != nil {
		t.Fatal(err)
	}
	if got := stops.Load(); got != 2 {
		t.Errorf("%d groups were stopped, want a and b once each", got)
	}
}

// differing is the answer to reloadConfig that says that groups changed.
func differing(groups ...string) any {
	changed := make([]any, len(groups))
	for i, group := range groups {
		changed[i] = group
	}
	return []any{[]any{[]any{}, changed, []any{}}}
}

// scriptedSupervision is a supervision whose supervisor answers as told: the
// moment of a real one's answers can't be chosen.
func scriptedSupervision(t *testing.T, answer func(method string) any) *supervision {
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
		response, err := xmlrpc.MarshalResponse(answer(method))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(response)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Shutdown(context.Background()) })
	s := newSupervision(newPass(Options{InstanceRoot: root}))
	t.Cleanup(s.close)
	return s
}

// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"slapos/grid/pass"
)

// SocketName is the agent's socket in the directory of partitions.
const SocketName = "agent.sock"

// Handler answers /status, /metrics and /healthz; without status for those who may
// only see numbers.
func (a *Agent) Handler(status bool) http.Handler {
	mux := http.NewServeMux()
	answer := func(kind string, write func(*bytes.Buffer, *Status) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
			defer cancel()
			s, err := a.Status(ctx)
			var text bytes.Buffer
			if err == nil {
				err = write(&text, s)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(text.Bytes()) // one that went away needs no answer
		}
	}
	if status {
		mux.Handle("GET /status", answer("application/json", func(b *bytes.Buffer, s *Status) error { return json.NewEncoder(b).Encode(s) }))
	}
	mux.Handle("GET /metrics", answer("text/plain; version=0.0.4", writeMetrics))
	// It answers while the loop does.
	mux.Handle("GET /healthz", answer("text/plain; charset=utf-8", func(b *bytes.Buffer, _ *Status) error {
		_, err := b.WriteString("ok\n")
		return err
	}))
	return mux
}

// writeMetrics writes what Prometheus reads.
func writeMetrics(b *bytes.Buffer, s *Status) error {
	type label struct{ kind, state string }
	counts, failing := map[label]int{}, map[Kind]int{}
	for _, kind := range []Kind{KindJob, KindRelease, KindPartition} {
		for _, state := range []string{"running", "due", "waiting", "idle"} {
			counts[label{string(kind), state}] = 0
		}
		failing[kind] = 0
	}
	for _, t := range s.Tasks {
		counts[label{string(t.Kind), t.State}]++
		if t.Error != "" {
			failing[t.Kind]++
		}
	}
	fmt.Fprintf(b, "# HELP slapos_agent_tasks Releases, partitions and jobs of the agent by state.\n# TYPE slapos_agent_tasks gauge\n")
	for _, kind := range []Kind{KindJob, KindRelease, KindPartition} {
		for _, state := range []string{"running", "due", "waiting", "idle"} {
			fmt.Fprintf(b, "slapos_agent_tasks{kind=%q,state=%q} %d\n", kind, state, counts[label{string(kind), state}])
		}
	}
	fmt.Fprintf(b, "# HELP slapos_agent_failing Those whose last run failed.\n# TYPE slapos_agent_failing gauge\n")
	for _, kind := range []Kind{KindJob, KindRelease, KindPartition} {
		fmt.Fprintf(b, "slapos_agent_failing{kind=%q} %d\n", kind, failing[kind])
	}
	fmt.Fprintf(b, "# HELP slapos_agent_master_up Whether the master answered the last time.\n# TYPE slapos_agent_master_up gauge\n")
	up := 0
	if s.Master.Error == "" && s.Master.Answered != nil {
		up = 1
	}
	fmt.Fprintf(b, "slapos_agent_master_up %d\n", up)
	fmt.Fprintf(b, "# HELP slapos_agent_start_time_seconds When the agent began.\n# TYPE slapos_agent_start_time_seconds gauge\nslapos_agent_start_time_seconds %d\n", s.Since.Unix())
	return nil
}

// Listen makes the agent's socket, which only its user may use. It replaces one that
// nobody listens on.
func Listen(instanceRoot string) (net.Listener, error) {
	path := filepath.Join(instanceRoot, SocketName)
	if connection, err := dial(context.Background(), instanceRoot); err == nil {
		connection.Close()
		return nil, fmt.Errorf("another agent listens on %s: stop it first", path)
	}
	// It is made where nobody else comes, with its rights, and then gets its name.
	state, err := (&pass.Node{InstanceRoot: instanceRoot}).StateDirectory()
	if err != nil {
		return nil, err
	}
	directory, err := os.Open(state) // the name of a socket must be short
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	made := filepath.Join(state, SocketName)
	if err := os.Remove(made); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", "/proc/self/fd/"+strconv.Itoa(int(directory.Fd()))+"/"+SocketName)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// dial connects to the socket. Its path may be longer than the name of a socket can be.
func dial(ctx context.Context, instanceRoot string) (net.Conn, error) {
	directory, err := os.Open(instanceRoot)
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	return (&net.Dialer{}).DialContext(ctx, "unix", "/proc/self/fd/"+strconv.Itoa(int(directory.Fd()))+"/"+SocketName)
}

// Ask reads the status of the agent of a directory of partitions. An error that
// matches fs.ErrNotExist or ECONNREFUSED means that there is none.
func Ask(ctx context.Context, instanceRoot string) (*Status, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, instanceRoot)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the agent answers %s", response.Status)
	}
	s := new(Status)
	if err := json.NewDecoder(response.Body).Decode(s); err != nil {
		return nil, fmt.Errorf("the agent's answer: %w", err)
	}
	return s, nil
}

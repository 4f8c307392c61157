// SPDX-License-Identifier: GPL-3.0-or-later

package testenv

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"slapos/slap"
)

// A Master gives the answers that a test wants, and keeps the calls that it gets.
type Master struct {
	*httptest.Server
	// Client calls this master.
	Client *slap.Client

	// The answers. While a pass runs, only Set may change them.
	Wanted  *slap.Computer
	Answers map[string]any // by path, for other GETs
	Status  map[string]int // by path, when not 200
	Refuse  func(Call) int // the status of one call, 0 for the usual one
	Accepts string         // header Slapos-Accepts, "" for none

	mu    sync.Mutex
	calls []Call
}

// A Call is a call to a master.
type Call struct {
	Path string
	Form url.Values
	JSON string // the body of a call of JSON-RPC
}

// line returns the call in the form that tests compare: its path and subject.
func (c Call) line() string {
	for _, name := range []string{"url", "computer_partition_id"} {
		if value := c.Form.Get(name); value != "" {
			return c.Path + " " + value
		}
	}
	return c.Path
}

// Computer is the node's reference.
const Computer = "COMP-1"

// NewMaster starts a master, which ends with the test. It lists nothing at first.
func NewMaster(t testing.TB) *Master {
	t.Helper()
	m := &Master{
		Wanted:  &slap.Computer{Reference: Computer, Partitions: []*slap.Partition{}, SoftwareReleases: []*slap.SoftwareRelease{}},
		Answers: map[string]any{},
		Status:  map[string]int{},
	}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: m.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	m.Client = client
	return m
}

// ServeHTTP answers a call and keeps it.
func (m *Master) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	sent, err := io.ReadAll(r.Body) // empty after a form
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	path := r.URL.Path[1:]
	m.calls = append(m.calls, Call{path, r.Form, string(sent)})
	status := m.Status[path]
	if m.Refuse != nil && status == 0 {
		status = m.Refuse(m.calls[len(m.calls)-1])
	}
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	answer, found := m.Answers[path]
	if path == "getFullComputerInformation" {
		answer, found = m.Wanted, true
		if m.Accepts != "" {
			w.Header().Set("Slapos-Accepts", m.Accepts)
		}
	}
	if !found {
		if r.Method == http.MethodGet {
			http.NotFound(w, r)
		}
		return
	}
	body, err := slap.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(body) // a client that misses the answer shows in the test
}

// Set changes the master's answers.
func (m *Master) Set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// Take returns the calls since its last call.
func (m *Master) Take() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.calls
	m.calls = nil
	return calls
}

// Expect compares the calls since the last time.
func (m *Master) Expect(t testing.TB, want ...string) []Call {
	t.Helper()
	calls := m.Take()
	compare(t, lines(calls), want)
	return calls
}

// ExpectInAnyOrder compares the calls since the last time, whose order isn't
// certain.
func (m *Master) ExpectInAnyOrder(t testing.TB, want ...string) []Call {
	t.Helper()
	calls := m.Take()
	compare(t, slices.Sorted(slices.Values(lines(calls))), slices.Sorted(slices.Values(want)))
	return calls
}

func lines(calls []Call) (lines []string) {
	for _, call := range calls {
		lines = append(lines, call.line())
	}
	return lines
}

func compare(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("calls of the master\n  %q\nwant\n  %q", got, want)
	}
}

// Called reports whether there was such a call since the last time.
func (m *Master) Called(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.calls, func(c Call) bool { return c.Path == path })
}

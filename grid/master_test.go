// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"slapos/slap"
)

// A testMaster is a master that says what a test wants and keeps what it is
// told.
type testMaster struct {
	*httptest.Server
	client *slap.Client

	mu       sync.Mutex
	computer *slap.Computer
	answers  map[string]any       // by path, for other GETs
	status   map[string]int       // by path, when not 200
	refuse   func(masterCall) int // the status of one call, 0 for the usual one
	calls    []masterCall
}

type masterCall struct {
	path string
	form url.Values
}

// line is the call as tests compare it: the path, and what it is about.
func (c masterCall) line() string {
	for _, name := range []string{"url", "computer_partition_id"} {
		if value := c.form.Get(name); value != "" {
			return c.path + " " + value
		}
	}
	return c.path
}

const testComputer = "COMP-1"

func newTestMaster(t *testing.T) *testMaster {
	t.Helper()
	m := &testMaster{
		computer: &slap.Computer{Reference: testComputer, Partitions: []*slap.Partition{}, SoftwareReleases: []*slap.SoftwareRelease{}},
		answers:  map[string]any{},
		status:   map[string]int{},
	}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: m.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	m.client = client
	return m
}

func (m *testMaster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	path := r.URL.Path[1:]
	m.calls = append(m.calls, masterCall{path, r.Form})
	status := m.status[path]
	if m.refuse != nil && status == 0 {
		status = m.refuse(m.calls[len(m.calls)-1])
	}
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	answer, found := m.answers[path]
	if path == "getFullComputerInformation" {
		answer, found = m.computer, true
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
	w.Write(body)
}

// set changes what the master says.
func (m *testMaster) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// take returns the calls since the last time.
func (m *testMaster) take() []masterCall {
	m.mu.Lock()
	defer m.mu.Unlock()
	calls := m.calls
	m.calls = nil
	return calls
}

// expect compares the calls since the last time, sorted if the order isn't
// certain.
func (m *testMaster) expect(t *testing.T, sorted bool, want ...string) []masterCall {
	t.Helper()
	calls := m.take()
	var got []string
	for _, call := range calls {
		got = append(got, call.line())
	}
	if sorted {
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls of the master\n  %q\nwant\n  %q", got, want)
	}
	return calls
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"slapos/slap"
)

// hesitant is a master that answers each path with the answers of a list, one after
// another, and then with the last one for ever; without one, with 404. The answer ""
// is "not yet".
type hesitant struct {
	mutex   sync.Mutex
	answers map[string][]string
	asked   map[string]int
}

func (h *hesitant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	answers, nth := h.answers[path], h.asked[path]
	h.asked[path]++
	if len(answers) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if answer := answers[min(nth, len(answers)-1)]; answer != "" {
		_, _ = io.WriteString(w, answer)
		return
	}
	w.WriteHeader(http.StatusRequestTimeout)
}

// A client that waits goes on when the master says "not yet" to any of its questions,
// until its time is over (CLI-120); others end with 2 as ever (CLI-54).
func TestWaitUnready(t *testing.T) {
	t.Parallel()
	marshalled, err := slap.Marshal(&slap.Instance{GUID: "one", RequestedState: slap.StateStarted,
		Parameters: slap.Dict{}, ConnectionParameters: slap.Dict{"url": "http://well/"}})
	if err != nil {
		t.Fatal(err)
	}
	const statusPath, releasePath = "slapos.get.v1.software_instance_status", "slapos.get.v1.software_installation_status"
	ready := string(marshalled)
	running, available, stopping := `{"actual": {"condition": "running"}}`, `{"actual": {"condition": "available"}}`, `{"actual": {"condition": "stopping"}}`
	words := "request one http://127.0.0.1:1/software.cfg"
	for name, test := range map[string]struct {
		words   string
		answers map[string][]string
		code    int
		stderr  string
		asked   map[string]int
	}{
		"without --wait": {words, map[string][]string{"requestComputerPartition": {"", ready}}, 2,
			"Please rerun in a couple of minutes", map[string]int{"requestComputerPartition": 1}},
		"request": {words + " --wait --timeout 60", map[string][]string{"requestComputerPartition": {"", ready, "", ready}, statusPath: {"", running}}, 0,
			"http://well/", map[string]int{"requestComputerPartition": 4}},
		"never": {words + " --wait --timeout 1", map[string][]string{"requestComputerPartition": {""}}, 124,
			"one isn't done after 1 s: one: the master isn't ready to answer", nil},
		"one time for all": {words + " --wait --timeout 1", map[string][]string{"requestComputerPartition": {ready}, statusPath: {stopping, ""}}, 124,
			"one isn't done after 1 s: one: ", nil},
		// Masters say so of what they destroy; then it is seen whether it is gone.
		"destroyed": {words + " --state destroyed --wait --timeout 1", map[string][]string{"requestComputerPartition": {""}, statusPath: {running, ""}}, 124,
			"one isn't done", map[string]int{"requestComputerPartition": 1}},
		"supply": {"supply http://127.0.0.1:1/software.cfg COMP-1 --wait --timeout 60", map[string][]string{"supplySupply": {"", "", "done"}, releasePath: {"", "", available}}, 0,
			"INFO Done.", map[string]int{"supplySupply": 3}},
		"supply without --wait": {"supply http://127.0.0.1:1/software.cfg COMP-1", map[string][]string{"supplySupply": {""}}, 1,
			"the master isn't ready to answer this", map[string]int{"supplySupply": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master := &hesitant{answers: test.answers, asked: map[string]int{}}
			server := httptest.NewServer(master)
			t.Cleanup(server.Close)
			n := newNodeTest(t)
			path := n.configuration("[slapconsole]\n[slapos]\nmaster_url = " + server.URL + "\n")
			words := strings.Fields(test.words)
			if code := n.run(append(words, "--cfg", path)...); code != test.code || !strings.Contains(n.stderr.String(), test.stderr) {
				t.Errorf("exit code %d, want %d\n%s\n%s", code, test.code, &n.stdout, &n.stderr)
			}
			master.mutex.Lock()
			defer master.mutex.Unlock()
			for path, want := range test.asked {
				if got := master.asked[path]; got != want {
					t.Errorf("%s: asked %d times, want %d", path, got, want)
				}
			}
		})
	}
}

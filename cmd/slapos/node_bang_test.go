// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A nodeTest runs node commands with a master that records its calls.
type nodeTest struct {
	t         *testing.T
	directory string
	status    int // of the master's answers
	calls     []string
	// Of the last command.
	stdout, stderr bytes.Buffer
}

func newNodeTest(t *testing.T) *nodeTest {
	return &nodeTest{t: t, directory: t.TempDir(), status: http.StatusOK}
}

// master starts the master and returns its URL.
func (n *nodeTest) master() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		n.calls = append(n.calls, r.Method+" "+r.URL.Path+" "+r.PostForm.Encode())
		w.WriteHeader(n.status)
	}))
	n.t.Cleanup(server.Close)
	return server.URL + "/"
}

// configuration writes slapos.cfg, in which DIRECTORY stands for that of the
// test.
func (n *nodeTest) configuration(text string) string {
	path := filepath.Join(n.directory, "slapos.cfg")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIRECTORY", n.directory)), 0o644); err != nil {
		n.t.Fatal(err)
	}
	return path
}

func (n *nodeTest) run(words ...string) int {
	n.stdout.Reset()
	n.stderr.Reset()
	e := newEnvironment()
	e.stdout, e.stderr = &n.stdout, &n.stderr
	return run(context.Background(), e, append([]string{"slapos"}, words...))
}

// CLI-70, SLAP-61.
func TestNodeBang(t *testing.T) {
	n := newNodeTest(t)
	url := n.master()
	cfg := n.configuration("[slapos]\ncomputer_id = COMP-1\nmaster_url = " + url + "\nroot_check = false\n")
	for _, test := range []struct {
		words              []string
		status, code       int
		wantCall, wantText string
	}{
		{nil, 200, 0, "computer_id=COMP-1&message=None", "Bang with message None\n"},
		{[]string{"-m", "it's me"}, 200, 0, "computer_id=COMP-1&message=it%27s+me", "Bang with message \"it's me\"\n"},
		{[]string{"--message="}, 200, 0, "computer_id=COMP-1&message=", "Bang with message ''\n"},
		{nil, 404, 1, "computer_id=COMP-1&message=None", ""},
	} {
		n.status, n.calls = test.status, nil
		code := n.run(append([]string{"node", "bang", "--cfg", cfg}, test.words...)...)
		if code != test.code || n.stdout.String() != "Banging to '"+url+"'\n"+test.wantText {
			t.Errorf("%v: exit %d, %s%s", test, code, &n.stdout, &n.stderr)
		}
		if len(n.calls) == 0 || n.calls[0] != "POST /computerBang "+test.wantCall {
			t.Errorf("%v: calls %v", test, n.calls)
		}
	}
	for text, want := range map[string]string{
		"root_check = false":                                     "Missing mandatory parameters: computer_id, master_url",
		"root_check = false\nmaster_url = x":                     "Missing mandatory parameters: computer_id",
		"root_check = false\nmaster_url =\ncomputer_id = COMP-1": "Mandatory parameters present but empty: master_url",
	} {
		if code := n.run("node", "bang", "--cfg", n.configuration("[slapos]\n"+text+"\n")); code != 1 || !strings.Contains(n.stderr.String(), want) {
			t.Errorf("%q: exit %d, %s", text, code, &n.stderr)
		}
	}
}

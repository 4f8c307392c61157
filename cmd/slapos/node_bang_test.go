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

// A nodeTest runs node commands against a master that notes what it is told.
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

func TestNodePrune(t *testing.T) {
	n := newNodeTest(t)
	const basic = "[slapos]\nroot_check = false\nsoftware_root = DIRECTORY/soft\ninstance_root = DIRECTORY/inst\n"
	const shared = basic + "shared_part_list =\n  DIRECTORY/other\n  DIRECTORY/shared\n"
	part := filepath.Join(n.directory, "shared", "zlib", strings.Repeat("a", 32))
	nested := filepath.Join(n.directory, "inst", "slappart0", "etc", "slapos.cfg")
	used := filepath.Join(n.directory, "nested", "x", ".installed.cfg")
	for _, path := range []string{part, filepath.Dir(nested), filepath.Dir(used)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.WriteFile(nested, []byte(strings.ReplaceAll("[slapos]\nroot = DIRECTORY\nsoftware_root = %(root)s/nested\ninstance_root = /none\n", "DIRECTORY", n.directory)), 0o644)
	os.WriteFile(used, []byte(part), 0o644)

	expect := func(what string, code, wantCode int, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(n.stderr.String(), text) {
				t.Errorf("%s: no %q in %s", what, text, &n.stderr)
			}
		}
		if code != wantCode {
			t.Errorf("%s: exit %d, %s", what, code, &n.stderr)
		}
	}
	expect("no list", n.run("node", "prune", "--cfg", n.configuration(basic)), 255, "No shared_part_list options in slapos config")
	expect("nested use", n.run("node", "prune", "--cfg", n.configuration(shared)), 0, "Pruning shared directories at "+n.directory+"/shared")
	if !exists(part) {
		t.Fatal("a part that a nested node uses was removed")
	}
	os.Remove(used)
	pidFile := filepath.Join(n.directory, "slapgrid.pid")
	os.WriteFile(pidFile, []byte("99999999"), 0o644)
	cfg := n.configuration(shared + "pidfile_software = DIRECTORY/slapgrid.pid\n")
	expect("pid file", n.run("node", "prune", "--cfg", cfg), 255, "Cannot prune while software is running")
	expect("dry run", n.run("node", "prune", "--dry-run", "--cfg", cfg), 0, "Unused shared parts at "+part+"\n")
	if exists(pidFile) || !exists(part) {
		t.Error("after a dry run: pid file left, or the part removed")
	}
	expect("prune", n.run("node", "prune", "--cfg", cfg, "--additional-software-directory", "/none"), 0,
		"Additional software directory does not exist: /none", "Unused shared parts at "+part+" ... removed")
	if exists(pidFile) || exists(part) {
		t.Error("after prune: pid file or part left")
	}
}

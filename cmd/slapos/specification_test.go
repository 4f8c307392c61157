// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/cmd/slapos/argv"
	"slapos/slap"
)

// CLI-30: each command of the table is there, and has each option of its row.
func TestCommandTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## 3. Table of commands (CLI-30)")
	table, _, _ = strings.Cut(table, "\n## ")
	e, _, _ := newTestEnvironment(t)
	global := e.global.flags()
	known := newApplication(e).commands
	option := regexp.MustCompile(`--?[a-z][a-z_-]*`)
	rows := 0
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z][^|]*) \|([^|]*)\| (?:no|check|always) \|$`).FindAllStringSubmatch(table, -1) {
		group := ""
		for name := range strings.SplitSeq(row[1], ", ") {
			name, _, without := strings.Cut(name, " (no --cfg)")
			words := strings.Fields(name)
			if len(words) == 2 {
				group = words[0]
			} else if group != "" {
				words = []string{group, words[0]}
			}
			rows++
			_, command, _, err := argv.FindCommand(known, global, words)
			if err != nil || command == nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			spellings := []string{"-h", "--help"}
			for _, f := range append(slices.Clone(global), command.Flags...) {
				spellings = append(spellings, argv.Spelled(f)...)
			}
			wanted := append(option.FindAllString(row[2], -1), "--cfg")
			if without {
				wanted = wanted[:len(wanted)-1]
			}
			for _, o := range wanted {
				if strings.HasPrefix(o, "-") && !slices.Contains(spellings, o) {
					t.Errorf("%s has no %s", strings.Join(words, " "), o)
				}
			}
		}
	}
	if rows < 35 {
		t.Errorf("only %d commands in the table", rows)
	}
}

// CLI-31, CLI-35: what grid commands and others take, also without effect.
func TestAcceptedOptions(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	known := newApplication(e).commands
	const all = "--instance-root a --software-root a --master-url a --computer-id a --supervisord-socket a --supervisord-configuration-path a " +
		"--buildout a --pidfile a --key_file a --cert_file a --signature_private_key_file a --master_ca_file a --certificate_repository_path a " +
		"--maximum-periodicity 1 --promise-timeout 1 --partition-timeout 1 --now --maximal_delay 1 --debug --log-color "
	for words, want := range map[string]string{
		"node software " + all + "--buildout-debug --garbage-collect --force --all --logfile l": "",
		"node software " + all + "--only a":                                                     "",
		"node software " + all + "--only-sr a":                                                  "",
		"node instance " + all + "--buildout-debug --force-stop --force --all --log_file l":     "",
		"node instance " + all + "--only-cp a,b":                                                "",
		"node promise " + all + "--only a":                                                      "",
		"node report " + all:                                                                    "",
		"node report --usage-report-periodicity 1":                                              "unrecognized arguments",
		"node report --only a":                                                                  "unrecognized arguments",
		"node promise --force":                                                                  "unrecognized arguments",
		"node format -c a":                                                                      "",
		"node format --console a":                                                               "",
		"node boot -m a":                                                                        "",
		"console -u a":                                                                          "",
		"node instance --maximum-periodicity often --cfg a --partition-timeout 1 --force-stop --only-sr abc": "unrecognized arguments",
	} {
		if _, err := argv.Read(known, e.global.flags(), strings.Fields(words)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

// CLI-36: what is wrong is told in this order; the pid file goes with the work.
func TestGridOrder(t *testing.T) {
	n := newNodeTest(t)
	url := n.master()
	pid := filepath.Join(n.directory, "pid")
	const root = "root_check = false\n"
	rest := "master_url = " + url + "\ncomputer_id = C\ninstance_root = DIRECTORY\nsoftware_root = DIRECTORY\n"
	for _, test := range []struct{ text, want string }{
		{root, "Missing mandatory parameters: computer_id, instance_root, master_url, software_root"},
		{root + "key_file = /no/such/key\n", "Missing mandatory parameters: "},
		{root + strings.Replace(rest, "= C\n", "=\n", 1), "Mandatory parameters present but empty: computer_id"},
		{root + rest + "master_ca_file = /no/such/file\ncertificate_repository_path = /no/such\npidfile = /no/such/pid\n", "File '/no/such/file' does not exist."},
		{root + rest + "certificate_repository_path = /no/such/directory\npidfile = /no/such/pid\n", "Directory '/no/such/directory' does not exist"},
		{root + rest + "pidfile = /no/such/pid\n", "CRITICAL slapgrid could not write pidfile /no/such/pid"},
		{root + rest + "pidfile = " + pid + "\nforbid_supervisord_automatic_launch = true\n", ""},
	} {
		n.calls = nil
		code := n.run("node", "report", "--cfg", n.configuration("[slapos]\n"+test.text))
		if code != 1 || !strings.Contains(n.stderr.String(), test.want) {
			t.Errorf("%q: exit %d, %s", test.text, code, &n.stderr)
		}
		if (len(n.calls) > 0) != (test.want == "") {
			t.Errorf("%q: the master was asked %v", test.text, n.calls)
		}
	}
	if exists(pid) {
		t.Error("the pid file is left")
	}
}

// CLI-23 to CLI-25: which spelling of a key counts, and that [networkcache]
// wins over [slapos].
func TestKeySpellings(t *testing.T) {
	for key, want := range map[string]time.Duration{"partition_timeout": 7 * time.Second, "partition-timeout": 7 * time.Second, "partitiontimeout": 0} {
		if o, err := gridOptionsOf(t, map[string]string{key: "7"}); err != nil || o.Instance.PartitionTimeout != want {
			t.Errorf("%s: %v, %v", key, o.Instance.PartitionTimeout, err)
		}
	}
	if o, err := gridOptionsOf(t, map[string]string{"promise-timeout": "7"}); err != nil || o.Instance.PromiseTimeout != 20*time.Second {
		t.Errorf("promise-timeout: %v, %v", o.Instance.PromiseTimeout, err)
	}
	n := newNodeTest(t)
	n.run("node", "software", "--cfg", n.configuration("[slapos]\nroot_check = false\nmaster_url = http://127.0.0.1:1/\ncomputer_id = C\n"+
		"instance_root = DIRECTORY\nsoftware_root = DIRECTORY\nsignature_private_key_file = /second\nshadir-key-file = /third\n"+
		"[networkcache]\nshadir-key-file = /first\n"))
	if !strings.Contains(n.stderr.String(), "File '/first' does not exist.") {
		t.Error(&n.stderr)
	}
}

// CLI-44: a master that gives tokens.
func TestComputerToken(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hateoas/":
			fmt.Fprintf(w, `{"_links": {"self": {"href": "%s/hateoas"}, "raw_search": {"href": "x"}, "traverse": {"href": "x"}}}`, server.URL)
		case "/hateoas/computer_module/Base_getComputerToken":
			fmt.Fprint(w, `{"access_token": "T"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	n := newNodeTest(t)
	cfg := n.configuration("[slapos]\nmaster_url = " + server.URL + "\nmaster_rest_url = " + server.URL + "/hateoas\n")
	if code := n.run("computer", "token", "--cfg", cfg); code != 0 || n.stdout.String() != "Computer token: T\n" {
		t.Errorf("exit %d: %s%s", code, &n.stdout, &n.stderr)
	}
}

// consoleOf is a console before a master that answers 408 to requests and
// reports of errors, and keeps the software types that it was asked for.
func consoleOf(t *testing.T) (c *console, kinds *[]string, log io.Reader) {
	kinds = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*kinds = append(*kinds, r.FormValue("software_type"))
		w.WriteHeader(http.StatusRequestTimeout)
	}))
	t.Cleanup(server.Close)
	e, _, stderr := newTestEnvironment(t)
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	return newConsole(context.Background(), e, &client{master, nil}), kinds, stderr
}

// SLAP-42: who names no software type gets the default one; SLAP-58: what is
// not ready is told when something is asked of it.
func TestConsoleRequestsInVain(t *testing.T) {
	c, kinds, _ := consoleOf(t)
	if err := c.execute("s", "a = request('u', 'r')\nrequest('u', 'r', software_type=None)\nrequest('u', 'r', software_type='')\nrequest('u', 'r', software_type='t')\n"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(*kinds, []string{"default", "default", "", "t"}) {
		t.Errorf("types %q", *kinds)
	}
	for _, call := range []string{"getState()", "getInstanceGuid()", "getId()", "getConnectionParameterDict()", "getInstanceParameterDict()", "getSoftwareRelease()", "getType()"} {
		if err := c.execute("s", "request('u', 'r')."+call); err == nil {
			t.Errorf("%s: no error", call)
		}
	}
}

// SLAP-46: a report of an error that doesn't arrive is logged, others fail.
func TestConsoleErrorNeverFails(t *testing.T) {
	c, kinds, log := consoleOf(t)
	if err := c.execute("s", "slap.registerComputerPartition('C', 'p').error('broken')"); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(log); err != nil || len(*kinds) == 0 || !strings.Contains(string(text), "softwareInstanceError") {
		t.Errorf("log %s, %v", text, err)
	}
	if err := c.execute("s", "slap.registerComputerPartition('C', 'p').bang('m')"); err == nil {
		t.Error("no error of a bang")
	}
	if err := c.execute("s", "slap.registerSoftwareRelease('u').error('broken')"); err != nil {
		t.Error(err)
	}
	if text, err := io.ReadAll(log); err != nil || !strings.Contains(string(text), "computer_guid has not been defined.") {
		t.Errorf("log %s, %v", text, err)
	}
}

// SLAP-45: a release says what it knows, and fails for what it doesn't.
func TestConsoleRelease(t *testing.T) {
	c, _, _ := consoleOf(t)
	if err := c.execute("s", "r = slap.registerSoftwareRelease('u')\nif r.getURI() != 'u' or r.getState() != 'available': fail('wrong')"); err != nil {
		t.Error(err)
	}
	for code, want := range map[string]string{
		"slap.registerSoftwareRelease('u').getComputerId()": "computer_guid has not been defined.",
		"slap.registerSoftwareRelease('u').available()":     "computer_guid has not been defined.",
		"slap.registerSoftwareRelease('').getURI()":         "software_release has not been defined.",
		"slap.registerSoftwareRelease('').building()":       "software_release has not been defined.",
	} {
		if err := c.execute("s", code); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// CLI-41, CLI-43: a master that says "not yet".
func TestInfoNotReady(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestTimeout) }))
	t.Cleanup(server.Close)
	for kind, want := range map[string][2]string{
		"service":  {"", "Instance does not exist or is not ready yet."},
		"computer": {"Computer does not exist or is not ready yet.\n", ""},
	} {
		n := newNodeTest(t)
		path := n.configuration("[slapconsole]\n[slapos]\nmaster_url = " + server.URL + "\nmaster_rest_url = " + server.URL + "/hateoas\n")
		if code := n.run(kind, "info", "--cfg", path, "one"); code != 2 || n.stdout.String() != want[0] || !strings.Contains(n.stderr.String(), want[1]) {
			t.Errorf("%s: exit code %d\n%s\n%s", kind, code, &n.stdout, &n.stderr)
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
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

// CLI-31, CLI-35: options that grid commands and others accept, some without effect.
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

// CLI-36: errors are reported in this order; the pid file is removed with the work.
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

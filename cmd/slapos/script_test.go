// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"slapos/slap/testkit"
)

// TestMain makes the test binary the program slapos for scripts, and for what
// that starts under other names.
func TestMain(m *testing.M) {
	if program, err := os.Executable(); err == nil && filepath.Base(program) == "slapos" {
		main()
	}
	// The tests wait for processes most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(testkit.Tidy(m), map[string]func(){"slapos": main})
}

// TestScripts runs testdata/script: what a user would type, one behaviour in
// each file. Beside the commands of package testscript there are:
//
//	master          starts a master on a node with three partitions; sets
//	                MASTER_URL and the variables of both configurations
//	office          starts a web site that makes certificates for the token
//	                "good"; sets OFFICE_URL
//	freeport NAME   sets a variable to a port that nobody uses
//	waitport PORT   waits until somebody listens
//	exits CODE ...  runs a command that must end with this exit code
//
// TESTENV is the Python environment of the tests.
func TestScripts(t *testing.T) {
	t.Parallel()
	python := testkit.Python(t)
	// Without our own directory, the package leaves its own behind if -run
	// selects only some of the scripts.
	work, err := os.MkdirTemp("", "scripts")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = filepath.WalkDir(work, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				err = os.Chmod(path, 0o700) // releases are write-protected
			}
			return err
		})
		if err := os.RemoveAll(work); err != nil {
			t.Error(err)
		}
	})
	testscript.Run(t, testscript.Params{
		WorkdirRoot:         work,
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("TESTENV", filepath.Dir(filepath.Dir(python)))
			e.Setenv("NO_COLOR", "1")
			return os.Mkdir(e.Getenv("HOME"), 0o755)
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "namespaces":
				return testkit.HasNamespaces(), nil
			case "users": // of a namespace, for an ordinary one
				return testkit.HasUserNamespaces(), nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"master":   startMaster,
			"office":   startOffice,
			"receiver": startReceiver,
			"exits":    exits,
			"freeport": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], fmt.Sprint(freePort(ts)))
			},
			"waitport": func(ts *testscript.TestScript, _ bool, args []string) {
				port, err := strconv.Atoi(args[0])
				ts.Check(err)
				waitForPort(ts, port)
			},
		},
	})
}

// exits compares the exit code, and keeps the output for stdout and stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := err.(*exec.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// startMaster serves until the end of the script, with further lines of its section.
func startMaster(ts *testscript.TestScript, _ bool, lines []string) {
	port := freePort(ts)
	work := ts.Getenv("WORK")
	account, err := user.Current()
	ts.Check(err)
	var partitions strings.Builder
	for i := range 3 {
		fmt.Fprintf(&partitions, "[partition_%d]\nuser = %s\naddress = 127.0.1.%d/255.255.255.255\npathname = slappart%d\nnetwork_interface =\n", i, account.Username, i+1, i)
	}
	definition := filepath.Join(work, "definition.cfg")
	ts.Check(os.WriteFile(definition, []byte("[computer]\naddress = 127.0.0.1/255.255.255.255\n"+partitions.String()), 0o644))
	configuration := filepath.Join(work, "slapos.cfg")
	ts.Check(os.WriteFile(configuration, fmt.Appendf(nil, `[slapos]
computer_id = COMP-1
master_url = http://127.0.0.1:%[2]d
master_rest_url = http://127.0.0.1:%[2]d/hateoas
software_root = %[1]s/software
instance_root = %[1]s/instances
root_check = false
[slapformat]
input_definition_file = %[3]s
partition_amount = 3
alter_user = false
alter_network = false
create_tap = false
public_ipv4_service_list =
computer_xml = %[1]s/slapos.xml
[slapproxy]
host = 127.0.0.1
port = %[2]d
database_uri = %[1]s/proxy.db
software_product_list =
  hello %[1]s/hello.cfg
%[4]s
`, work, port, definition, strings.Join(lines, "\n")), 0o644))
	ts.Setenv("SLAPOS_CONFIGURATION", configuration)
	ts.Setenv("SLAPOS_CLIENT_CONFIGURATION", configuration)
	ts.Setenv("MASTER_URL", fmt.Sprintf("http://127.0.0.1:%d", port))
	startProxy(ts, configuration)
	waitForPort(ts, port)
	ts.Check(ts.Exec("slapos", "node", "format", "--now"))
}

// startProxy runs slapos proxy start until the end of the script.
func startProxy(ts *testscript.TestScript, configuration string) {
	program, err := exec.LookPath("slapos")
	ts.Check(err)
	proxy := exec.Command(program, "proxy", "start", "--cfg", configuration)
	log, err := os.Create(filepath.Join(ts.Getenv("WORK"), "proxy.log"))
	ts.Check(err)
	proxy.Stdout, proxy.Stderr = io.Discard, log
	ts.Check(proxy.Start())
	ts.Defer(func() {
		ts.Check(proxy.Process.Signal(os.Interrupt))
		ts.Check(proxy.Wait())
		log.Close()
	})
}

func freePort(ts *testscript.TestScript) int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer func() { ts.Check(listener.Close()) }()
	return listener.Addr().(*net.TCPAddr).Port
}

func waitForPort(ts *testscript.TestScript, port int) {
	var err error
	if !testkit.Await(context.Background(), testkit.Patience, func() bool {
		var connection net.Conn
		if connection, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			connection.Close()
		}
		return err == nil
	}) {
		ts.Fatalf("no master: %v", err)
	}
}

// startReceiver keeps what a webhook gets, a line for each request, in a file.
func startReceiver(ts *testscript.TestScript, _ bool, args []string) {
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = file.Write(append(body, '\n')) // the script finds what is missing
		}
	}))
	ts.Defer(func() { file.Close() })
	ts.Defer(server.Close)
	ts.Setenv("RECEIVER_URL", server.URL)
}

// startOffice serves what node register and configure client ask for.
func startOffice(ts *testscript.TestScript, _ bool, _ []string) {
	certificate := func(subject string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method != http.MethodPost || r.Header.Get("X-Access-Token") != "good":
				http.Error(w, "no", http.StatusForbidden)
			case r.FormValue("title") == "taken":
				http.Error(w, "Certificate still active.", http.StatusInternalServerError)
			default:
				fmt.Fprintf(w, `{"certificate": "Subject: %s\n-----BEGIN CERTIFICATE-----\n", "key": "-----BEGIN PRIVATE KEY-----\n"}`, subject)
			}
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/Person_getCertificate", certificate("CN=person"))
	mux.Handle("/Person_requestComputer", certificate("CN=COMP-777/emailAddress=admin@example.com"))
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv("OFFICE_URL", server.URL)
}

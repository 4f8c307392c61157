// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// pythons are one with slapos.core, and the same one without.
func pythons(t *testing.T) map[string]string {
	t.Helper()
	core := testkit.Python(t)
	base, err := exec.Command(core, "-c", "import sys; print(sys.base_prefix)").Output()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"core": core, "own": filepath.Join(strings.TrimSpace(string(base)), "bin", "python3")}
}

// runPython runs code as Become does, but as a child.
func runPython(t *testing.T, p Python, program, code string, environ ...string) (stdout, stderr string) {
	t.Helper()
	command := fmt.Sprintf(begin, 3)
	p.Programs = []string{program}
	source := &Program{Source: code, Arguments: []string{"-c"}}
	line := p.commandLine(source, command)
	text, err := p.payload(source, command)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "payload")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(t.Context(), line[0], line[1:]...)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NETRC=") }), environ...)
	cmd.Stdout, cmd.Stderr = &out, &errors
	_ = cmd.Run() // the log says why it failed
	return out.String(), errors.String()
}

// A listener notes the Authorization headers of requests, and answers them with
// the number 1, or sends them elsewhere.
type listener struct {
	*httptest.Server
	mu        sync.Mutex
	asked     []string
	elsewhere string
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, strings.Join(r.Header.Values("Authorization"), "; "))
	if l.elsewhere != "" {
		http.Redirect(w, r, l.elsewhere, http.StatusTemporaryRedirect)
		return
	}
	fmt.Fprint(w, "<marshal><int>1</int></marshal>")
}

func (l *listener) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := strings.Join(l.asked, ", ")
	l.asked = nil
	return asked
}

func listen(t *testing.T, address string, secure bool) *listener {
	t.Helper()
	l := new(listener)
	l.Server = httptest.NewUnstartedServer(l)
	l.Config.ErrorLog = log.New(io.Discard, "", 0)
	if address != "" {
		other, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Listener.Close()
		l.Listener = other
	}
	if secure {
		l.StartTLS()
	} else {
		l.Start()
	}
	t.Cleanup(l.Close)
	return l
}

const (
	askStatus  = "print(computer('C').getStatus())"
	askStarted = "slap.registerComputerPartition('C', 'p').started()"
	inName     = "X-SlapPartition computer_id=C, computer_partition_id=p"
)

// Both libraries check the server's certificate as the configuration says, and send
// the token to the master alone (D-16, CLI-112).
func TestConsoleTrust(t *testing.T) {
	t.Parallel()
	for name, program := range pythons(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master, other := listen(t, "", true), listen(t, "", true)
			authority := filepath.Join(t.TempDir(), "ca.pem")
			certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: master.Certificate().Raw})
			if err := os.WriteFile(authority, certificate, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct {
				name      string
				python    Python
				code      string
				elsewhere string
				want      string // printed
				asked     string // Authorization of the requests to the master
				other     string // and to the other server
			}{
				{name: "unknown authority", code: askStatus, want: "ConnectionError"},
				{name: "authority", python: Python{CAFile: authority, Token: "secret"}, code: askStatus, want: "1\n", asked: "Bearer secret"},
				{name: "insecure", python: Python{Insecure: true}, code: askStatus, want: "1\n"},
				{name: "in a partition's name", python: Python{CAFile: authority, Token: "secret"}, code: askStarted, asked: "Bearer secret; " + inName},
				{name: "without a token", python: Python{CAFile: authority}, code: askStarted, asked: inName},
				{
					name: "redirect", python: Python{CAFile: authority, Token: "secret"}, code: askStatus, elsewhere: other.URL + "/x",
					want: "1\n", asked: "Bearer secret", other: "",
				},
			} {
				test.python.MasterURL, test.python.RESTURL = master.URL+"/", "none"
				master.mu.Lock()
				master.elsewhere = test.elsewhere
				master.mu.Unlock()
				out, log := runPython(t, test.python, program, test.code, "HOME="+t.TempDir())
				if test.want == "ConnectionError" && !strings.Contains(log, "slapos.slap.exception.ConnectionError: ") {
					t.Errorf("%s: %s%s, want an error of the connection", test.name, out, log)
				} else if test.want != "ConnectionError" && (out != test.want || log != "") {
					t.Errorf("%s: %q %s, want %q", test.name, out, log, test.want)
				}
				if asked := master.take(); asked != test.asked {
					t.Errorf("%s: asked the master with %q, want %q", test.name, asked, test.asked)
				}
				if asked := other.take(); strings.Contains(asked, "secret") {
					t.Errorf("%s: asked another server with %q", test.name, asked)
				}
			}
		})
	}
}

// Logins in the URL and in .netrc are sent by both libraries, and IPv6 addresses
// need no brackets (SLAP-1, SLAP-5).
func TestConsoleLogins(t *testing.T) {
	t.Parallel()
	for name, program := range pythons(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			master := listen(t, "", false)
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, ".netrc"), []byte("machine 127.0.0.1 login me password p:ss\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			u, _ := url.Parse(master.URL)
			u.User = url.UserPassword("you", "a@b")
			for _, test := range []struct{ address, home, want string }{
				{master.URL, home, "Basic bWU6cDpzcw=="},
				{master.URL, t.TempDir(), ""},
				{u.String(), t.TempDir(), "Basic eW91OmFAYg=="},
			} {
				out, log := runPython(t, Python{MasterURL: test.address, RESTURL: "none"}, program, askStatus, "HOME="+test.home)
				if asked := master.take(); out != "1\n" || asked != test.want {
					t.Errorf("%s: %q %s, asked with %q, want %q", test.address, out, log, asked, test.want)
				}
			}
			t.Run("IPv6", func(t *testing.T) {
				testkit.IPv6(t)
				six := listen(t, "[::1]:0", false)
				_, port, _ := net.SplitHostPort(six.Listener.Addr().String())
				code := "slap.initializeConnection('http://::1:" + port + "', slapgrid_rest_uri='none')\n" + askStatus
				if out, log := runPython(t, Python{MasterURL: master.URL}, program, code, "HOME="+t.TempDir()); out != "1\n" {
					t.Errorf("IPv6: %q %s", out, log)
				}
			})
		})
	}
}

// A slapos.core that lacks what it needs is named, and the library of this program
// does its work.
func TestConsoleBrokenCore(t *testing.T) {
	t.Parallel()
	master := listen(t, "", false)
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "slapos", "slap"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"slapos/__init__.py": "", "slapos/slap/__init__.py": "import nothing_there\n"} {
		if err := os.WriteFile(filepath.Join(broken, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := pythons(t)["own"]
	out, log := runPython(t, Python{MasterURL: master.URL}, program, askStatus, "PYTHONPATH="+broken)
	if out != "1\n" || !strings.Contains(log, "WARNING The slapos.slap of "+program+" cannot be imported (No module named 'nothing_there')") {
		t.Errorf("%q %s", out, log)
	}
}

// What is secret is in the memory of the console alone: neither its command line
// nor its environment has it.
func TestConsoleSecrets(t *testing.T) {
	t.Parallel()
	for name, program := range pythons(t) {
		out, log := runPython(t, Python{MasterURL: "http://127.0.0.1:1/", Token: "sesame"}, program,
			"print(b'sesame' in open('/proc/self/cmdline', 'rb').read() + open('/proc/self/environ', 'rb').read(), "+
				"any('payload' in os.path.realpath('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd')))")
		if out != "False False\n" || log != "" {
			t.Errorf("%s: %q %s", name, out, log)
		}
	}
}

// Python programs are looked for in directories of PATH, not in the working
// directory, and each counts once.
func TestFindPythons(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := os.Mkdir(filepath.Join(directory, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(directory, "a", "python3")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(directory, "b", "python3")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "c", "python3"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path := strings.Join([]string{"", directory + "/d", directory + "/b", directory + "/a", directory + "/c"}, ":")
	if found := FindPythons(path); !slices.Equal(found, []string{directory + "/b/python3"}) {
		t.Errorf("found %q in %s", found, path)
	}
	if _, err := ConfiguredPython(t.Context(), "python3", path); err != nil {
		t.Error(err)
	}
	if _, err := ConfiguredPython(t.Context(), directory+"/c/python3", path); err == nil {
		t.Error("a file that isn't executable is no program")
	}
	// Others than Python are recognised before the console becomes one of them.
	for name, is := range map[string]bool{"/bin/true": false, "/bin/echo": false, "/bin/sh": false, filepath.Join(directory, "wrapper"): true} {
		if is {
			wrapper := "#!/bin/sh\nexec " + testkit.Program(t, "python3", "python3") + " \"$@\"\n"
			if err := os.WriteFile(name, []byte(wrapper), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ConfiguredPython(t.Context(), name, path); (err == nil) != is {
			t.Errorf("%s: %v", name, err)
		}
	}
}

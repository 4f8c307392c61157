// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"slapos/proxy/authority"
	"slapos/slap"
	"slapos/slap/testkit"
)

// joinTest is a master that machines join.
type joinTest struct {
	*testing.T
	configuration, url string
}

func newJoinTest(t *testing.T, host string) *joinTest {
	t.Helper()
	path, address := proxyConfiguration(t)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	text := testkit.ReadFile(t, path) + "host = " + host + "\nlisten_authority = true\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort(host, port)
	startProxyForTest(t, path)
	return &joinTest{t, path, "https://" + at}
}

// run runs a command at a time, and returns its exit code and all that it says.
func (j *joinTest) run(at time.Duration, words ...string) (code int, stdout, stderr string) {
	j.Helper()
	e, out, complaints := newTestEnvironment(j.T)
	e.now = func() time.Time { return time.Now().Add(at) }
	code = run(j.Context(), e, append([]string{"slapos"}, words...))
	return code, out.String(), complaints.String()
}

func (j *joinTest) must(words ...string) string {
	j.Helper()
	code, stdout, stderr := j.run(0, words...)
	if code != 0 {
		j.Fatalf("slapos %s: code %d\n%s%s", strings.Join(words, " "), code, stdout, stderr)
	}
	return stdout
}

// token makes a token, and returns the words that its line has after slapos.
func (j *joinTest) token(words ...string) []string {
	j.Helper()
	line := strings.Fields(j.must(append([]string{"proxy", "token", "node", "--cfg", j.configuration}, words...)...))
	if len(line) != 5 || line[0] != "slapos" || line[1] != "node" || line[2] != "join" {
		j.Fatalf("printed: %q", line)
	}
	return line[1:]
}

// on is what a command needs on a machine whose files are in a folder.
func on(folder string, words ...string) []string {
	return append(words, "--cfg", folder+"/slapos.cfg", "--only-files", "--slapos-directory", folder+"/opt")
}

func (j *joinTest) client(folder string) *slap.Client {
	j.Helper()
	text := testkit.ReadFile(j.T, folder+"/slapos.cfg")
	if !strings.Contains(text, "master_ca_file = "+folder+"/ssl/master.crt\n") {
		j.Fatalf("the configuration is\n%s", text)
	}
	client, err := slap.NewClient(slap.ClientConfig{MasterURL: j.url, CAFile: folder + "/ssl/master.crt", CertFile: folder + "/ssl/node.crt", KeyFile: folder + "/ssl/node.key", Timeout: time.Minute})
	if err != nil {
		j.Fatal(err)
	}
	j.Cleanup(func() { client.Close() })
	return client
}

func computerOf(t *testing.T, folder string) string {
	t.Helper()
	e, _, _ := newTestEnvironment(t)
	section, err := e.presentConfiguration(folder + "/slapos.cfg")
	if err != nil || section == nil {
		t.Fatalf("%s: %v", folder, err)
	}
	return section["computer_id"]
}

// TestNodeJoin has machines join at once with one token, over IPv4 and IPv6, renew,
// and leave (JOIN-30, JOIN-33).
func TestNodeJoin(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			if host == "::1" {
				testkit.IPv6(t)
			}
			j := newJoinTest(t, host)
			line := j.token()
			if line[2] != j.url {
				t.Errorf("the address printed is %s, not %s", line[2], j.url)
			}
			var joined sync.WaitGroup
			folders := make([]string, 4)
			for i := range folders {
				folders[i] = t.TempDir()
				joined.Go(func() {
					if code, _, stderr := j.run(0, on(folders[i], line...)...); code != 0 || !strings.Contains(stderr, "This machine is the node ") {
						t.Errorf("code %d, %s", code, stderr)
					}
				})
			}
			joined.Wait()
			names := map[string]bool{}
			for _, folder := range folders {
				name := computerOf(t, folder)
				names[name] = true
				if info, err := os.Stat(folder + "/ssl/node.key"); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the key: %v, %v", info, err)
				}
				j.must(on(folder, line...)...) // again
				if again := computerOf(t, folder); again != name {
					t.Errorf("%s is %s when it joins again", name, again)
				}
			}
			if len(names) != len(folders) {
				t.Errorf("the names are %v", names)
			}
			j.checkNode(folders[0], folders[1])
		})
	}
}

// checkNode has one node act, renew, and leave.
func (j *joinTest) checkNode(folder, other string) {
	j.Helper()
	ctx, name := j.Context(), computerOf(j.T, folder)
	client := j.client(folder)
	description := slap.Dict{"reference": name, "address": "10.0.0.1", "netmask": "255.0.0.0", "partition_list": []any{}}
	if _, err := client.LoadComputerConfiguration(ctx, description); err != nil {
		j.Errorf("it formats itself: %v", err)
	}
	if _, err := client.FullComputerInformation(ctx, name); err != nil {
		j.Error(err)
	}
	if _, err := client.FullComputerInformation(ctx, computerOf(j.T, other)); err == nil {
		j.Error("it reads another node")
	}
	before := testkit.ReadFile(j.T, folder+"/ssl/node.crt")
	j.must("node", "renew", "--cfg", folder+"/slapos.cfg")
	if testkit.ReadFile(j.T, folder+"/ssl/node.crt") != before {
		j.Error("a new certificate is renewed")
	}
	j.must("node", "renew", "--now", "--cfg", folder+"/slapos.cfg")
	if testkit.ReadFile(j.T, folder+"/ssl/node.crt") == before {
		j.Error("it isn't renewed")
	}
	if _, err := client.FullComputerInformation(ctx, name); err != nil {
		j.Error(err)
	}
	j.must("node", "leave", "--cfg", folder+"/slapos.cfg")
	testkit.MustNotExist(j.T, folder+"/ssl/node.key")
	testkit.MustNotExist(j.T, folder+"/slapos.cfg")
	j.must("node", "leave", "--cfg", folder+"/slapos.cfg")

	// Revoked by its owner, as seen by another program.
	second := computerOf(j.T, other)
	j.must("proxy", "revoke", second, "--cfg", j.configuration)
	testkit.Eventually(j.T, testkit.Patience, "the revocation counts", func() bool {
		code, _, stderr := j.run(0, "node", "renew", "--now", "--cfg", other+"/slapos.cfg")
		return code == 1 && strings.Contains(stderr, "refuses: This certificate was revoked")
	})
	j.must("node", "leave", "--cfg", other+"/slapos.cfg")
}

// TestNodeJoinRefuses: one line says what is wrong, and nothing is left that the next
// try stumbles over (JOIN-31).
func TestNodeJoinRefuses(t *testing.T) {
	t.Parallel()
	j := newJoinTest(t, "127.0.0.1")
	good, other := j.token(), newJoinTest(t, "127.0.0.1").token()
	one, revoked := j.token("--uses", "1"), j.token()
	j.must(on(t.TempDir(), append(one, "--computer-id", "taken")...)...)
	j.must("proxy", "token", "revoke", strings.Split(revoked[3], ".")[2], "--cfg", j.configuration)
	_, line, _ := j.run(-2*time.Hour, "proxy", "token", "node", "--cfg", j.configuration)
	expired := strings.Fields(line)[1:]
	user := strings.TrimSpace(j.must("proxy", "token", "user", "--cfg", j.configuration))
	withCertificate := strings.TrimSpace(j.must("proxy", "token", "user", "--uses", "1", "--cfg", j.configuration))
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for name, c := range map[string]struct {
		at    time.Duration
		words []string
		want  string
	}{
		"expired":       {0, expired, "oken has expired"},
		"used up":       {0, one, "oken is used up"},
		"revoked":       {0, revoked, "oken was revoked"},
		"pinned else":   {0, []string{"node", "join", good[2], other[3]}, "the master that answers is not the one that made this token"},
		"taken":         {0, append(good[:4:4], "--computer-id", "taken"), "is taken"},
		"the master's":  {0, append(good[:4:4], "--computer-id", "C"), "is taken"},
		"a bad name":    {0, append(good[:4:4], "--computer-id", "a/b"), "is taken"},
		"a late clock":  {time.Hour, good, "the clock of this machine says"},
		"an early one":  {-time.Hour / 2, good, "the clock of this machine says"},
		"far too early": {-48 * time.Hour, good, "the clock of this machine says"},
		"unreachable":   {0, []string{"node", "join", "https://127.0.0.1:1", good[3]}, "can't be reached: connect: connection refused"},
		"no name":       {0, []string{"node", "join", strings.Replace(good[2], "127.0.0.1", "127.0.0.2", 1), good[3]}, ""},
		"without TLS":   {0, []string{"node", "join", strings.Replace(plain.URL, "http:", "https:", 1), good[3]}, "answers without TLS"},
		"a user's":      {0, []string{"node", "join", good[2], user}, "is used up"},
		"another role":  {0, []string{"node", "join", good[2], withCertificate}, "this token is for a user"},
		"no token":      {0, []string{"node", "join", good[2], "S1.x"}, "argument TOKEN: this is no token"},
		"no https":      {0, []string{"node", "join", plain.URL, good[3]}, "must begin with https"},
		"no address":    {0, []string{"node", "join", "https:///", good[3]}, "must be like https://10.0.0.1"},
	} {
		folder := t.TempDir()
		code, stdout, stderr := j.run(c.at, on(folder, c.words...)...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if code == 0 || stdout != "" || !strings.Contains(lines[len(lines)-1], c.want) || code == 1 && len(lines) != 1 {
			t.Errorf("%s: code %d, %s%s", name, code, stdout, stderr)
		}
		if strings.Contains(stderr, strings.Split(good[3], ".")[3]) {
			t.Errorf("%s: the secret is told: %s", name, stderr)
		}
		testkit.MustNotExist(t, folder+"/slapos.cfg")
		if code == 1 {
			j.must(on(folder, good...)...) // it goes on from there
		}
	}
	// The configuration of another master stays, unless the user says otherwise.
	folder := t.TempDir()
	testkit.WriteFile(t, folder+"/slapos.cfg", "[slapos]\nmaster_url = https://other.example\ncomputer_id = x\n")
	if code, _, stderr := j.run(0, on(folder, good...)...); code != 1 || !strings.Contains(stderr, "is of the master https://other.example: give --force") {
		t.Errorf("code %d, %s", code, stderr)
	}
	j.must(append(on(folder, good...), "--force")...)
	if kept := testkit.ReadFile(t, folder+"/slapos.cfg.old"); !strings.Contains(kept, "other.example") {
		t.Errorf("kept: %s", kept)
	}
	if code, _, stderr := j.run(0, append(on(folder, good...), "--computer-id", "other")...); code != 1 || !strings.Contains(stderr, "has joined") {
		t.Errorf("by another name: %d, %s", code, stderr)
	}
}

// TestNodeJoinKilled kills a machine that joins at any moment; the same line, said
// again, ends what it began, and each machine has used its token once (JOIN-32).
func TestNodeJoinKilled(t *testing.T) {
	t.Parallel()
	j := newJoinTest(t, "127.0.0.1")
	program := filepath.Join(t.TempDir(), "slapos")
	if err := copyFile(testProgram(t), program); err != nil {
		t.Fatal(err)
	}
	rounds := testkit.Rounds(12)
	line := j.token("--uses", fmt.Sprint(rounds))
	killed := 0
	for range rounds {
		folder := t.TempDir()
		words := on(folder, line...)
		for range 3 {
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(rand.IntN(200))*time.Millisecond)
			command := exec.CommandContext(ctx, program, words...) // killed at the end of ctx
			command.Env = append(os.Environ(), "HOME="+folder)
			if command.Run() != nil {
				killed++
			}
			stop()
		}
		j.must(words...)
		name := computerOf(t, folder)
		if _, err := j.client(folder).FullComputerInformation(t.Context(), name); err != nil && strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var listed struct {
		Tokens []struct {
			Uses int
		}
	}
	if err := json.Unmarshal([]byte(j.must("proxy", "token", "list", "--json", "--cfg", j.configuration)), &listed); err != nil || listed.Tokens[0].Uses != 0 {
		t.Errorf("%+v, %v: each machine uses the token once", listed, err)
	}
	if code, _, stderr := j.run(0, on(t.TempDir(), line...)...); code != 1 || !strings.Contains(stderr, "used up") {
		t.Errorf("one more: %d, %s", code, stderr)
	}
	t.Logf("killed %d times", killed)
}

// TestAuthorityRoles: what the configuration lets in besides stays: but a
// certificate of the authority has its role alone, even where listen_client_ca_file
// names the authority (JOIN-24).
func TestAuthorityRoles(t *testing.T) {
	t.Parallel()
	path, address := proxyConfiguration(t)
	folder := filepath.Dir(path)
	host := strings.TrimPrefix(address, "http://")
	tokens := testkit.WriteFile(t, folder+"/tokens", "owner\n")
	office, err := authority.Open(folder+"/authority", authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := testkit.ReadFile(t, path) + "listen_authority = true\nlisten_client_ca_file = " + office.File() + "\nlisten_token_file = " + tokens + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxyForTest(t, path)
	j := &joinTest{t, path, "https://" + host}
	node := t.TempDir()
	j.must(on(node, j.token()...)...)
	certificate, err := tls.LoadX509KeyPair(node+"/ssl/node.crt", node+"/ssl/node.key")
	if err != nil {
		t.Fatal(err)
	}
	status := func(path, token string, certificates ...tls.Certificate) int {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: office.Pool(), Certificates: certificates}}}
		defer client.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, j.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	user := strings.TrimSpace(j.must("proxy", "token", "user", "--cfg", path))
	reader := strings.TrimSpace(j.must("proxy", "token", "read-only", "--cfg", path))
	for _, c := range []struct {
		name, path, token string
		certificates      []tls.Certificate
		want              int
	}{
		{"nobody", "/panel/", "", nil, 401},
		{"the owner", "/panel/", "owner", nil, 200},
		{"a node", "/panel/", "", []tls.Certificate{certificate}, 403},
		{"a node with the owner's token", "/panel/", "owner", []tls.Certificate{certificate}, 200},
		{"a wrong token", "/panel/", "other", nil, 401},
		{"a user", "/panel/request", user, nil, 200},
		{"a user on a node", "/panel/", user, []tls.Certificate{certificate}, 200},
		{"a reader", "/panel/", reader, nil, 200},
		{"a reader who requests", "/panel/request", reader, nil, 403},
		{"a reader of metrics", "/metrics", reader, nil, 200},
		{"nobody's life sign", "/healthz", "", nil, 200},
	} {
		if got := status(c.path, c.token, c.certificates...); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

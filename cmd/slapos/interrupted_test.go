// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/proxy/authority"
	"slapos/slap/testkit"
)

// silence is a server that takes connections and says nothing; the first one has
// Ctrl-C pressed.
func silence(t *testing.T, pressed func()) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { connection.Close() })
			pressed()
		}
	}()
	return listener.Addr().String()
}

// pressing is an input that nobody writes to; who reads it has Ctrl-C pressed.
type pressing struct {
	io.Reader
	pressed func()
}

func (p pressing) Read(into []byte) (int, error) {
	p.pressed()
	return p.Reader.Read(into)
}

// unwaiting are the commands that wait for nobody, or whose waiting another test
// interrupts, with the reason.
var unwaiting = map[string]string{
	"cache check": "reads what is kept", "cache conf": "writes a file", "cache generate-signature-key": "writes files", "cache start": "a server: Ctrl-C is its end",
	"complete": "prints", "help": "prints", "configure local": "starts others, which tell", "node collect": "measures",
	"console": "console_terminal.txt", "node boot": "repeats, until it succeeds", "node join": "TestInterruptedJoin",
	"node agent": "a server: Ctrl-C is its end", "node prune": "reads files", "node leave": "needs certificates: as node renew",
	"node renew": "needs certificates: as node join", "node promise": "runs the node's own",
	"node restart": "speaks to the supervisor", "node start": "speaks to the supervisor", "node stop": "speaks to the supervisor",
	"node status": "speaks to the supervisor", "node tail": "as supervisorctl, ends with its own code", "node supervisorctl": "has a prompt of its own",
	"node supervisord": "a server: Ctrl-C is its end", "proxy backup": "reads a file", "proxy check": "reads a file", "proxy migrate": "copies",
	"proxy restore": "copies", "proxy revoke": "writes a row", "proxy show": "reads a file", "proxy start": "a server: Ctrl-C is its end",
	"proxy token": "writes a row", "standalone shell": "the shell has its own", "standalone start": "TestStandaloneInterrupted",
	"standalone status": "reads files", "standalone stop": "waits for a supervisor",
}

// TestInterruptedEverywhere: Ctrl-C ends every command that waits with 130 and that
// one line (CLI-14).
func TestInterruptedEverywhere(t *testing.T) {
	t.Parallel()
	release := "http://r/software.cfg"
	waiting := map[string][]string{
		"cache download":        {"-k", "key", "-c", "NODE"},
		"cache fetch":           {"http://SILENCE/x", "-o", "FOLDER/out", "--cfg", "NODE"},
		"cache fetch-shared":    {"--slapos-configuration", "NODE", "--destination", "FOLDER/out"},
		"cache put":             {"http://x/y", "FOLDER/file", "--cfg", "NODE"},
		"cache share":           {"--slapos-configuration", "NODE", "--file", "FOLDER/file"},
		"cache upload":          {"-k", "key", "-f", "FOLDER/file", "-c", "NODE", "a=b"},
		"cachelookup binary-sr": {release, "--cfg", "NODE"},
		"cachelookup pypi":      {"a", "1", "--cfg", "NODE"},
		"cachelookup url":       {release, "--cfg", "NODE"},
		"computer events":       {"C", "--cfg", "CLIENT"},
		"computer info":         {"C", "--cfg", "CLIENT"},
		"computer list":         {"--cfg", "CLIENT"},
		"computer log":          {"C", release, "--cfg", "CLIENT"},
		"computer token":        {"--cfg", "CLIENT"},
		"configure check":       {"--cfg", "NODE"},
		"configure client":      {"--master-url-web", "http://SILENCE", "--cfg", "FOLDER/new.cfg"},
		"doctor":                {"FOLDER/bundle", "--cfg", "NODE"},
		"node bang":             {"--cfg", "NODE"},
		"node format":           {"--now", "--cfg", "NODE"},
		"node instance":         {"--now", "--cfg", "NODE"},
		"node register":         {"name", "--master-url-web", "http://SILENCE", "--token", "t", "--cfg", "FOLDER/new.cfg"},
		"node report":           {"--now", "--cfg", "NODE"},
		"node software":         {"--now", "--cfg", "NODE"},
		"remove":                {release, "C", "--cfg", "CLIENT"},
		"request":               {"r", release, "--cfg", "CLIENT"},
		"service events":        {"r", "--cfg", "CLIENT"},
		"service info":          {"r", "--cfg", "CLIENT"},
		"service list":          {"--cfg", "CLIENT"},
		"service log":           {"r", "--cfg", "CLIENT"},
		"service restart":       {"r", "--cfg", "CLIENT"},
		"status":                {"--cfg", "CLIENT"},
		"supply":                {release, "C", "--cfg", "CLIENT"},
	}
	known, _, _ := newTestEnvironment(t)
	names := newApplication(known).names()
	for _, name := range names {
		if _, waits := waiting[name]; waits == (unwaiting[name] != "") {
			t.Errorf("slapos %s: say here how it is interrupted, or why it never waits", name)
		}
	}
	for name, words := range waiting {
		if !slices.Contains(names, name) {
			t.Errorf("there is no slapos %s", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
			defer cancel()
			server := silence(t, cancel)
			folder := t.TempDir()
			client := testkit.WriteFile(t, folder+"/client.cfg", "[slapos]\nmaster_url = http://"+server+"\nmaster_rest_url = http://"+server+"/hateoas\n")
			cache := "http://" + server + "/shacache"
			key, certificate := selfSigned(t, folder)
			node := testkit.WriteFile(t, folder+"/slapos.cfg", strings.NewReplacer("SERVER", server, "FOLDER", folder, "CACHE", cache, "KEY", key, "CERTIFICATE", strings.ReplaceAll(strings.TrimSpace(certificate), "\n", "\n  ")).Replace(`[slapos]
computer_id = C
master_url = http://SERVER
software_root = FOLDER/soft
instance_root = FOLDER/inst
root_check = false
forbid_supervisord_automatic_launch = true
pidfile = FOLDER/pid
[slapformat]
partition_amount = 0
computer_xml = FOLDER/computer.xml
input_definition_file = FOLDER/definition.cfg
alter_user = false
alter_network = false
create_tap = false
[networkcache]
download-cache-url = CACHE
download-dir-url = CACHE
upload-cache-url = CACHE
upload-dir-url = CACHE
download-binary-cache-url = CACHE
download-binary-dir-url = CACHE
signature-private-key-file = KEY
signature-certificate-list =
  CERTIFICATE
[shacache]
key = somekey
download-cache-url = CACHE
download-dir-url = CACHE
upload-cache-url = CACHE
upload-dir-url = CACHE
signature-private-key-file = KEY
signature-certificate-list =
  CERTIFICATE
`))
			testkit.WriteFile(t, folder+"/definition.cfg", "[computer]\naddress = 127.0.0.1/255.0.0.0\n")
			testkit.WriteFile(t, folder+"/file", "content")
			for _, directory := range []string{"soft", "inst"} {
				if err := os.Mkdir(filepath.Join(folder, directory), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			e, _, complaints := newTestEnvironment(t)
			silent, _ := io.Pipe()
			e.stdin = pressing{silent, cancel}
			line := append([]string{"slapos"}, strings.Fields(name)...)
			for _, word := range words {
				line = append(line, strings.NewReplacer("NODE", node, "CLIENT", client, "FOLDER", folder, "SILENCE", server).Replace(word))
			}
			code := run(ctx, e, line)
			var errors []string
			for line := range strings.Lines(complaints.String()) {
				if strings.Contains(line, " ERROR ") || strings.Contains(line, " CRITICAL ") {
					errors = append(errors, line)
				}
			}
			if code != 130 || len(errors) != 1 || !strings.HasSuffix(errors[0], "ERROR interrupted\n") {
				t.Errorf("exit code %d\n%s", code, complaints)
			}
		})
	}
}

// selfSigned makes a key file and a certificate that signs for a cache.
func selfSigned(t *testing.T, folder string) (keyFile, certificate string) {
	t.Helper()
	e, _, complaints := newTestEnvironment(t)
	keyFile = filepath.Join(folder, "signature.key")
	if code := run(t.Context(), e, []string{"slapos", "cache", "generate-signature-key", keyFile, "C", "--cert-file", keyFile + ".crt"}); code != 0 {
		t.Fatal(complaints)
	}
	return keyFile, testkit.ReadFile(t, keyFile+".crt")
}

// TestInterruptedJoin: the commands that speak by a pin or a certificate.
func TestInterruptedJoin(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder+"/ssl", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node.crt", "master.crt"} {
		testkit.WriteFile(t, folder+"/ssl/"+name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	testkit.WriteFile(t, folder+"/ssl/node.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	for _, words := range [][]string{
		{"node", "join", "https://SILENCE", authority.NewToken(authority.Pin{1}).String(), "--cfg", t.TempDir() + "/slapos.cfg"},
		{"node", "renew", "--now", "--cfg", folder + "/slapos.cfg"},
		{"node", "leave", "--cfg", folder + "/slapos.cfg"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		server := silence(t, cancel)
		testkit.WriteFile(t, folder+"/slapos.cfg", "[slapos]\ncomputer_id = C\nmaster_url = https://"+server+"\ncert_file = "+folder+"/ssl/node.crt\nkey_file = "+
			folder+"/ssl/node.key\nmaster_ca_file = "+folder+"/ssl/master.crt\n")
		e, _, complaints := newTestEnvironment(t)
		line := []string{"slapos"}
		for _, word := range words {
			line = append(line, strings.ReplaceAll(word, "SILENCE", server))
		}
		if code := run(ctx, e, line); code != 130 || strings.Count(complaints.String(), "ERROR") != 1 || !strings.HasSuffix(complaints.String(), "ERROR interrupted\n") {
			t.Errorf("%s: exit code %d\n%s", strings.Join(words[:2], " "), code, complaints)
		}
		cancel()
	}
}

// TestStandaloneInterrupted: the children that a start waits for are killed, which is
// no reason of its own.
func TestStandaloneInterrupted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	server := silence(t, cancel)
	host, port, _ := net.SplitHostPort(server)
	python := filepath.Join(folder, "python3")
	if err := os.WriteFile(python, []byte("#!/bin/bash\nexec 3<>/dev/tcp/"+host+"/"+port+"\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e, _, complaints := newTestEnvironment(t)
	e.uid = 1000
	if code := run(ctx, e, []string{"slapos", "standalone", "start", "--root", folder + "/cloud", "--python", python}); code != 130 || !strings.HasSuffix(complaints.String(), "ERROR interrupted\n") {
		t.Errorf("exit code %d\n%s", code, complaints)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/cmd/slapos/pytext"
	"slapos/proxy"
	"slapos/slap/testkit"
)

func parsed(t *testing.T, text string) *pytext.Configuration {
	t.Helper()
	c, err := pytext.ParseConfiguration("test.cfg", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestProxySettings goes through PROXY-2 and CLI-26.
func TestProxySettings(t *testing.T) {
	c := parsed(t, `
[slapproxy]
port = 1
database_uri = a.db
shacache-content-directory = /content
[other]
host = ignored
[slapos]
computer_id = C
port = 2
database_uri = b.db
`)
	got, err := proxySettings(c, map[string]string{"database_uri": "given.db", "host": ""})
	want := map[string]string{"port": "1", "database_uri": "given.db", "computer_id": "C", "host": "127.0.0.1", "shacache_content_directory": "/content"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := proxySettings(parsed(t, "[slapos]\n"), map[string]string{}); err == nil || !strings.HasPrefix(err.Error(), "database-uri is required: set database_uri in section [slapproxy] of ") {
		t.Errorf("no database: %v", err)
	}
}

// TestExternalMasters goes through PROXY-3 and CLI-26.
func TestExternalMasters(t *testing.T) {
	got, err := externalMasters(parsed(t, `
[multimaster/https://one/]
key = k
cert = c
software_release_list =
  http://a
  /b
[multimaster/http://two]
computer = X
partition = Y
`))
	want := []proxy.Master{
		{URL: "https://one/", Key: "k", Certificate: "c", Releases: []string{"http://a", "/b"}},
		{URL: "http://two", Computer: "X", Partition: "Y"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestSoftwareProducts(t *testing.T) {
	got, err := softwareProducts("\nkvm http://x\n\nweb http://y\n")
	if want := map[string]string{"kvm": "http://x", "web": "http://y"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"kvm", "kvm http://x y"} {
		if _, err := softwareProducts(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// proxyConfiguration writes a configuration for a free port.
func proxyConfiguration(t *testing.T) (path, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	folder := t.TempDir()
	path = filepath.Join(folder, "slapos.cfg")
	text := fmt.Sprintf("[slapos]\ncomputer_id = C\n[slapproxy]\nport = %d\ndatabase_uri = %s/proxy.db\nlog_file = %s/proxy.log\n",
		listener.Addr().(*net.TCPAddr).Port, folder, folder)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, "http://" + listener.Addr().String()
}

// TestProxyStartAndShow starts a proxy, asks it something, stops it, and looks
// into its database.
// PROXY-1: in the foreground, until it is told to stop.
func TestProxyStartAndShow(t *testing.T) {
	path, address := proxyConfiguration(t)
	ctx, stop := context.WithCancel(t.Context())
	var complaints bytes.Buffer
	e := newEnvironment()
	e.stderr = &complaints
	access := filepath.Join(filepath.Dir(path), "access.log")
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, e, []string{"slapos", "proxy", "start", "--cfg", path, "--access-log", access})
	}()
	testkit.Eventually(t, testkit.Patience, "the proxy answers", func() bool {
		response, err := http.Get(address + "/getRunId")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d:\n%s", code, &complaints)
	}
	for file, want := range map[string]string{access: `"GET /getRunId HTTP/1.1" 200 32 `, filepath.Join(filepath.Dir(path), "proxy.log"): "] INFO     Running on " + address} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	n := newNodeTest(t)
	if code := n.run("proxy", "show", "--cfg", path, "--computers", "--network"); code != 0 {
		t.Errorf("exit code %d:\n%s", code, &n.stderr)
	}
	if want := "Using database: " + filepath.Dir(path) + "/proxy.db\ntable computer18: empty\n \n"; n.stdout.String() != want {
		t.Errorf("got %q, want %q", &n.stdout, want)
	}
}

// PROXY-1: the configuration that the environment names, and each option.
func TestProxyStartOptions(t *testing.T) {
	path, address := proxyConfiguration(t)
	other := filepath.Join(t.TempDir(), "other.db")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	text := strings.Replace(testFile(t, path), "port = "+port, "port = 1\nhost = 192.0.2.1", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	e := newEnvironment()
	var complaints bytes.Buffer
	e.stderr = &complaints
	e.getenv = func(name string) string {
		if name == "SLAPOS_CONFIGURATION" {
			return path
		}
		return os.Getenv(name)
	}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, e, []string{"slapos", "proxy", "start", "--database-uri", other, "--port", port, "--host", "127.0.0.1", "--local-software-release-root", "/srv"})
	}()
	testkit.Eventually(t, testkit.Patience, "the proxy answers", func() bool {
		response, err := http.Get(address + "/getFullComputerInformation?computer_id=C") // the file's
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d:\n%s", code, &complaints)
	}
	database, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	var root string
	if err := database.QueryRowContext(t.Context(), "SELECT value FROM config18").Scan(&root); err != nil || root != "/srv" {
		t.Errorf("root %q, %v", root, err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "proxy.db")); err == nil {
		t.Error("the database of the configuration is made")
	}
}

func testFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProxyStartRefuses tells in one line what can't be used.
// PROXY-1: with --port and --database-uri.
func TestProxyStartRefuses(t *testing.T) {
	path, address := proxyConfiguration(t)
	taken, err := net.Listen("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	damaged := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte("no database "), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		want  string
	}{
		{nil, "is in use by another program"},
		{[]string{"--port", "0", "--database-uri", "/nonexistent/proxy.db"}, "database /nonexistent/proxy.db"},
		{[]string{"--port", "0", "-u", damaged}, "is damaged or no SQLite database"},
		{[]string{"--port", "0", "--access-log", "/nonexistent/log"}, "access log: "},
	} {
		n := newNodeTest(t)
		code := n.run(append([]string{"proxy", "start", "--cfg", path}, c.words...)...)
		text := strings.TrimSpace(n.stderr.String())
		if code != 1 || !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
			t.Errorf("%v: exit code %d, %q", c.words, code, text)
		}
	}
}

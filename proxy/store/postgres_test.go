// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"slapos/slap/testkit"
)

// server is the PostgreSQL of this test run, started when first needed.
var server struct {
	sync.Once
	port    int
	err     error
	command *exec.Cmd
	folder  string
}

var databases atomic.Int64

func TestMain(m *testing.M) {
	if uri := os.Getenv(requestVariable); uri != "" {
		if err := requestMany(uri); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if uri := os.Getenv(migrateVariable); uri != "" {
		if err := migrateOnce(uri); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(testkit.Tidy(withServer{m}).Run())
}

// withServer ends the server that the tests have shared.
type withServer struct{ tests *testing.M }

func (r withServer) Run() int {
	code := r.tests.Run()
	if server.command != nil {
		_ = server.command.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = server.command.Wait()
	}
	if server.folder != "" {
		os.RemoveAll(server.folder)
	}
	return code
}

// asUser runs a command as another user if we are root, since PostgreSQL
// refuses to run as root.
func asUser(command *exec.Cmd) *exec.Cmd {
	if os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return command
}

func startServer(programs string) error {
	var err error
	if server.folder, err = os.MkdirTemp("", "slapos-postgres-"); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(server.folder, 65534, 65534); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server.port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	data := filepath.Join(server.folder, "data")
	initdb := asUser(exec.Command(filepath.Join(programs, "initdb"), "-D", data, "-U", "slapos", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"))
	initdb.Dir = server.folder
	if output, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, output)
	}
	command := asUser(exec.Command(filepath.Join(programs, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(server.port),
		"-k", server.folder, "-c", "fsync=off"))
	command.Dir = server.folder
	if err := command.Start(); err != nil {
		return err
	}
	server.command = command
	return nil
}

// postgresURI returns the address of a new, empty database.
func postgresURI(t *testing.T) string {
	t.Helper()
	programs := testkit.PostgreSQL(t)
	server.Do(func() { server.err = startServer(programs) })
	if server.err != nil {
		t.Fatal(server.err)
	}
	address := func(name string) string {
		return fmt.Sprintf("postgres://slapos@127.0.0.1:%d/%s?sslmode=disable", server.port, name)
	}
	pool, err := sql.Open("pgx", address("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	testkit.Eventually(t, testkit.Patience, "the database answers",
		func() bool { err = pool.PingContext(t.Context()); return err == nil }, func() any { return err })
	name := fmt.Sprintf("proxy%d", databases.Add(1))
	if _, err := pool.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return address(name)
}

// D-9: PostgreSQL does what SQLite does, for several programs at once.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	contract(t, postgresURI)
}

// TestServerRestart goes on when the server has closed all connections.
func TestServerRestart(t *testing.T) {
	l := newLab(t, postgresURI, 3)
	l.request(order("a"))
	pool, err := sql.Open("pgx", l.uri)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 2 {
		if _, err := pool.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		l.equal("read", l.at("slappart0").Title, "a")
		if _, err := l.NodeVersion(l.ctx, "c"); err != nil {
			t.Error(err)
		}
		l.request(order("b"))
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"slapos/slap/testkit"
)

// postgresAddress starts a server of PostgreSQL, which listens on a socket in
// its own folder.
func postgresAddress(t *testing.T) string {
	t.Helper()
	programDirectory := testkit.PostgreSQL(t)
	folder, err := os.MkdirTemp("", "slapos-postgres-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	command := func(name string, arguments ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(programDirectory, name), arguments...)
		c.Dir = folder
		if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		return c
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(folder, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(folder, "data")
	if output, err := command("initdb", "-D", data, "-U", "slapos", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
	var log strings.Builder
	server := command("postgres", "-D", data, "-h", "", "-k", folder, "-c", "fsync=off")
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT) // fast shutdown
		_ = server.Wait()
		if t.Failed() {
			t.Logf("postgres:\n%s", &log)
		}
	})
	address := fmt.Sprintf("postgres:///postgres?host=%s&user=slapos", folder)
	awaitDatabase(t, address)
	return address
}

func awaitDatabase(t *testing.T, address string) {
	t.Helper()
	pool, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	testkit.Eventually(t, testkit.Patience, "the database answers",
		func() bool { err = pool.PingContext(t.Context()); return err == nil }, func() any { return err })
}

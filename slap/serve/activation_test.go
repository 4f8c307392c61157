// SPDX-License-Identifier: GPL-3.0-or-later

package serve_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// TestActivation uses a socket from systemd, and notifies systemd when it is
// ready and when it stops.
func TestActivation(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	handed, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer handed.Close()
	folder, err := os.MkdirTemp("", "notify") // short: it becomes an address
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// LISTEN_PID must be its own process number: the shell becomes the server.
	command := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, program)
	command.Env = append(os.Environ(), serveVariable+"=1", "LISTEN_FDS=1",
		"NOTIFY_SOCKET="+filepath.Join(folder, "s"))
	command.ExtraFiles = []*os.File{handed}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}()
	expect := func(want string) {
		t.Helper()
		if err := notified.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
			t.Fatal(err)
		}
		message := make([]byte, 100)
		n, err := notified.Read(message)
		if err != nil || string(message[:n]) != want {
			t.Fatalf("notified %q, %v", message[:n], err)
		}
	}
	expect("READY=1")
	response, err := http.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

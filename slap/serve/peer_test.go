// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// TestPeerUser: whose process asks is told by the kernel, of the whole address: a user
// who takes the port of another at another address of the loopback is itself.
func TestPeerUser(t *testing.T) {
	testkit.Root(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uid, found := PeerUser(r)
		fmt.Fprintf(w, "%d %t", uid, found)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	dial := func(local string) *net.TCPConn {
		t.Helper()
		from, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		connection, err := (&net.Dialer{LocalAddr: from}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { connection.Close() })
		return connection.(*net.TCPConn)
	}
	ask := func(connection *net.TCPConn, header string) string {
		t.Helper()
		if _, err := fmt.Fprintf(connection, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", header); err != nil {
			t.Fatal(err)
		}
		return answerOf(t, connection)
	}
	mine := dial("127.0.0.1:0")
	_, port, _ := net.SplitHostPort(mine.LocalAddr().String())
	var other *net.TCPConn
	testkit.AsUser(t, func(string) { other = dial("127.0.0.2:" + port) })
	for range 2 {
		if got := ask(mine, ""); got != fmt.Sprint(os.Geteuid(), " true") {
			t.Error("our connection:", got)
		}
		if got := ask(other, ""); got != "29998 true" {
			t.Error("the other user's:", got)
		}
	}
	if got := ask(other, "X-Forwarded-For: 127.0.0.1\r\n"); got != "0 false" {
		t.Error("one that is handed on:", got)
	}
	if _, err := fmt.Fprint(other, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := other.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	// What isn't whole is no request. The socket of one that is being closed is nobody's.
	from, to := other.LocalAddr().(*net.TCPAddr), other.RemoteAddr().(*net.TCPAddr)
	if uid, found := userOfSocket(from, to); found {
		t.Errorf("a connection that is being closed is user %d's", uid)
	}
	if uid, found := userOfSocket(to, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3), Port: 9}); found {
		t.Errorf("a socket that listens is user %d's", uid)
	}
	if _, found := PeerUser(httptest.NewRequest(http.MethodGet, "/", nil)); found {
		t.Error("a request without a connection is somebody's")
	}
}

func answerOf(t *testing.T, connection net.Conn) string {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if _, err := bufio.NewReader(response.Body).WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// SPDX-License-Identifier: GPL-3.0-or-later

package serve_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"slapos/slap/serve"
	"slapos/slap/testkit"
)

// serveVariable makes the test program a server that runs until it is
// interrupted.
const serveVariable = "SLAPOS_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		if err := serveHere(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testkit.Main(m)
}

func serveHere() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	listeners, err := serve.Listen(ctx, "127.0.0.1", 0)
	if err != nil {
		return err
	}
	return loop(io.Discard).Serve(ctx, listeners)
}

// loop serves "hello".
func loop(log io.Writer) serve.Loop {
	return serve.Loop{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }),
		Log:      slog.New(slog.NewTextHandler(log, nil)),
		Farewell: "Stopping",
	}
}

// fetch returns a server's answer.
func fetch(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestServe listens, with and without TLS, and stops on request: what runs
// beside the server ends with it.
func TestServe(t *testing.T) {
	authority := testkit.NewAuthority(t)
	certificate := authority.Issue(t, "server", nil)
	for scheme, secure := range map[string]bool{"http": false, "https": true} {
		ctx, stop := context.WithCancel(t.Context())
		listeners, err := serve.Listen(ctx, "127.0.0.1", 0)
		if err != nil {
			t.Fatal(err)
		}
		address := listeners[0].Addr().String()
		var log bytes.Buffer
		l := loop(&log)
		client := http.DefaultClient
		if secure {
			l.Security = testkit.ServerConfig(certificate, nil)
			trusted := x509.NewCertPool()
			trusted.AddCert(authority.Certificate)
			client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
		}
		began, ended := make(chan struct{}), make(chan struct{})
		l.Beside = func(ctx context.Context) {
			close(began)
			<-ctx.Done()
			close(ended)
		}
		done := make(chan error)
		go func() { done <- l.Serve(ctx, listeners) }()
		if got := fetch(t, client, scheme+"://"+address+"/"); got != "hello" {
			t.Errorf("%s answers %q", scheme, got)
		}
		<-began
		_, port, _ := net.SplitHostPort(address)
		number, _ := strconv.Atoi(port)
		if _, err := serve.Listen(ctx, "127.0.0.1", number); err == nil || err.Error() != address+" is in use by another program: stop it, or choose another port" {
			t.Errorf("port in use: %v", err)
		}
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(testkit.Patience):
			t.Fatal("the server doesn't stop")
		}
		select {
		case <-ended:
		default:
			t.Error("what ran beside the server goes on")
		}
		for _, want := range []string{"Running on " + scheme + "://" + address + "/", "msg=Stopping"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &log)
			}
		}
	}
}

// TestServeFails ends if a listener fails.
func TestServeFails(t *testing.T) {
	listeners, err := serve.Listen(t.Context(), "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	listeners[0].Close()
	if err := loop(io.Discard).Serve(t.Context(), listeners); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// An IPv6 address may have brackets; anything but an address or a name is
// refused with one line that says what is accepted.
func TestHost(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "127.0.0.1": "127.0.0.1", "::1": "::1", "[::1]": "::1", "::": "::", "[::]": "::", "fe80::1%lo": "fe80::1%lo",
		"[fe80::1%lo]": "fe80::1%lo", "localhost": "localhost", "node-1.example": "node-1.example",
	} {
		if host, err := serve.Host(text); err != nil || host != want {
			t.Errorf("%q: %q, %v", text, host, err)
		}
	}
	for _, text := range []string{"[::1", "::1]", "[127.0.0.1]", "[localhost]", "[]", "[[::1]]", "127.0.0.1:80", "[::1]:80", "http://h", "::g", "a b"} {
		want := fmt.Sprintf("host %q can't be listened on: give an address or a name alone, such as 127.0.0.1, ::1 or localhost; the port has its own option", text)
		if _, err := serve.Listen(t.Context(), text, 0); err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	listeners, err := serve.Listen(t.Context(), "localhost", 0)
	if err != nil {
		t.Fatal(err)
	}
	listeners[0].Close()
}

// An IPv4 address, even 0.0.0.0, only accepts IPv4.
func TestListenFamily(t *testing.T) {
	testkit.IPv6(t)
	for host, want := range map[string]bool{"0.0.0.0": false, "127.0.0.1": false, "::": true, "[::]": true, "": true} {
		listeners, err := serve.Listen(t.Context(), host, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(listeners[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		connection, err := net.Dial("tcp6", "[::1]:"+port)
		if (err == nil) != want {
			t.Errorf("%q: by IPv6: %v", host, err)
		}
		if err == nil {
			connection.Close()
		}
		if connection, err = net.Dial("tcp4", "127.0.0.1:"+port); err != nil {
			t.Errorf("%q: by IPv4: %v", host, err)
		} else {
			connection.Close()
		}
		listeners[0].Close()
	}
}

// An address that can't be listened on is told in one line, with the way out.
func TestListenFails(t *testing.T) {
	for host, want := range map[string]string{
		"192.0.2.77":     "192.0.2.77 is no address of this machine: choose another host, such as 127.0.0.1",
		"fe80::1":        "[fe80::1]:0 can't be listened on: ",
		"nosuch.invalid": "nosuch.invalid:0 can't be listened on: ",
	} {
		listeners, err := serve.Listen(t.Context(), host, 0)
		if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), "such as 127.0.0.1") {
			t.Errorf("%s: %v, %v", host, listeners, err)
		}
	}
}

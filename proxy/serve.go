// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Host is what a user wrote for a server to listen on: an address, one of IPv6
// in brackets or not, a name, or nothing. The error is one line that names it.
func Host(text string) (string, error) {
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	address, err := netip.ParseAddr(inner)
	switch {
	case opened != closed, opened && (err != nil || !address.Is6()), err != nil && strings.ContainsAny(inner, ":/[] \t"):
		return "", fmt.Errorf("host %q can't be listened on: give an address or a name alone, such as 127.0.0.1, ::1 or localhost; the port has its own option", text)
	}
	return inner, nil
}

// Network is how a server listens on a host: an IPv4 address, 0.0.0.0 too, takes
// no IPv6 connections. "::" and no host at all take both.
func Network(host string) string {
	if address, err := netip.ParseAddr(host); err == nil && address.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// Listen opens the address of the master: the sockets that systemd hands
// over, else host, as [Host] takes it, and port. The error is one line that names
// the address.
func Listen(ctx context.Context, host string, port int) ([]net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	}
	var listeners []net.Listener
	for _, listener := range given {
		if listener != nil {
			listeners = append(listeners, listener)
		}
	}
	if len(listeners) > 0 {
		return listeners, nil
	}
	host, err = Host(host)
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	listener, err := (&net.ListenConfig{}).Listen(ctx, Network(host), address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: stop it, or choose another port", address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%s can't be used by this user: choose a port above 1023", address)
	case err != nil:
		return nil, fmt.Errorf("listen: %w", err)
	}
	return []net.Listener{listener}, nil
}

// Serve answers until ctx ends, then lets requests under way finish for up to
// ten seconds. With security it speaks TLS. It tells systemd when it is ready.
func Serve(ctx context.Context, listeners []net.Listener, security *tls.Config, handler http.Handler, log *slog.Logger) error {
	server := newServer(handler, log)
	scheme := "http"
	failed := make(chan error, len(listeners))
	for _, listener := range listeners {
		if security != nil {
			scheme, listener = "https", tls.NewListener(listener, security)
		}
		go func() { failed <- server.Serve(listener) }() // ends with the server; its error has room
		log.Info("Listening on " + scheme + "://" + listener.Addr().String() + "/")
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	select {
	case err := <-failed:
		server.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	log.Info("Stopping")
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		server.Close()
	}
	return nil
}

// newServer makes a server that no slow client holds up.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

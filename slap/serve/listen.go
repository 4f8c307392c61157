// SPDX-License-Identifier: GPL-3.0-or-later

package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
)

// Host parses the host that a user wants a server to listen on: an address,
// IPv6 with or without brackets, a name, or nothing. The error is one line that
// names it.
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

// Network returns the network to listen on for a host: an IPv4 address, even
// 0.0.0.0, accepts no IPv6 connections. "::" and no host accept both.
func Network(host string) string {
	if address, err := netip.ParseAddr(host); err == nil && address.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// cause removes from an error that we listened, and where: callers say that.
func cause(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation.Err
	}
	return err
}

// Listen opens a server's address: the sockets that systemd passes, else host,
// as for [Host], and port. The error is one line that names the address.
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
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine: choose another host, such as 127.0.0.1", host)
	case err != nil:
		return nil, fmt.Errorf("%s can't be listened on: %w: choose another host, such as 127.0.0.1", address, cause(err))
	}
	return []net.Listener{listener}, nil
}

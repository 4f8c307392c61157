// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"slapos/slap/testkit"
)

// addLoopbackAddress gives a network namespace an address that is not the loopback's.
func addLoopbackAddress(t *testing.T, address string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err == nil {
		err = netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(address), Mask: net.CIDRMask(32, 32)}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCacheConnections: a client of elsewhere has as many connections to the cache
// server as its operator lets it have (PROXY-184).
func TestCacheConnections(t *testing.T) {
	if !testkit.InNamespace(t, syscall.CLONE_NEWNET) {
		return
	}
	addLoopbackAddress(t, "192.0.2.1")
	ctx, stop := context.WithCancel(t.Context())
	e := newEnvironment()
	e.stderr = &syncedText{}
	ended := make(chan int, 1)
	words := []string{"slapos", "cache", "start", "--host", "192.0.2.1", "--port", "5010", "--directory", t.TempDir(), "--listen-connections", "2"}
	go func() { ended <- run(ctx, e, words) }()
	defer func() {
		stop()
		<-ended
	}()
	var clients []net.Conn
	dial := func() bool {
		connection, err := net.Dial("tcp", "192.0.2.1:5010")
		if err == nil {
			t.Cleanup(func() { connection.Close() })
			clients = append(clients, connection)
		}
		return err == nil
	}
	testkit.Eventually(t, testkit.Patience, "the cache server listens", dial)
	for len(clients) < 3 {
		if !dial() {
			t.Fatal("can't connect")
		}
	}
	answers := func(connection net.Conn) bool {
		_, err := connection.Write([]byte("GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n"))
		if err == nil {
			_, err = connection.Read(make([]byte, 1))
		}
		return err == nil
	}
	if answers(clients[2]) {
		t.Error("a third connection is answered")
	}
	if !answers(clients[0]) || !answers(clients[1]) {
		t.Error("two connections are not answered")
	}
}

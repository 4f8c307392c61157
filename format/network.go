// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Network is the part of the kernel's networking that formatting reads and
// changes. A change fails if its result already exists, as with ip.
type Network interface {
	// Present reads everything at once.
	Present(ctx context.Context) (*NetworkState, error)
	AddAddress(ctx context.Context, link string, address netip.Prefix, options AddressOptions) error
	DeleteAddress(ctx context.Context, link string, address netip.Prefix) error
	// AddTunTap makes a persistent device that a user may open, and brings it up.
	AddTunTap(ctx context.Context, name string, mode DeviceMode, owner int) error
	SetUp(ctx context.Context, link string) error
	AddRoute(ctx context.Context, route Route) error
	DeleteRoute(ctx context.Context, route Route) error
	// WatchDuplicates starts watching duplicate address detection; call it
	// before adding the addresses.
	WatchDuplicates(ctx context.Context) (DuplicateWatch, error)
}

// AddressOptions change how the kernel adds an address.
type AddressOptions struct {
	// NoPrefixRoute omits the route to the address's network.
	NoPrefixRoute bool
}

// DuplicateWatch follows the kernel's duplicate address detection.
type DuplicateWatch interface {
	// Wait returns once each of the addresses is usable, or refused because
	// another machine has it; undecided are those for which the kernel did not
	// finish within limit.
	Wait(ctx context.Context, addresses []LinkAddress, limit time.Duration) (refused, undecided []LinkAddress, err error)
	Close()
}

// LinkAddress is an address on a network interface.
type LinkAddress struct {
	Link    string
	Address netip.Prefix
}

// DeviceMode is what a tuntap device carries.
type DeviceMode string

// Ethernet frames, or IP packets.
const (
	TapMode DeviceMode = "tap"
	TunMode DeviceMode = "tun"
)

// NetworkState is the present state.
type NetworkState struct {
	Links  map[string]*Link
	Routes []Route
	// Alternatives maps additional names of links to the links' names.
	Alternatives map[string]string
}

// name returns the name of the link with a name or alternative name; the given
// name if there is none.
func (s *NetworkState) name(given string) string {
	if s.Links[given] == nil && s.Alternatives[given] != "" {
		return s.Alternatives[given]
	}
	return given
}

// maxInterfaceName is the kernel's limit, in bytes.
const maxInterfaceName = 15

// checkInterfaceName refuses names that the kernel would not accept for a new
// interface.
func checkInterfaceName(name string) error {
	switch {
	case len(name) > maxInterfaceName:
		return fmt.Errorf("%q can't be the name of a network interface: it has %d characters, at most %d are possible", name, len(name), maxInterfaceName)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\r\n\v\f\x00") || strings.Contains(name, "%"):
		return fmt.Errorf("%q can't be the name of a network interface", name)
	}
	return nil
}

// Link is a network interface. Addresses are in the kernel's order.
type Link struct {
	Addresses []netip.Prefix
	// Unsettled are addresses that another machine may have: duplicate address
	// detection is running, or has found one.
	Unsettled []netip.Prefix
	Up        bool
	TunTap    bool
	Owner     int // of a tuntap device, -1 without one
}

// Route is a route in the main table; a Local one is in the local table and
// makes the network local to the machine.
type Route struct {
	Destination netip.Prefix
	Link        string
	Gateway     netip.Addr // optional
	Local       bool
}

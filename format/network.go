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
// changes. Changes that find what they want to make fail, as ip does.
type Network interface {
	// Present reads everything at once.
	Present(ctx context.Context) (*NetworkState, error)
	AddAddress(ctx context.Context, link string, address netip.Prefix, options AddressOptions) error
	DeleteAddress(ctx context.Context, link string, address netip.Prefix) error
	// AddTunTap makes a persistent device that a user may open, and sets it up.
	AddTunTap(ctx context.Context, name string, mode DeviceMode, owner int) error
	SetUp(ctx context.Context, link string) error
	AddRoute(ctx context.Context, route Route) error
	DeleteRoute(ctx context.Context, route Route) error
	// WatchDuplicates begins to follow duplicate address detection; it is called
	// before the addresses are added.
	WatchDuplicates(ctx context.Context) (DuplicateWatch, error)
}

// AddressOptions change what the kernel does for an added address.
type AddressOptions struct {
	// NoPrefixRoute leaves the route to the address's network out.
	NoPrefixRoute bool
}

// DuplicateWatch follows the kernel's duplicate address detection.
type DuplicateWatch interface {
	// Wait returns once each of the addresses is usable or refused because
	// another machine has it; undecided are those that the kernel could not find
	// out about within limit.
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

// NetworkState is what there is.
type NetworkState struct {
	Links  map[string]*Link
	Routes []Route
	// Alternatives are the further names that links have, and whose they are.
	Alternatives map[string]string
}

// name is that of the link with a name or alternative name; the name itself if
// there is none.
func (s *NetworkState) name(given string) string {
	if s.Links[given] == nil && s.Alternatives[given] != "" {
		return s.Alternatives[given]
	}
	return given
}

// maxInterfaceName is what the kernel takes, in bytes.
const maxInterfaceName = 15

// checkInterfaceName refuses what the kernel would not take as the name of a new
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
	// Unsettled are those of the addresses that another machine may have:
	// duplicate address detection goes on, or has found one.
	Unsettled []netip.Prefix
	Up        bool
	TunTap    bool
	Owner     int // of a tuntap device, -1 without one
}

// Route is a route in the main table; a Local one is in the local table and
// makes the network the machine's own.
type Route struct {
	Destination netip.Prefix
	Link        string
	Gateway     netip.Addr // optional
	Local       bool
}

// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// duplicateWatch checks the addresses again whenever the kernel reports that an
// address has changed. So lost reports do no harm.
type duplicateWatch struct {
	changed chan struct{}
	done    chan struct{}
}

func (kernelNetwork) WatchDuplicates(context.Context) (DuplicateWatch, error) {
	watch := &duplicateWatch{changed: make(chan struct{}, 1), done: make(chan struct{})}
	updates := make(chan netlink.AddrUpdate)
	if err := netlink.AddrSubscribe(updates, watch.done); err != nil {
		return nil, err
	}
	go func() { // ends once Close closes done; the library then closes updates; nobody waits for it
		for range updates {
			watch.signal()
		}
		watch.signal()
	}()
	return watch, nil
}

func (w *duplicateWatch) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *duplicateWatch) Close() { close(w.done) }

func (w *duplicateWatch) Wait(ctx context.Context, addresses []LinkAddress, limit time.Duration) (refused, undecided []LinkAddress, err error) {
	links, err := dump(netlink.LinkList)
	if err != nil {
		return nil, nil, fmt.Errorf("list links: %w", err)
	}
	names := map[int]string{}
	for _, link := range links {
		names[link.Attrs().Index] = link.Attrs().Name
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		refused, undecided, err = sortDuplicates(addresses, names)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) || err == nil && len(undecided) == 0 {
			return refused, nil, err
		}
		select {
		case <-w.changed:
		case <-timer.C:
			return refused, undecided, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// sortDuplicates finds the addresses that are refused and those that the kernel
// has not decided on; missing addresses count as refused. names maps numbers of
// interfaces to names.
func sortDuplicates(addresses []LinkAddress, names map[int]string) (refused, undecided []LinkAddress, err error) {
	present, err := dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V6) })
	if err != nil {
		return nil, nil, fmt.Errorf("list addresses: %w", err)
	}
	flags := map[LinkAddress]int{}
	for _, address := range present {
		flags[LinkAddress{Link: names[address.LinkIndex], Address: prefixOf(address.IPNet)}] = address.Flags
	}
	for _, address := range addresses {
		state, found := flags[address]
		switch {
		case !found || state&unix.IFA_F_DADFAILED != 0:
			refused = append(refused, address)
		case isTentative(state):
			undecided = append(undecided, address)
		}
	}
	return refused, undecided, nil
}

// isTentative reports whether an address may not be used yet.
func isTentative(flags int) bool {
	return flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
}

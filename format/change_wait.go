// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duplicateLimit bounds the wait for the kernel's duplicate address detection
// on an interface: a random delay of up to a second, then a pause after each
// probe, by default one probe and one second.
func (m *Machine) duplicateLimit(link string) time.Duration {
	questions, pause := 1, 1000
	for name, target := range map[string]*int{"conf/%s/dad_transmits": &questions, "neigh/%s/retrans_time_ms": &pause} {
		content, err := os.ReadFile(filepath.Join(m.ProcSys, "net/ipv6", fmt.Sprintf(name, link)))
		if err != nil {
			continue
		}
		if value, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && value > 0 {
			*target = min(value, 60_000)
		}
	}
	return 4*time.Second + time.Duration(min(questions*pause, 120_000))*time.Millisecond
}

// watchDuplicates starts watching the kernel's detection, before the first
// address is added.
func (e *execution) watchDuplicates(ctx context.Context) (err error) {
	if e.watch == nil {
		if e.watch, err = e.machine.Network.WatchDuplicates(ctx); err != nil {
			return fmt.Errorf("follow address changes: %w", err)
		}
	}
	return nil
}

// refusedError lists addresses that another machine turned out to have.
type refusedError struct{ addresses []LinkAddress }

func (e *refusedError) Error() string {
	var texts []string
	for _, address := range e.addresses {
		texts = append(texts, fmt.Sprintf("%s on %s", address.Address, address.Link))
	}
	return "another machine has " + strings.Join(texts, ", ")
}

// await waits until the kernel knows that no other machine has one of the
// addresses: those that were added, and those that an interrupted run was
// waiting for. It removes addresses that can't be used (FMT-35).
type await struct{ added, found []LinkAddress }

func (c await) apply(ctx context.Context, e *execution) error {
	if err := e.watchDuplicates(ctx); err != nil {
		return err
	}
	addresses := slices.Concat(c.added, c.found)
	limit := e.machine.duplicateLimit(addresses[0].Link)
	refused, undecided, err := e.watch.Wait(ctx, addresses, limit)
	// Addresses that were there before may stay as they are.
	undecided = slices.DeleteFunc(undecided, func(a LinkAddress) bool { return !slices.Contains(c.added, a) })
	for _, address := range slices.Concat(refused, undecided) {
		err = errors.Join(err, e.machine.Network.DeleteAddress(ctx, address.Link, address.Address))
	}
	switch {
	case err != nil:
		return err
	case len(undecided) > 0:
		return fmt.Errorf("it did not end within %s for %d addresses on %s: is that interface's link up?", limit, len(undecided), undecided[0].Link)
	case len(refused) > 0:
		return &refusedError{addresses: refused}
	}
	return nil
}

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

// duplicateLimit bounds the wait for the kernel's duplicate address detection on
// an interface: a random delay of up to a second, then a pause after each
// question, of which the kernel's defaults have one of a second.
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

// probe waits for the duplicate address detection of added addresses, and of
// those found for which an earlier run was stopped while it waited.
type probe struct {
	added, found []LinkAddress
	watch        DuplicateWatch
}

func (p *probe) start(ctx context.Context, network Network) error {
	if p.watch != nil {
		return nil
	}
	watch, err := network.WatchDuplicates(ctx)
	if err != nil {
		return fmt.Errorf("follow address changes: %w", err)
	}
	p.watch = watch
	return nil
}

func (p *probe) close() {
	if p.watch != nil {
		p.watch.Close()
	}
}

// refusedError tells of addresses that turned out to be another machine's.
type refusedError struct{ addresses []LinkAddress }

func (e *refusedError) Error() string {
	var texts []string
	for _, address := range e.addresses {
		texts = append(texts, fmt.Sprintf("%s on %s", address.Address, address.Link))
	}
	return "another machine has " + strings.Join(texts, ", ")
}

// wait plans to wait until the kernel knows that no other machine has one of
// the addresses. Those that cannot be used are removed (FMT-35).
func (p *planner) wait() {
	addresses := slices.Concat(p.probe.added, p.probe.found)
	if len(addresses) == 0 {
		return
	}
	p.add("wait", fmt.Sprintf("wait for duplicate address detection of %d addresses", len(addresses)), func(ctx context.Context) error {
		if err := p.probe.start(ctx, p.machine.Network); err != nil {
			return err
		}
		limit := p.machine.duplicateLimit(addresses[0].Link)
		refused, undecided, err := p.probe.watch.Wait(ctx, addresses, limit)
		// What was there before may stay as it was.
		undecided = slices.DeleteFunc(undecided, func(a LinkAddress) bool { return !slices.Contains(p.probe.added, a) })
		for _, address := range slices.Concat(refused, undecided) {
			err = errors.Join(err, p.machine.Network.DeleteAddress(ctx, address.Link, address.Address))
		}
		switch {
		case err != nil:
			return err
		case len(undecided) > 0:
			return fmt.Errorf("it did not end within %s for %d addresses on %s: is the link of that interface up?", limit, len(undecided), undecided[0].Link)
		case len(refused) > 0:
			return &refusedError{refused}
		}
		return nil
	})
}

// SPDX-License-Identifier: GPL-3.0-or-later

// Package boot brings a node up after its start: it waits for the network,
// formats the node, informs the master, and has every partition processed
// again:
//
//	IPv6 ─ format ─ bang ─ forget timestamps
//
// Each step is tried until it succeeds.
package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"slapos/slap/clock"
	"slapos/slap/confined"
)

// Options say how to bring up a machine that was just started.
type Options struct {
	// Interface must get a global IPv6 address first; empty: no need to wait.
	Interface    string
	MasterHost   string // name or address, pinged when format can't reach it
	InstanceRoot string
	// PartitionPrefix starts the names of partitions.
	PartitionPrefix string
	// Format and Bang run the commands and return their exit codes. An error
	// ends the boot, but for a [*PartlyError] of Format.
	Format, Bang func(ctx context.Context) (code int, err error)
	Logger       *slog.Logger

	// Pauses between tries, see DefaultNetworkPause and DefaultCommandPause.
	NetworkPause, CommandPause time.Duration
	// Ping reports whether a host answers; default: the programs ping and ping6.
	Ping func(ctx context.Context, version int, host string) (bool, error)
}

// The pauses of the original.
const (
	DefaultNetworkPause = 5 * time.Second
	DefaultCommandPause = 15 * time.Second
)

// Run waits for the network, formats, bangs, and has every partition processed
// again (GRID-96). It tries each step until it succeeds or ctx ends.
func Run(ctx context.Context, options Options) error {
	if options.Ping == nil {
		options.Ping = ping
	}
	b := boot{options, options.Logger.With("logger", "slapos.boot")}
	if b.Interface != "" {
		if err := b.waitForIPv6(ctx); err != nil {
			return fmt.Errorf("wait for IPv6: %w", err)
		}
	}
	if err := b.format(ctx); err != nil {
		return fmt.Errorf("format: %w", err)
	}
	if err := b.bang(ctx); err != nil {
		return fmt.Errorf("bang: %w", err)
	}
	return b.forgetTimestamps()
}

// A PartlyError says what keeps some partitions from being formatted, while all the
// others are and the master knows. Nobody waits for those who own what is in the way.
type PartlyError struct{ Err error }

func (e *PartlyError) Error() string { return e.Err.Error() }
func (e *PartlyError) Unwrap() error { return e.Err }

// Exit codes of Format: partial or total failure; success, but the master could
// not be informed.
const (
	formatFailed = 1
	formatUntold = 2
)

type boot struct {
	Options
	log *slog.Logger
}

func (b *boot) format(ctx context.Context) error {
	for {
		b.log.Info("[BOOT] Invoking slapos node format...")
		code, err := b.Format(ctx)
		var partly *PartlyError
		switch {
		case errors.As(err, &partly):
			b.log.Error(fmt.Sprintf("[BOOT] Going on without some partitions, which the next format tries again: %v", partly))
			return ctx.Err()
		case err != nil:
			return err
		case code == formatFailed:
			b.log.Error(fmt.Sprintf("[BOOT] Fail to format, try again in %v seconds...", b.CommandPause.Seconds()))
			if err := clock.Pause(ctx, b.CommandPause); err != nil {
				return err
			}
		case code == formatUntold:
			b.log.Error("[BOOT] Fail to post format information, try again when connection to master is up...")
			if err := clock.Pause(ctx, b.CommandPause); err != nil {
				return err
			}
			if err := b.waitForMaster(ctx); err != nil {
				return err
			}
		default:
			return ctx.Err()
		}
	}
}

func (b *boot) bang(ctx context.Context) error {
	for {
		b.log.Info("[BOOT] Invoking slapos node bang...")
		code, err := b.Bang(ctx)
		if err != nil || code == 0 {
			return err
		}
		b.log.Error(fmt.Sprintf("[BOOT] Fail to bang, try again in %v seconds...", b.CommandPause.Seconds()))
		if err := clock.Pause(ctx, b.CommandPause); err != nil {
			return err
		}
	}
}

// waitForMaster pings the master until it answers. An address is pinged with
// its own IP version, a name with both, IPv6 first (CLI-73).
func (b *boot) waitForMaster(ctx context.Context) error {
	versions, again := []int{6}, []int{4, 6}
	if address, err := netip.ParseAddr(b.MasterHost); err == nil {
		if address.Is4() {
			versions = []int{4}
		}
		again = versions
	}
	for ; ; versions = again {
		for _, version := range versions {
			if reached, err := b.pingOnce(ctx, version); reached || err != nil {
				return err
			}
		}
		if err := clock.Pause(ctx, b.NetworkPause); err != nil {
			return err
		}
	}
}

func (b *boot) pingOnce(ctx context.Context, version int) (reached bool, err error) {
	b.log.Info(fmt.Sprintf("[BOOT] Invoking ipv%d ping to %s...", version, b.MasterHost))
	reached, err = b.Ping(ctx, version, b.MasterHost)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		// Without the program no try can succeed; format will report the master.
		b.log.Error("[BOOT] Cannot ping the master: install the program ping")
		return true, nil
	case err != nil:
		return false, err
	case reached:
		b.log.Info(fmt.Sprintf("[BOOT] IPv%d network reachable...", version))
	default:
		b.log.Error(fmt.Sprintf("[BOOT] IPv%d network unreachable...", version))
	}
	return reached, nil
}

// ping asks a host for two replies.
func ping(ctx context.Context, version int, host string) (bool, error) {
	words := []string{"ping", "-c", "2", host}
	if version == 6 {
		words[0] = "ping6"
		if _, err := exec.LookPath(words[0]); err != nil {
			words = []string{"ping", "-6", "-c", "2", host}
		}
	}
	err := exec.CommandContext(ctx, words[0], words[1:]...).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, ctx.Err()
	}
	return err == nil, err
}

// forgetTimestamps removes the timestamps that make passes skip partitions.
func (b *boot) forgetTimestamps() error {
	place, err := confined.OpenPlace(b.InstanceRoot)
	if err != nil {
		return fmt.Errorf("remove timestamps: %w", err)
	}
	defer place.Close()
	names, err := place.Names()
	if err != nil {
		return fmt.Errorf("remove timestamps: %w", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, b.PartitionPrefix) {
			continue
		}
		if err := b.forgetTimestamp(place, name); err != nil {
			b.log.Error("Cannot remove timestamp: " + err.Error())
		}
	}
	return nil
}

func (b *boot) forgetTimestamp(place *confined.Place, name string) error {
	directory, err := place.Open(name, confined.Anybody)
	if err != nil {
		if confined.IsAbsent(err) { // also what is no directory
			return nil
		}
		return err
	}
	defer directory.Close()
	const timestamp = ".timestamp"
	if err := directory.Root.Remove(timestamp); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b.log.Info("Removing " + directory.Join(timestamp))
	return nil
}

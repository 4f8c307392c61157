// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"slapos/slap/confined"
)

// whitelistFirewall limits the processes of a partition's user to the IPv4
// addresses in .slapos-whitelist-firewall, with firewalld. A partition without
// that file is not limited (MGR-50).
type whitelistFirewall struct {
	hooks
	log     *slog.Logger
	system  System
	enabled bool
	command string
}

const (
	whitelistRequest = ".slapos-whitelist-firewall"
	whitelistDigest  = ".slapos-whitelist-firewall.md5sum"
)

func newWhitelistFirewall(config Config) Manager {
	return &whitelistFirewall{
		log:     config.Logger,
		system:  config.System,
		enabled: len(config.Firewall) > 0,
		command: config.Firewall["firewall_cmd"],
	}
}

func (*whitelistFirewall) Name() string { return "whitelistfirewall" }

func (m *whitelistFirewall) InstanceTearDown(ctx context.Context, partition *Partition) error {
	if !m.enabled {
		m.log.Warn("[firewall] missing in the configuration, manager disabled.")
		return nil
	}
	directory, end, err := partition.directory()
	if err != nil {
		return err
	}
	defer end()
	request, found, err := partition.request(whitelistRequest)
	if err != nil {
		return err
	}
	if !found {
		cleaned, err := m.cleanUp(ctx, partition)
		if err != nil {
			return err
		}
		if cleaned {
			m.log.Info(fmt.Sprintf("File %s does not exists, removed configuration for partition %s.",
				filepath.Join(partition.Path, whitelistRequest), partition.ID))
		}
		return directory.Remove(whitelistDigest)
	}
	addresses, err := m.addresses(request)
	if err != nil {
		m.log.Warn("Bad whitelist firewall config", "partition", partition.ID, "error", err)
		return nil
	}
	return m.configure(ctx, partition, directory, digest(request), addresses)
}

// Report removes the rules of InstanceTearDown.
func (m *whitelistFirewall) Report(ctx context.Context, partition *Partition) error {
	if !m.enabled {
		return nil
	}
	cleaned, err := m.cleanUp(ctx, partition)
	if err != nil {
		return err
	}
	if cleaned {
		m.log.Info(fmt.Sprintf("Cleaned up firewall for partition %s.", partition.ID))
	}
	directory, end, err := partition.directory()
	if err != nil {
		return err
	}
	defer end()
	return directory.Remove(whitelistDigest)
}

// addresses returns the IPv4 addresses in the request. It only fails if that is
// not a list.
func (m *whitelistFirewall) addresses(request []byte) ([]netip.Addr, error) {
	var entries []any
	if err := json.Unmarshal(request, &entries); err != nil {
		return nil, err
	}
	if entries == nil {
		return nil, fmt.Errorf("%.40q is not a list", request)
	}
	var addresses []netip.Addr
	for _, entry := range entries {
		text, _ := entry.(string)
		switch address, err := parseAddress(text); {
		case err != nil:
			m.log.Warn(fmt.Sprintf("Entry '%v' is not a real IP", entry))
		case !address.Is4():
			m.log.Warn(fmt.Sprintf("Entry '%v' is not an IPv4", entry))
		default:
			addresses = append(addresses, address)
		}
	}
	return addresses, nil
}

func digest(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}

// configure makes the calls of MGR-53. Rules keep the order in which they are
// added, so the accepts come before the reject (MGR-56).
func (m *whitelistFirewall) configure(ctx context.Context, partition *Partition, directory *confined.Directory, wanted string, addresses []netip.Addr) error {
	m.log.Info(fmt.Sprintf("Configuring partition %s.", partition.ID))
	chain := chainName(partition)
	calls := firewallCalls{manager: m, ctx: ctx}
	added := !calls.query("--query-chain", "ipv4", "filter", chain)
	if added {
		calls.direct("--add-chain", "ipv4", "filter", chain)
	}
	present, err := directory.Read(whitelistDigest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !added && strings.TrimSpace(string(present)) == wanted {
		m.log.Debug(fmt.Sprintf("Skipped up-to-date rules for partition %s.", partition.ID))
		return calls.err
	}
	// Emptied first: if anything below fails, the next run starts over.
	if err := directory.Write(whitelistDigest, nil, confined.AgentFile); err != nil {
		return err
	}
	calls.direct("--remove-rules", "ipv4", "filter", chain)
	for _, address := range addresses {
		calls.direct("--add-rule", "ipv4", "filter", chain, "0", "-d", address.String(), "-j", "ACCEPT")
	}
	calls.direct("--add-rule", "ipv4", "filter", chain, "0", "-j", "REJECT")
	if rule := ownerRule(partition); !calls.query("--query-rule", rule...) {
		calls.direct("--add-rule", rule...)
	}
	if err := calls.reload(); err != nil {
		return err
	}
	if err := directory.Write(whitelistDigest, []byte(wanted), confined.AgentFile); err != nil {
		return err
	}
	m.log.Info(fmt.Sprintf("Updated rules for partition %s.", partition.ID))
	return nil
}

// cleanUp removes the partition's chain and rule, and reports whether there was
// anything to remove (MGR-54).
func (m *whitelistFirewall) cleanUp(ctx context.Context, partition *Partition) (bool, error) {
	cleaned := false
	chain := chainName(partition)
	calls := firewallCalls{manager: m, ctx: ctx}
	if calls.query("--query-chain", "ipv4", "filter", chain) {
		calls.direct("--remove-rules", "ipv4", "filter", chain)
		calls.direct("--remove-chain", "ipv4", "filter", chain)
		cleaned = true
	}
	if rule := ownerRule(partition); calls.query("--query-rule", rule...) {
		calls.direct("--remove-rule", rule...)
		cleaned = true
	}
	if !cleaned {
		return false, calls.err
	}
	return true, calls.reload()
}

func chainName(partition *Partition) string { return partition.ID + "-whitelist" }

func ownerRule(partition *Partition) []string {
	return []string{"ipv4", "filter", "OUTPUT", "0", "-m", "owner",
		"--uid-owner", strconv.Itoa(partition.UID), "-j", chainName(partition)}
}

// firewallCalls is a series of calls of firewalld. Once the program can't be
// run, err says why, and no more calls are made.
type firewallCalls struct {
	manager *whitelistFirewall
	ctx     context.Context
	err     error
}

// direct calls firewalld's direct interface. Its exit status means nothing: a
// query answered with no fails, too (MGR-51).
func (c *firewallCalls) direct(action string, arguments ...string) string {
	output, err := c.run(append([]string{"--direct", "--permanent", action}, arguments...)...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.err = err
	}
	return strings.TrimSpace(string(output))
}

func (c *firewallCalls) query(action string, arguments ...string) bool {
	return c.direct(action, arguments...) == "yes"
}

func (c *firewallCalls) reload() error {
	if _, err := c.run("--reload"); err != nil {
		return fmt.Errorf("reload firewalld: %w", err)
	}
	return nil
}

func (c *firewallCalls) run(arguments ...string) ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.manager.system.Run(c.ctx, c.manager.command, arguments...)
}

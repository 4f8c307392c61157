// SPDX-License-Identifier: GPL-3.0-or-later

// Package firewall gives partitions their rules: which packets reach the
// addresses that are routed to them. [Traffic] holds the input, its [Rule]s are
// the result, and a [Firewall] applies them, with firewalld's command, or with
// the kernel's nftables if firewalld is not installed. It knows addresses and
// names of partitions, not partitions themselves.
package firewall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"slapos/grid/supervisor"
	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// RulesFile lists the rules of a partition, as JSON.
const RulesFile = ".slapos-firewalld-rules"

// commandTimeout bounds one call of firewall-cmd.
const commandTimeout = 2 * time.Minute

// Defaults for absent keys.
const (
	DefaultCommand       = "firewall-cmd"
	DefaultReloadCommand = "slapos node restart firewall"
	DefaultLogFile       = "/var/log/firewall.log"
	DefaultDBusLogFile   = "/var/log/dbus.log"
)

// Options are those of section [firewall] (GRID-78, GRID-80).
type Options struct {
	Command           string // run by the shell
	ReloadCommand     string // empty: no reload is needed
	AuthorizedSources []string
	// Executable and DBusExecutable are daemons that the supervisor runs.
	Executable, DBusExecutable string
	LogFile, DBusLogFile       string
	Testing                    bool // no daemons
}

// Daemons returns the firewall's daemons; one without a command doesn't exist
// (GRID-78).
func (o *Options) Daemons() []supervisor.SystemDaemon {
	firewall := supervisor.SystemDaemon{Name: "firewall", Priority: 5}
	dbus := supervisor.SystemDaemon{Name: "dbus", Priority: 1}
	if o != nil && !o.Testing {
		firewall.Command, firewall.LogFile = o.Executable, o.LogFile
		dbus.Command, dbus.LogFile = o.DBusExecutable, o.DBusLogFile
	}
	return []supervisor.SystemDaemon{dbus, firewall}
}

// A Firewall applies the rules of partitions: with firewalld's command, or
// directly in the kernel's nftables if firewalld is not installed. It handles
// one partition at a time, since firewalld reloads for each.
type Firewall struct{ backend backend }

// turn is that of the partition which is handled: passes of one process may have a
// Firewall each.
var turn sync.Mutex

// A backend makes the rules of one partition exactly wanted. Rules in old are
// those of the last time; they may be gone meanwhile, as may wanted ones that
// existed. Applying twice changes nothing.
type backend interface {
	apply(ctx context.Context, partition string, old, wanted []Rule) (changed bool, err error)
}

// New chooses the backend. environment is for its commands.
func New(options Options, environment []string, log *slog.Logger) *Firewall {
	if _, err := exec.LookPath(options.Command); err != nil && options.Command == DefaultCommand {
		log.Debug("firewalld is not installed: rules of partitions go to nftables")
		return &Firewall{backend: &nftablesBackend{}}
	}
	return &Firewall{backend: &firewalld{
		command: options.Command, reload: options.ReloadCommand,
		environment: append(slices.Clone(environment), "LC_ALL=C"), log: log,
	}}
}

// A Place is where the rules of a partition are recorded.
type Place struct {
	Partition string
	// State is the agent's own directory, whose note is trusted (GRID-97).
	State *confined.Directory
	// Directory is the partition's. Its [RulesFile] is for the original. Only
	// its rules for Addresses, the partition's own, count: another user may
	// have written it.
	Directory *confined.Directory
	Addresses []slap.Address
}

func (p Place) note() string { return p.Partition + ".firewall" }

// Set sets the rules of a partition (GRID-82); without rules it removes all.
func (f *Firewall) Set(ctx context.Context, place Place, rules []Rule, log *slog.Logger) error {
	turn.Lock()
	defer turn.Unlock()
	texts := make([]string, len(rules))
	for i, rule := range rules {
		texts[i] = `"` + rule.String() + `"` // nothing in it needs escaping
	}
	wanted := []byte("[" + strings.Join(texts, ", ") + "]")
	noted, errNote := place.State.Read(place.note())
	if errNote != nil && !errors.Is(errNote, fs.ErrNotExist) {
		return fmt.Errorf("firewall: %w", errNote)
	}
	var old []Rule
	if errNote == nil {
		old = parseRules(noted, log)
	}
	shown, errShown := place.Directory.Read(RulesFile)
	if errShown == nil {
		old = append(old, place.ofOwnAddresses(parseRules(shown, log))...)
	} else if !errors.Is(errShown, fs.ErrNotExist) {
		log.Warn("Ignored "+place.Directory.Join(RulesFile), slog.Any("error", errShown))
	}
	if _, err := f.backend.apply(ctx, place.Partition, old, rules); err != nil {
		return fmt.Errorf("firewall: %w", err)
	}
	if errNote != nil || !bytes.Equal(noted, wanted) {
		if err := place.State.Write(place.note(), wanted, confined.AgentFile); err != nil {
			return fmt.Errorf("firewall: %w", err)
		}
	}
	// The original has no file where no packets are routed to.
	nothing := errors.Is(errShown, fs.ErrNotExist) && len(rules)+len(routedAddresses(place.Addresses)) == 0
	if !nothing && (errShown != nil || !bytes.Equal(shown, wanted)) {
		if err := place.Directory.Write(RulesFile, wanted, confined.AgentFile); err != nil {
			return fmt.Errorf("firewall: write %s: %w", RulesFile, err)
		}
	}
	return nil
}

// ofOwnAddresses drops rules about other addresses: to remove one of those
// would open another partition.
func (p Place) ofOwnAddresses(rules []Rule) []Rule {
	own := routedAddresses(p.Addresses)
	return slices.DeleteFunc(rules, func(rule Rule) bool { return !slices.Contains(own, rule.destination) })
}

// parseRules reads a note and skips everything in it that isn't a rule.
func parseRules(content []byte, log *slog.Logger) (rules []Rule) {
	var texts []string
	if err := json.Unmarshal(content, &texts); err != nil {
		log.Warn("Ignored unreadable "+RulesFile, slog.Any("error", err))
		return nil
	}
	for _, text := range texts {
		rule, err := parseRule(text)
		if err != nil {
			log.Warn("Ignored entry of "+RulesFile, slog.Any("error", err))
			continue
		}
		rules = append(rules, rule)
	}
	return rules
}

// firewalld applies rules with the command firewall-cmd.
type firewalld struct {
	command, reload string // lines for the shell
	environment     []string
	log             *slog.Logger
}

func (f *firewalld) apply(ctx context.Context, _ string, old, wanted []Rule) (changed bool, err error) {
	for _, rule := range old {
		if slices.Contains(wanted, rule) {
			continue
		}
		removed, err := f.change(ctx, rule, "yes", "--remove-rule")
		if err != nil {
			return changed, err
		}
		changed = changed || removed
	}
	for _, rule := range wanted {
		added, err := f.change(ctx, rule, "no", "--add-rule")
		if err != nil {
			return changed, err
		}
		changed = changed || added
	}
	if !changed {
		return false, nil
	}
	f.log.Info("Reloading firewall configuration...")
	if _, err := f.run(ctx, f.reload); err != nil {
		return true, err
	}
	return true, nil
}

// change queries a rule and, on the answer condition, adds or removes it.
func (f *firewalld) change(ctx context.Context, rule Rule, condition, action string) (changed bool, err error) {
	line := f.command + " " + rule.String()
	query := strings.Replace(line, "--add-rule", "--query-rule", 1)
	result, err := f.shell(ctx, query)
	if err != nil {
		return false, err
	}
	switch said := answer(result.Output); {
	case said != "no" && (said != "yes" || result.ExitCode != 0):
		return false, commandFailure(query, result)
	case said != condition:
		return false, nil
	}
	line = strings.Replace(line, "--add-rule", action, 1)
	f.log.Debug(line)
	output, err := f.run(ctx, line)
	if err == nil && output != "success" {
		err = fmt.Errorf("%s answered %.200q instead of success", line, output)
	}
	return err == nil, err
}

// answer returns the relevant line of an output that may contain warnings, too.
func answer(output string) string {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line == "yes" || line == "no" || line == "success" {
			return line
		}
	}
	return strings.TrimSpace(output)
}

// run runs a line that must succeed, and returns its answer.
func (f *firewalld) run(ctx context.Context, line string) (string, error) {
	result, err := f.shell(ctx, line)
	if err == nil && result.ExitCode != 0 {
		err = commandFailure(line, result)
	}
	return answer(result.Output), err
}

func commandFailure(line string, result process.Result) error {
	return fmt.Errorf("%s failed with exit code %d: %.500s", line, result.ExitCode, strings.TrimSpace(result.Output))
}

func (f *firewalld) shell(ctx context.Context, line string) (process.Result, error) {
	command := process.Command{
		Path: "/bin/sh", Args: []string{"-c", line}, Env: f.environment,
		KeepOutput: 64 << 10, Timeout: commandTimeout,
	}
	return command.Run(ctx)
}

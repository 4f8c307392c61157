// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// firewall is a firewalld that keeps chains and rules, and records each call.
type firewall struct {
	state map[string]bool
	calls []string
	fail  error
}

func (f *firewall) run(_ context.Context, name string, arguments ...string) ([]byte, error) {
	if f.fail != nil {
		return nil, f.fail
	}
	call := strings.Join(append([]string{name}, arguments...), " ")
	f.calls = append(f.calls, strings.TrimPrefix(call, "fw --direct --permanent "))
	if len(arguments) < 4 {
		return []byte("success\n"), nil
	}
	action, subject := arguments[2], strings.Join(arguments[3:], " ")
	switch action {
	case "--query-chain", "--query-rule":
		if !f.state[subject] {
			return []byte("no\n"), &exec.ExitError{}
		}
		return []byte("yes\n"), nil
	case "--add-chain", "--add-rule":
		f.state[subject] = true
	case "--remove-chain", "--remove-rule":
		delete(f.state, subject)
	}
	return []byte("success\n"), nil
}

func (f *firewall) take() []string {
	calls := f.calls
	f.calls = nil
	return calls
}

func newFirewall(t *testing.T) (Manager, *firewall) {
	f := &firewall{state: map[string]bool{}}
	m, _ := newManager(t, "whitelistfirewall", Config{Firewall: map[string]string{"firewall_cmd": "fw"}, System: System{Run: f.run}})
	return m, f
}

const ownerRuleText = "ipv4 filter OUTPUT 0 -m owner --uid-owner 2003 -j slappart3-whitelist"

// MGR-51, MGR-52, MGR-53, MGR-54, MGR-55, MGR-56.
func TestWhitelistFirewallSequences(t *testing.T) {
	m, f := newFirewall(t)
	partition := newPartition(t, nil)
	request := filepath.Join(partition.Path, whitelistRequest)
	check := func(step string, hook func(context.Context, *Partition) error, want ...string) {
		t.Helper()
		if err := hook(t.Context(), partition); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		if got := f.take(); !slices.Equal(got, want) {
			t.Errorf("%s: calls\n%s\nwant\n%s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	queries := []string{"--query-chain ipv4 filter slappart3-whitelist", "--query-rule " + ownerRuleText}
	check("no file", m.InstanceTearDown, queries...)

	testkit.WriteFile(t, request, `["10.1.2.3", "nonsense", 7, "::1", "10.1.2.4"]`)
	rules := []string{
		"--remove-rules ipv4 filter slappart3-whitelist",
		"--add-rule ipv4 filter slappart3-whitelist 0 -d 10.1.2.3 -j ACCEPT",
		"--add-rule ipv4 filter slappart3-whitelist 0 -d 10.1.2.4 -j ACCEPT",
		"--add-rule ipv4 filter slappart3-whitelist 0 -j REJECT",
		"--query-rule " + ownerRuleText,
	}
	check("first", m.InstanceTearDown, slices.Concat(
		[]string{queries[0], "--add-chain ipv4 filter slappart3-whitelist"}, rules,
		[]string{"--add-rule " + ownerRuleText, "fw --reload"})...)
	if got, want := testkit.ReadFile(t, filepath.Join(partition.Path, whitelistDigest)), digest([]byte(testkit.ReadFile(t, request))); got != want {
		t.Errorf("digest %q, want %q", got, want)
	}
	check("unchanged", m.InstanceTearDown, queries[0])

	testkit.WriteFile(t, request, `[]`)
	check("changed", m.InstanceTearDown, queries[0], rules[0], rules[3], rules[4], "fw --reload")

	testkit.WriteFile(t, request, `{"a": 1}`)
	check("no list", m.InstanceTearDown)

	if err := os.Remove(request); err != nil {
		t.Fatal(err)
	}
	cleaning := []string{queries[0], "--remove-rules ipv4 filter slappart3-whitelist", "--remove-chain ipv4 filter slappart3-whitelist",
		queries[1], "--remove-rule " + ownerRuleText, "fw --reload"}
	check("file removed", m.InstanceTearDown, cleaning...)
	if exists(filepath.Join(partition.Path, whitelistDigest)) {
		t.Error("the digest is still there")
	}

	testkit.WriteFile(t, request, `[]`)
	check("again", m.InstanceTearDown, queries[0], "--add-chain ipv4 filter slappart3-whitelist", rules[0], rules[3], rules[4],
		"--add-rule "+ownerRuleText, "fw --reload")
	check("report", m.Report, cleaning...)
	if exists(filepath.Join(partition.Path, whitelistDigest)) {
		t.Error("the digest is still there after report")
	}
}

// An interrupted run is repeated: the digest is empty until the reload.
func TestWhitelistFirewallRunFails(t *testing.T) {
	m, f := newFirewall(t)
	partition := newPartition(t, map[string]string{whitelistRequest: "[]"})
	f.fail = errors.New("no such program")
	if err := m.InstanceTearDown(t.Context(), partition); !errors.Is(err, f.fail) {
		t.Errorf("error %v", err)
	}
	if err := m.Report(t.Context(), partition); !errors.Is(err, f.fail) {
		t.Errorf("report: error %v", err)
	}
	f.fail = nil
	if err := m.InstanceTearDown(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	if calls := f.take(); !slices.Contains(calls, "fw --reload") {
		t.Errorf("calls %q", calls)
	}
}

// MGR-50.
func TestWhitelistFirewallDisabled(t *testing.T) {
	m, log := newManager(t, "whitelistfirewall", Config{System: System{Run: func(context.Context, string, ...string) ([]byte, error) {
		t.Error("a command was run")
		return nil, nil
	}}})
	partition := newPartition(t, map[string]string{whitelistRequest: "[]"})
	for _, hook := range []func(context.Context, *Partition) error{m.InstanceTearDown, m.Report} {
		if err := hook(t.Context(), partition); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(log.String(), "[firewall] missing in the configuration, manager disabled.") {
		t.Errorf("log %s", log)
	}
}

// Only IPv4 addresses get into the rules.
func FuzzWhitelist(f *testing.F) {
	f.Add([]byte(`["10.0.0.1", "::1", "::ffff:10.0.0.1", "10.0.0.1/8", 1, null, "-j ACCEPT"]`))
	f.Fuzz(func(t *testing.T, request []byte) {
		addresses, err := (&whitelistFirewall{log: slog.New(slog.DiscardHandler)}).addresses(request)
		for _, address := range addresses {
			if !address.Is4() || err != nil {
				t.Errorf("%s, %v", address, err)
			}
		}
	})
}

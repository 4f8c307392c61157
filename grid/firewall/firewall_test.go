// SPDX-License-Identifier: GPL-3.0-or-later

package firewall

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func ruleTexts(rules []Rule) []string {
	var texts []string
	for _, rule := range rules {
		texts = append(texts, strings.TrimPrefix(rule.String(), rulePrefix))
	}
	return texts
}

// GRID-80, GRID-81.
func TestRules(t *testing.T) {
	addresses := []slap.Address{
		{Interface: "slaptun0", IP: "10.0.0.9"}, {Interface: "route_x", IP: "10.0.0.1"},
		{Interface: "route_x", IP: "2001:db8::1"}, {Interface: "route_x", IP: "10.0.0.1"},
	}
	peers := []slap.Address{{Interface: "route_x", IP: "10.0.0.1"}, {Interface: "", IP: "10.0.0.2"}, {Interface: "x", IP: "2001:db8::2"}}
	for name, test := range map[string]struct {
		traffic Traffic
		want    []string
	}{
		"no routed address": {Traffic{Addresses: addresses[:1], Peers: peers}, nil},
		"accept": {Traffic{Addresses: addresses, Peers: peers, Authorized: []string{"10.1.0.0/16", "", "nonsense"},
			Filter: slap.Dict{"fw_authorized_sources": "1.2.3.4 5.6.7.8/24; 1.1.1.1;reboot"}}, []string{
			"INPUT 0 -s 10.0.0.2 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 10.0.0.2 -d 10.0.0.1 -j ACCEPT",
			"INPUT 0 -s 1.2.3.4 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 1.2.3.4 -d 10.0.0.1 -j ACCEPT",
			"INPUT 0 -s 10.1.0.0/16 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 10.1.0.0/16 -d 10.0.0.1 -j ACCEPT",
			"INPUT 1000 -d 10.0.0.1 -j REJECT", "FORWARD 1000 -d 10.0.0.1 -j REJECT",
			"INPUT 900 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
			"FORWARD 900 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
		}},
		"reject": {Traffic{Addresses: addresses, Peers: peers, Authorized: []string{"10.1.0.0/16"},
			Filter: slap.Dict{"fw_restricted_access": "off", "fw_rejected_sources": "10.0.0.7", "fw_authorized_sources": "1.2.3.4"}}, []string{
			"INPUT 800 -s 10.0.0.7 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
			"FORWARD 800 -s 10.0.0.7 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
			"INPUT 900 -s 10.0.0.7 -d 10.0.0.1 -j REJECT", "FORWARD 900 -s 10.0.0.7 -d 10.0.0.1 -j REJECT",
			"INPUT 0 -s 10.0.0.2 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 10.0.0.2 -d 10.0.0.1 -j ACCEPT",
			"INPUT 0 -s 10.1.0.0/16 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 10.1.0.0/16 -d 10.0.0.1 -j ACCEPT",
			"INPUT 0 -s 1.2.3.4 -d 10.0.0.1 -j ACCEPT", "FORWARD 0 -s 1.2.3.4 -d 10.0.0.1 -j ACCEPT",
		}},
		"two addresses are one list": {Traffic{Filter: slap.Dict{"fw_rejected_sources": 3},
			Addresses: []slap.Address{{Interface: "route_a", IP: "10.0.0.1"}, {Interface: "route_b", IP: "10.0.0.3"}}}, []string{
			"INPUT 1000 -d 10.0.0.1 -j REJECT", "FORWARD 1000 -d 10.0.0.1 -j REJECT",
			"INPUT 900 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
			"FORWARD 900 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT",
			"INPUT 1000 -d 10.0.0.3 -j REJECT", "FORWARD 1000 -d 10.0.0.3 -j REJECT",
			"INPUT 900 -d 10.0.0.3 -m state --state ESTABLISHED,RELATED -j REJECT",
			"FORWARD 900 -d 10.0.0.3 -m state --state ESTABLISHED,RELATED -j REJECT",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			rules := test.traffic.Rules(slog.New(slog.NewTextHandler(&log, nil)))
			if got := ruleTexts(rules); !reflect.DeepEqual(got, test.want) {
				t.Errorf("rules are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			for _, rule := range rules {
				if again, err := parseRule(rule.String()); err != nil || again != rule {
					t.Errorf("%s is read as %v, %v", rule, again, err)
				}
			}
			if name == "accept" && strings.Count(log.String(), "is not valid. ignored") != 3 {
				t.Errorf("warnings: %s", &log)
			}
		})
	}
}

func TestParseRuleRefuses(t *testing.T) {
	for _, text := range []string{
		"", "INPUT 0 -d 10.0.0.1 -j ACCEPT", rulePrefix, rulePrefix + "INPUT",
		rulePrefix + "INPUT 0 -s", rulePrefix + "INPUT 0 -s 10.0.0.1 -d",
		rulePrefix + "INPUT 0 -d 10.0.0.1 -j ACCEPT; reboot",
		rulePrefix + "INPUT 0 -s $(reboot) -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "INPUT 0 -s 10.0.0.0/33 -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "INPUT 0 -s 10.0.0.0/255.0.255.0 -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "INPUT 0 -s 10.0.0.0/::ffff:255.0.0.0 -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "OUTPUT 0 -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "INPUT 00 -d 10.0.0.1 -j ACCEPT",
		rulePrefix + "INPUT 0 -d ::1 -j ACCEPT",
		rulePrefix + "INPUT 0 -d 10.0.0.1 -j DROP",
		rulePrefix + "INPUT 0  -d 10.0.0.1 -j ACCEPT",
	} {
		if rule, err := parseRule(text); err == nil {
			t.Errorf("%q was read as %v", text, rule)
		}
	}
}

// A network may have a netmask instead of a length, as for firewalld.
func TestParseSource(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/255.255.0.0": "10.1.0.0/16", "10.1.2.3/0.0.0.0": "10.1.2.3/0", "10.1.2.3/255.255.255.255": "10.1.2.3/32", "10.1.2.3": "10.1.2.3/32",
	} {
		if got, err := parseSource(text); err != nil || got.String() != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}

func FuzzRule(f *testing.F) {
	f.Add(rulePrefix + "INPUT 0 -s 10.0.0.0/8 -d 10.0.0.1 -j ACCEPT")
	f.Add(rulePrefix + "FORWARD 900 -d 10.0.0.1 -m state --state ESTABLISHED,RELATED -j REJECT")
	f.Fuzz(func(t *testing.T, text string) {
		if rule, err := parseRule(text); err == nil && rule.String() != text {
			t.Errorf("%q became %q", text, rule)
		} else if err == nil && strings.ContainsAny(text, ";&|$`<>()'\"\\\n*?[]{}~#!") {
			t.Errorf("%q would not be one command", text)
		}
	})
}

// A fakeFirewalld is a firewall-cmd that keeps its rules in a file.
type fakeFirewalld struct {
	t         *testing.T
	directory string
	root      *confined.Directory
	state     *confined.Directory
	firewall  *Firewall
	log       bytes.Buffer
}

func newFakeFirewalld(t *testing.T) *fakeFirewalld {
	f := &fakeFirewalld{t: t, directory: t.TempDir()}
	command := testkit.WriteFile(t, filepath.Join(f.directory, "firewall-cmd"), `#!/bin/sh
echo "$*" >>`+f.directory+`/calls
echo "WARNING: something about the weather" >&2
args=$*
rule=${args#*-rule}
touch `+f.directory+`/rules
case $args in
*--query-rule*) if grep -qxF -- "$rule" `+f.directory+`/rules; then echo yes; else echo no; exit 1; fi;;
*--add-rule*) echo "$rule" >>`+f.directory+`/rules; echo success;;
*--remove-rule*) grep -vxF -- "$rule" `+f.directory+`/rules >`+f.directory+`/new; mv `+f.directory+`/new `+f.directory+`/rules; echo success;;
esac
`)
	os.Chmod(command, 0o755)
	instance := filepath.Join(f.directory, "slappart0")
	os.Mkdir(instance, 0o750)
	root, err := confined.Open(instance)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	f.root = root
	state := filepath.Join(f.directory, "state")
	os.Mkdir(state, 0o700)
	if f.state, err = confined.Open(state); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.state.Close() })
	options := Options{Command: command, ReloadCommand: "echo reload >>" + f.directory + "/calls"}
	f.firewall = New(options, []string{"PATH=" + os.Getenv("PATH")}, f.logger())
	return f
}

func (f *fakeFirewalld) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&f.log, nil)) }

func (f *fakeFirewalld) set(traffic Traffic) error {
	return f.firewall.Set(context.Background(), Place{Partition: "slappart0", State: f.state, Directory: f.root, Addresses: traffic.Addresses}, traffic.Rules(f.logger()), f.logger())
}

func (f *fakeFirewalld) lines(name string) []string {
	content, _ := os.ReadFile(filepath.Join(f.directory, name))
	os.Remove(filepath.Join(f.directory, "calls"))
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

func trafficTo(ip string) Traffic {
	return Traffic{Addresses: []slap.Address{{Interface: "route_a", IP: ip}}}
}

// GRID-82.
func TestFirewalld(t *testing.T) {
	f := newFakeFirewalld(t)
	check := func(what string, traffic Traffic, wantCalls int, wantReload bool) {
		t.Helper()
		if err := f.set(traffic); err != nil {
			t.Fatal(what, err)
		}
		calls := f.lines("calls")
		if len(calls) != wantCalls || (calls[len(calls)-1] == "reload") != wantReload {
			t.Errorf("%s: calls are\n%s", what, strings.Join(calls, "\n"))
		}
		var texts []string
		content, _ := f.root.Read(RulesFile)
		if err := json.Unmarshal(content, &texts); err != nil {
			t.Errorf("%s: %v: %s", what, err, content)
		}
		var want []string
		for _, rule := range traffic.Rules(f.logger()) {
			want = append(want, rule.String())
		}
		if len(texts)+len(want) > 0 && !reflect.DeepEqual(texts, want) {
			t.Errorf("%s: the file holds %s", what, content)
		}
		if rules := f.lines("rules"); len(want) != len(rules) && len(want) > 0 {
			t.Errorf("%s: rules are\n%s", what, strings.Join(rules, "\n"))
		}
	}
	check("first", trafficTo("10.0.0.1"), 4*2+1, true)
	check("again", trafficTo("10.0.0.1"), 4, false)
	check("other address", trafficTo("10.0.0.2"), 4*2*2+1, true)
	os.Remove(filepath.Join(f.root.Name(), RulesFile))
	check("file lost", trafficTo("10.0.0.2"), 4, false)
	check("none", Traffic{}, 4*2+1, true)
	check("none again", Traffic{}, 1, false)
	if content, _ := f.root.Read(RulesFile); string(content) != "[]" {
		t.Errorf("the file holds %s", content)
	}
	if info, err := os.Stat(filepath.Join(f.root.Name(), RulesFile)); err != nil || info.Mode() != 0o644 {
		t.Error(info, err)
	}
}

func TestFirewalldHostileFile(t *testing.T) {
	f := newFakeFirewalld(t)
	path := filepath.Join(f.root.Name(), RulesFile)
	proof := filepath.Join(f.directory, "proof")
	for name, content := range map[string]string{
		"not JSON": "[", "not a list": `{"a": 1}`, "command": `["$(touch ` + proof + `)", "; touch ` + proof + `"]`,
		"rule with command": `["` + rulePrefix + `INPUT 0 -s 1.1.1.1;touch ` + proof + ` -d 10.0.0.1 -j ACCEPT"]`,
		"empty":             "",
	} {
		testkit.WriteFile(t, path, content)
		if err := f.set(Traffic{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	os.Remove(path)
	os.Mkdir(path, 0o755)
	if err := f.set(Traffic{}); err != nil || testkit.ReadFile(t, path) != "[]" {
		t.Errorf("a directory in the way: %v", err)
	}
	testkit.MustNotExist(t, proof)
}

// A partition's user who replaces the file of rules, even with one that root
// wrote, such as a service's log, removes no rule of another partition
// (GRID-97).
func TestFirewalldForeignRules(t *testing.T) {
	f := newFakeFirewalld(t)
	if err := f.set(trafficTo("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	victim := rulePrefix + "INPUT 1000 -d 10.9.9.9 -j REJECT"
	testkit.WriteFile(t, filepath.Join(f.directory, "rules"), strings.Replace(victim, "--permanent --direct --add-rule", "", 1)[1:]+"\n")
	testkit.WriteFile(t, f.root.Join(RulesFile), `["`+victim+`", "`+rulePrefix+`INPUT 1000 -d 10.0.0.1 -j REJECT"]`)
	f.lines("calls")
	if err := f.set(trafficTo("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if calls := strings.Join(f.lines("calls"), "\n"); strings.Contains(calls, "10.9.9.9") {
		t.Errorf("calls are\n%s", calls)
	}
	// The agent's own note still has the rules of a former address.
	testkit.WriteFile(t, f.root.Join(RulesFile), "[]")
	if err := f.set(trafficTo("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	if rules := strings.Join(f.lines("rules"), "\n"); strings.Contains(rules, "10.0.0.1 ") {
		t.Errorf("rules of the former address are left:\n%s", rules)
	}
}

func TestFirewalldFailures(t *testing.T) {
	f := newFakeFirewalld(t)
	for name, command := range map[string]string{
		"not found":      filepath.Join(f.directory, "none"),
		"odd answer":     "echo maybe #",
		"failing":        "echo not running; exit 252 #",
		"no success":     `f() { case "$*" in *query*) echo no;; *) echo nothing;; esac; }; f`,
		"failing to add": `f() { case "$*" in *query*) echo no;; *) exit 3;; esac; }; f`,
	} {
		f.firewall = New(Options{Command: command, ReloadCommand: "true"}, []string{"PATH=" + os.Getenv("PATH")}, f.logger())
		if err := f.set(trafficTo("10.0.0.1")); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", name, err)
		}
		testkit.MustNotExist(t, filepath.Join(f.root.Name(), RulesFile))
	}
	f.firewall.backend = &firewalld{command: filepath.Join(f.directory, "firewall-cmd"), reload: "exit 4",
		environment: []string{"PATH=" + os.Getenv("PATH")}, log: f.logger()}
	if err := f.set(trafficTo("10.0.0.1")); err == nil {
		t.Error("a failing reload is no error")
	}
}

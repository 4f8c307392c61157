// SPDX-License-Identifier: GPL-3.0-or-later

package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"slapos/slap"
)

// A Rule decides on packets to an address of a partition. Its text is an option
// of firewall-cmd (GRID-81).
type Rule struct {
	chain       string // INPUT or FORWARD
	priority    int    // rules with a lower one come first
	source      string // address or network, empty: any
	destination netip.Addr
	established bool // only packets of established connections
	accept      bool // else rejected
}

const rulePrefix = "--permanent --direct --add-rule ipv4 filter "

func (r Rule) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s%s %d", rulePrefix, r.chain, r.priority)
	if r.source != "" {
		text.WriteString(" -s " + r.source)
	}
	text.WriteString(" -d " + r.destination.String())
	if r.established {
		text.WriteString(" -m state --state ESTABLISHED,RELATED")
	}
	if r.accept {
		return text.String() + " -j ACCEPT"
	}
	return text.String() + " -j REJECT"
}

// parseRule accepts only texts that String writes: they become part of a
// shell's command line.
func parseRule(text string) (Rule, error) {
	var rule Rule
	refused := fmt.Errorf("%.200q is not a rule of a partition", text)
	rest, found := strings.CutPrefix(text, rulePrefix)
	words := strings.Split(rest, " ")
	if !found || len(words) < 4 {
		return rule, refused
	}
	var err error
	rule.chain = words[0]
	if rule.priority, err = strconv.Atoi(words[1]); err != nil {
		return rule, refused
	}
	words = words[2:]
	if words[0] == "-s" {
		rule.source = words[1]
		words = words[2:]
	}
	if len(words) < 4 {
		return rule, refused
	}
	if rule.destination, err = netip.ParseAddr(words[1]); err != nil {
		return rule, refused
	}
	rule.established = words[2] == "-m"
	rule.accept = words[len(words)-1] == "ACCEPT"
	valid := (rule.chain == "INPUT" || rule.chain == "FORWARD") && rule.destination.Is4() &&
		(rule.source == "" || isSource(rule.source)) && rule.String() == text
	if !valid {
		return rule, refused
	}
	return rule, nil
}

// isSource tells whether text is an IPv4 address or network.
func isSource(text string) bool {
	_, err := parseSource(text)
	return err == nil
}

// parseSource reads ADDRESS, ADDRESS/LENGTH or ADDRESS/NETMASK.
func parseSource(text string) (netip.Prefix, error) {
	address, length, found := strings.Cut(text, "/")
	if !found {
		text += "/32"
	} else if mask, err := netip.ParseAddr(length); err == nil && mask.Is4() {
		number := binary.BigEndian.Uint32(mask.AsSlice())
		ones := bits.LeadingZeros32(^number)
		if number<<ones != 0 {
			return netip.Prefix{}, errors.New("the netmask has a gap")
		}
		text = address + "/" + strconv.Itoa(ones)
	}
	network, err := netip.ParsePrefix(text)
	if err == nil && !network.Addr().Is4() {
		err = errors.New("it isn't IPv4")
	}
	return network, err
}

// Traffic is everything that decides a partition's rules.
type Traffic struct {
	// Addresses are the partition's own; only those of interfaces route_… count.
	Addresses []slap.Address
	// Peers are the addresses of its instance tree.
	Peers []slap.Address
	// Filter holds the user's parameters: fw_restricted_access and so on.
	Filter slap.Dict
	// Authorized are sources for the whole node.
	Authorized []string
}

// Rules computes the rules of all addresses of a partition (GRID-80, GRID-81),
// in the order in which they are applied.
func (t Traffic) Rules(log *slog.Logger) []Rule {
	own := routedAddresses(t.Addresses)
	var peers []string
	for _, peer := range t.Peers {
		if address, err := netip.ParseAddr(peer.IP); err == nil && address.Is4() && !slices.Contains(own, address) {
			peers = append(peers, peer.IP)
		}
	}
	authorized := slices.Concat(t.sources("fw_authorized_sources"), t.Authorized)
	restricted, given := t.Filter["fw_restricted_access"].(string)
	var rules []Rule
	for _, destination := range own {
		if given && restricted == "off" {
			rules = append(rules, rejectRules(destination, validSources(t.sources("fw_rejected_sources"), log))...)
			accepted := slices.Concat(t.Authorized, t.sources("fw_authorized_sources"))
			rules = append(rules, acceptRules(destination, slices.Concat(peers, validSources(accepted, log)))...)
			continue
		}
		rules = append(rules, acceptRules(destination, slices.Concat(peers, validSources(authorized, log)))...)
		rules = append(rules, bothChains(Rule{priority: 1000, destination: destination})...)
		rules = append(rules, bothChains(Rule{priority: 900, destination: destination, established: true})...)
	}
	return rules
}

// routedAddresses returns the IPv4 addresses that packets are routed to.
func routedAddresses(addresses []slap.Address) []netip.Addr {
	var routed []netip.Addr
	for _, address := range addresses {
		ip, err := netip.ParseAddr(address.IP)
		if err == nil && ip.Is4() && strings.HasPrefix(address.Interface, "route_") && !slices.Contains(routed, ip) {
			routed = append(routed, ip)
		}
	}
	return routed
}

// sources splits a list in the filter at blanks.
func (t Traffic) sources(name string) []string {
	text, _ := t.Filter[name].(string)
	return strings.Fields(text)
}

func validSources(sources []string, log *slog.Logger) []string {
	var valid []string
	for _, source := range sources {
		if source = strings.TrimSpace(source); isSource(source) {
			valid = append(valid, source)
		} else if source != "" {
			log.Warn("IP/Network address " + strconv.Quote(source) + " is not valid. ignored..")
		}
	}
	return valid
}

func acceptRules(destination netip.Addr, sources []string) []Rule {
	var rules []Rule
	for _, source := range sources {
		rules = append(rules, bothChains(Rule{source: source, destination: destination, accept: true})...)
	}
	return rules
}

func rejectRules(destination netip.Addr, sources []string) []Rule {
	var rules []Rule
	for _, source := range sources {
		rules = append(rules, bothChains(Rule{priority: 800, source: source, destination: destination, established: true})...)
		rules = append(rules, bothChains(Rule{priority: 900, source: source, destination: destination})...)
	}
	return rules
}

func bothChains(rule Rule) []Rule {
	input, forward := rule, rule
	input.chain, forward.chain = "INPUT", "FORWARD"
	return []Rule{input, forward}
}

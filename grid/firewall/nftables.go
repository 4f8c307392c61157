// SPDX-License-Identifier: GPL-3.0-or-later

package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// nftablesBackend keeps the rules in its own table:
//
//	table ip slapos {
//		map partitions { type ipv4_addr : verdict; elements = { 10.0.0.2 : jump partition_slappart0 } }
//		chain input { type filter hook input priority filter; ip daddr vmap @partitions }
//		chain forward { type filter hook forward priority filter; ip daddr vmap @partitions }
//		chain partition_slappart0 { ip saddr 10.0.0.3 ip daddr 10.0.0.2 accept … }
//	}
//
// Each rule contains its text, by which the next run recognizes it. A partition
// changes in a single kernel transaction.
type nftablesBackend struct{}

var (
	firewallTable = &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "slapos"}
	firewallHooks = []*nftables.Chain{
		{Name: "input", Table: firewallTable, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter},
		{Name: "forward", Table: firewallTable, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter},
	}
)

func destinationMap() *nftables.Set {
	return &nftables.Set{Table: firewallTable, Name: "partitions", IsMap: true,
		KeyType: nftables.TypeIPAddr, DataType: nftables.TypeVerdict}
}

func (nftablesBackend) apply(_ context.Context, partition string, _, wanted []Rule) (changed bool, err error) {
	connection, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	// Both chains have the same rules: both jump to the same chain of the partition.
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(rule Rule) bool { return rule.chain != "INPUT" })
	slices.SortStableFunc(wanted, func(a, b Rule) int { return a.priority - b.priority })
	chain := &nftables.Chain{Name: "partition_" + partition, Table: firewallTable}
	before, err := readNftables(connection, chain)
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	if before.holds(wanted) {
		return false, nil
	}
	if !before.table {
		addFirewallTable(connection)
	}
	if len(wanted) == 0 {
		err = removePartitionChain(connection, chain, before)
	} else {
		err = replacePartitionChain(connection, chain, before, wanted)
	}
	if err != nil {
		return false, fmt.Errorf("nftables: rules of %s: %w", partition, err)
	}
	return true, nil
}

// nftablesState is what the kernel holds for one partition.
type nftablesState struct {
	table        bool
	chain        bool
	rules        []string
	destinations []nftables.SetElement
}

// holds reports whether the rules need no change.
func (s nftablesState) holds(wanted []Rule) bool {
	texts := make([]string, len(wanted))
	for i, rule := range wanted {
		texts[i] = rule.String()
	}
	return s.chain == (len(wanted) > 0) && slices.Equal(s.rules, texts) &&
		len(s.destinations) == len(destinationsOf(wanted))
}

func destinationsOf(rules []Rule) []netip.Addr {
	var found []netip.Addr
	for _, rule := range rules {
		if !slices.Contains(found, rule.destination) {
			found = append(found, rule.destination)
		}
	}
	return found
}

func readNftables(connection *nftables.Conn, chain *nftables.Chain) (nftablesState, error) {
	var state nftablesState
	chains, err := connection.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return state, explainNftables(err)
	}
	for _, present := range chains {
		if present.Table.Name == firewallTable.Name {
			state.table = true
			state.chain = state.chain || present.Name == chain.Name
		}
	}
	if state.table {
		elements, err := connection.GetSetElements(destinationMap())
		if err != nil {
			return state, explainNftables(err)
		}
		for _, element := range elements {
			if element.Comment == chain.Name {
				state.destinations = append(state.destinations, element)
			}
		}
	}
	if state.chain {
		rules, err := connection.GetRules(firewallTable, chain)
		if err != nil {
			return state, explainNftables(err)
		}
		for _, rule := range rules {
			state.rules = append(state.rules, string(rule.UserData))
		}
	}
	return state, nil
}

// addFirewallTable queues the table with everything that partitions share.
func addFirewallTable(connection *nftables.Conn) {
	connection.AddTable(firewallTable)
	destinations := destinationMap()
	// Only a wrong description of the set could fail here, and ours is right.
	_ = connection.AddSet(destinations, nil)
	for _, hook := range firewallHooks {
		connection.AddChain(hook)
		connection.FlushChain(hook)
		connection.AddRule(&nftables.Rule{Table: firewallTable, Chain: hook, Exprs: []expr.Any{
			loadAddress(destinationOffset),
			&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: destinations.Name, SetID: destinations.ID},
		}})
	}
}

func replacePartitionChain(connection *nftables.Conn, chain *nftables.Chain, before nftablesState, wanted []Rule) error {
	connection.AddChain(chain)
	connection.FlushChain(chain)
	for _, rule := range wanted {
		connection.AddRule(&nftables.Rule{Table: firewallTable, Chain: chain, Exprs: rule.expressions(), UserData: []byte(rule.String())})
	}
	var elements []nftables.SetElement
	for _, destination := range destinationsOf(wanted) {
		elements = append(elements, nftables.SetElement{Key: destination.AsSlice(), Comment: chain.Name,
			VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain.Name}})
	}
	if err := deleteDestinations(connection, before.destinations); err != nil {
		return err
	}
	if err := connection.SetAddElements(destinationMap(), elements); err != nil {
		return err
	}
	return explainNftables(connection.Flush())
}

func removePartitionChain(connection *nftables.Conn, chain *nftables.Chain, before nftablesState) error {
	if err := deleteDestinations(connection, before.destinations); err != nil {
		return err
	}
	if before.chain {
		connection.FlushChain(chain)
		connection.DelChain(chain)
	}
	return explainNftables(connection.Flush())
}

func deleteDestinations(connection *nftables.Conn, elements []nftables.SetElement) error {
	if len(elements) == 0 {
		return nil
	}
	keys := make([]nftables.SetElement, len(elements))
	for i, element := range elements {
		keys[i].Key = element.Key
	}
	return connection.SetDeleteElements(destinationMap(), keys)
}

// Offsets of the addresses in an IPv4 header.
const (
	sourceOffset      = 12
	destinationOffset = 16
)

func loadAddress(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4}
}

// expressions returns a rule in the kernel's terms.
func (r Rule) expressions() []expr.Any {
	var all []expr.Any
	if r.source != "" {
		all = append(all, matchNetwork(sourceOffset, r.source)...)
	}
	all = append(all, matchNetwork(destinationOffset, r.destination.String())...)
	if r.established {
		all = append(all,
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
				Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)})
	}
	if r.accept {
		return append(all, &expr.Verdict{Kind: expr.VerdictAccept})
	}
	const portUnreachable = 3 // as iptables sends
	return append(all, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: portUnreachable})
}

// matchNetwork compares an address of the header with an address or network.
func matchNetwork(offset uint32, text string) []expr.Any {
	network, _ := parseSource(text) // checked when it was read
	mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - network.Bits()))
	return []expr.Any{
		loadAddress(offset),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: network.Masked().Addr().AsSlice()},
	}
}

// explainNftables adds what an ordinary user, or the user of a kernel without
// nftables, can do.
func explainNftables(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run as root, or remove the section [firewall]", err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: the kernel has no nftables, install firewalld", err)
	}
	return err
}

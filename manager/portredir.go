// SPDX-License-Identifier: GPL-3.0-or-later

package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
)

// portRedirection runs one socat per entry of .slapos-port-redirect, a JSON list
// of objects, to make an address of the partition reachable elsewhere (MGR-30).
type portRedirection struct {
	hooks
	log    *slog.Logger
	system System
}

const (
	redirectRequest = ".slapos-port-redirect"
	socatGroup      = "socat"
)

func newPortRedirection(config Config) Manager {
	return &portRedirection{log: config.Logger, system: config.System}
}

func (*portRedirection) Name() string { return "portredir" }

func (m *portRedirection) InstanceTearDown(ctx context.Context, partition *Partition) error {
	request, found, err := partition.request(redirectRequest)
	if err != nil {
		return err
	}
	if !found {
		return partition.Supervisor.RemoveGroup(ctx, socatGroup)
	}
	var entries []redirection
	if err := json.Unmarshal(request, &entries); err != nil {
		m.log.Warn("Bad port redirection config file", "partition", partition.ID, "error", err)
		return nil
	}
	programs, err := m.programs(partition, entries)
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return partition.Supervisor.RemoveGroup(ctx, socatGroup)
	}
	return startGroup(ctx, partition.Supervisor, socatGroup, programs, func(string) {})
}

// startGroup sets the group and starts its programs that never ran.
func startGroup(ctx context.Context, supervisor Supervisor, suffix string, programs []Program, starting func(program string)) error {
	if err := supervisor.SetGroup(ctx, suffix, programs); err != nil {
		return err
	}
	for _, program := range programs {
		fresh, err := supervisor.NeverStarted(ctx, suffix, program.Name)
		if err != nil {
			return err
		}
		if !fresh {
			continue
		}
		starting(program.Name)
		if err := supervisor.Start(ctx, suffix, program.Name); err != nil {
			return err
		}
	}
	return nil
}

// programs turns the valid entries into programs of the supervisor, and warns
// about the others.
func (m *portRedirection) programs(partition *Partition, entries []redirection) ([]Program, error) {
	var programs []Program
	position := map[string]int{}
	for _, entry := range entries {
		source, destination, err := entry.sockets(defaultDestination(partition))
		if err != nil {
			m.log.Warn("port redirection skipped", "partition", partition.ID, "error", err)
			continue
		}
		name := fmt.Sprintf("socat-%s-%d", strings.ToLower(entry.protocol()), int(*entry.SourcePort))
		socat, err := m.system.LookPath("socat")
		if err != nil {
			return nil, errors.New("Path to socat executable does not exist") //nolint:staticcheck // MGR-31
		}
		program := Program{Name: name, Command: socat + " " + source + " " + destination}
		if *entry.SourcePort >= 1024 { // MGR-32: lower ones need root
			program.UID, program.GID = partition.UID, partition.GID
		}
		if at, known := position[name]; known {
			m.log.Warn("port redirected twice, the last one counts", "partition", partition.ID, "program", name)
			programs[at] = program
			continue
		}
		position[name] = len(programs)
		programs = append(programs, program)
	}
	return programs, nil
}

// defaultDestination returns the partition's first IPv6 address.
func defaultDestination(partition *Partition) string {
	for _, address := range partition.Addresses {
		if strings.Contains(address.IP, ":") {
			return address.IP
		}
	}
	return ""
}

type redirection struct {
	Type               *string `json:"type"`
	SourcePort         *port   `json:"srcPort"`
	SourceAddress      *string `json:"srcAddress"`
	DestinationPort    *port   `json:"destPort"`
	DestinationAddress *string `json:"destAddress"`
}

func (r redirection) protocol() string {
	if r.Type == nil {
		return "tcp"
	}
	return *r.Type
}

// sockets returns the two addresses on socat's command line (MGR-31).
func (r redirection) sockets(defaultDestination string) (source, destination string, err error) {
	protocol := strings.ToUpper(r.protocol())
	if protocol != "TCP" && protocol != "UDP" {
		return "", "", fmt.Errorf("type %q is neither tcp nor udp", r.protocol())
	}
	if r.SourcePort == nil || !r.SourcePort.valid() {
		return "", "", errors.New("srcPort is missing or not a port")
	}
	if r.DestinationPort == nil || !r.DestinationPort.valid() {
		return "", "", errors.New("destPort is missing or not a port")
	}
	version, bind := 4, ""
	if r.SourceAddress != nil {
		address, err := parseAddress(*r.SourceAddress)
		if err != nil {
			return "", "", fmt.Errorf("srcAddress: %w", err)
		}
		version, bind = addressVersion(address), ",bind="+address.String()
	}
	if r.DestinationAddress != nil {
		defaultDestination = *r.DestinationAddress
	}
	address, err := parseAddress(defaultDestination)
	if err != nil {
		return "", "", fmt.Errorf("destAddress: %w", err)
	}
	source = fmt.Sprintf("%s%d-LISTEN:%d%s,fork", protocol, version, *r.SourcePort, bind)
	destination = fmt.Sprintf("%s%d:%s", protocol, addressVersion(address),
		netip.AddrPortFrom(address, uint16(*r.DestinationPort)))
	return source, destination, nil
}

// parseAddress refuses zones: they are free text that would end up on a command line.
func parseAddress(text string) (netip.Addr, error) {
	address, err := netip.ParseAddr(text)
	if err == nil && address.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q has a zone", text)
	}
	return address, err
}

func addressVersion(address netip.Addr) int {
	if address.Is4() {
		return 4
	}
	return 6
}

// port is written as a number or as digits; it becomes 0 for anything else, so
// that one bad entry leaves the others alone.
type port int

func (p port) valid() bool { return p > 0 && p < 1<<16 }

func (p *port) UnmarshalJSON(text []byte) error {
	number, err := strconv.Atoi(string(bytes.Trim(text, `"`)))
	if err != nil {
		number = 0
	}
	*p = port(number)
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/proxy"
	"slapos/proxy/authority"
	"slapos/proxy/store"
)

// isAuthority reads whether the master has an authority of its own.
func isAuthority(settings map[string]string) (bool, error) {
	return isTrue(settings, "listen_authority")
}

// authorityDirectory is where the authority of a master is.
func (e *environment) authorityDirectory(settings map[string]string) (string, error) {
	if directory := e.expandUser(settings["authority_directory"]); directory != "" {
		return directory, nil
	}
	uri := settings["database_uri"]
	if strings.HasPrefix(uri, "postgres://") || strings.HasPrefix(uri, "postgresql://") {
		return "", errors.New("listen_authority needs authority_directory in section [slapproxy]: a directory of the master's alone, for its key")
	}
	return filepath.Join(filepath.Dir(e.expandUser(uri)), "authority"), nil
}

// openAuthority opens the authority of a master, and makes it when it is missing.
func (e *environment) openAuthority(settings map[string]string) (*authority.Authority, error) {
	directory, err := e.authorityDirectory(settings)
	if err != nil {
		return nil, err
	}
	return authority.Open(directory, authority.Options{Now: e.now, Names: func() []string { return masterNames(settings) }})
}

// authoritySecurity is how a master with an authority listens.
func (e *environment) authoritySecurity(settings map[string]string, options *proxy.Options) (*tls.Config, error) {
	var others *x509.CertPool
	if file := settings["listen_client_ca_file"]; file != "" {
		var err error
		if others, err = clientAuthorities(e.expandUser(file)); err != nil {
			return nil, err
		}
	}
	var err error
	if options.Authority, err = e.openAuthority(settings); err != nil {
		return nil, err
	}
	return options.Authority.TLS(others), nil
}

// masterNames are the names and addresses that a master is reached at.
func masterNames(settings map[string]string) []string {
	names := append(strings.Fields(settings["listen_names"]), strings.Trim(settings["host"], "[]"))
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	for _, address := range slices.Concat(machineAddresses()) {
		names = append(names, address.String())
	}
	return names
}

// machineAddresses are those that other machines reach, the likely ones first: of
// networks before single ones, which are partitions', then IPv4 before IPv6; and
// those of the loopback interface, where partitions may have theirs. Those of a
// link alone are left out: nobody can write them without a zone.
func machineAddresses() (reached, onLoopback []net.IP) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, nil
	}
	var networks []*net.IPNet
	for _, link := range interfaces {
		addresses, _ := link.Addrs() // none if it is gone
		for _, address := range addresses {
			network, ok := address.(*net.IPNet)
			switch {
			case !ok || network.IP.IsLoopback() || network.IP.IsLinkLocalUnicast() || network.IP.IsMulticast():
			case link.Flags&net.FlagLoopback != 0:
				onLoopback = append(onLoopback, network.IP)
			default:
				networks = append(networks, network)
			}
		}
	}
	rank := func(network *net.IPNet) int {
		ones, bits := network.Mask.Size()
		return bits + 256*(ones/bits) // 32 or 128, more for a single address
	}
	slices.SortStableFunc(networks, func(a, b *net.IPNet) int { return rank(a) - rank(b) })
	for _, network := range networks {
		reached = append(reached, network.IP)
	}
	return reached, onLoopback
}

// joinURL is where machines join: the first name of listen_names, or the host, or an
// address of the machine if it listens on all.
func joinURL(settings map[string]string) (url string, reachable bool) {
	host := strings.Trim(settings["host"], "[]")
	reachable = true
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		reachable = false
		addresses, _ := machineAddresses()
		for _, address := range addresses {
			if ip.To4() == nil || address.To4() != nil {
				host, reachable = address.String(), true
				break
			}
		}
	} else if ip != nil && ip.IsLoopback() || host == "localhost" {
		reachable = false
	}
	if names := strings.Fields(settings["listen_names"]); len(names) > 0 {
		host = names[0]
	}
	return "https://" + net.JoinHostPort(host, settings["port"]), reachable
}

// withAccess runs something on the tokens and certificates of a master.
func (e *environment) withAccess(ctx context.Context, path string, run func(map[string]string, *store.Database) error) error {
	return e.withConfiguration(path, []string{"slapproxy", "slapos"}, func(configuration *pytext.Configuration) error {
		settings, err := proxySettings(configuration, map[string]string{})
		if err != nil {
			return err
		}
		if listens, err := isAuthority(settings); err != nil {
			return err
		} else if !listens {
			return fmt.Errorf("this master has no authority of its own: set listen_authority = true in section [slapproxy] of %s, and start it again", configuration.Path())
		}
		if settings["computer_id"] == "" {
			return fmt.Errorf("%s: computer_id is missing in section [slapos]", configuration.Path())
		}
		database, err := store.Open(ctx, store.Options{
			URI: settings["database_uri"], Computer: settings["computer_id"],
			SoftwareRoot: settings["local_software_release_root"], Logger: e.log, Now: e.now,
		})
		if err != nil {
			return err
		}
		defer database.Close()
		return run(settings, database)
	})
}

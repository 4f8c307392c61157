// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// NormalizeURL puts a Master's URL into the form that method names are resolved
// against: it adds brackets around a bare IPv6 address, and a slash at the end
// (SLAP-1, SLAP-2).
func NormalizeURL(master string) string {
	master = bracketIPv6(master)
	if !strings.HasSuffix(master, "/") {
		master += "/"
	}
	return master
}

// bracketIPv6 puts an IPv6 host into brackets. If all of the authority can be
// an address, it is one; otherwise the last part is a port.
func bracketIPv6(master string) string {
	scheme, rest, found := strings.Cut(master, "://")
	if !found {
		return master
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if ip, ok := parseIPv6(authority); ok {
		authority = "[" + ip + "]"
	} else if colon := strings.LastIndexByte(authority, ':'); colon >= 0 {
		if ip, ok := parseIPv6(authority[:colon]); ok {
			authority = "[" + ip + "]" + authority[colon:]
		}
	}
	return strings.ToLower(scheme) + "://" + authority + rest[end:]
}

func parseIPv6(s string) (string, bool) {
	ip, err := netip.ParseAddr(s)
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		return "", false
	}
	return ip.String(), true
}

// parseMaster checks and normalises a Master's URL.
func parseMaster(master string) (*url.URL, error) {
	scheme, _, _ := strings.Cut(master, "://")
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("master URL %q: it must begin with http:// or https://", master)
	}
	u, err := url.Parse(NormalizeURL(master))
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) { // it repeats the URL
			err = parse.Err
		}
		return nil, fmt.Errorf("master URL %q: %w", master, err)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("master URL %q: it names no host", master)
	}
	return u, nil
}

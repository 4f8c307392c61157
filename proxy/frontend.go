// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"net/url"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// These frontends aren't allocated: the answer is the address they would lead to
// (PROXY-80, PROXY-81).
const (
	apacheFrontend = "http://git.erp5.org/gitweb/slapos.git/blob_plain/HEAD:/software/apache-frontend/software.cfg"
	kvmFrontend    = "http://git.erp5.org/gitweb/slapos.git/blob_plain/refs/tags/slapos-0.92:/software/kvm/software.cfg"
)

// frontend is the short-cut's answer to a request for a shared instance, nil
// when there is none.
func frontend(o origin, order store.Order) *slap.Partition {
	switch order.SoftwareRelease {
	case apacheFrontend:
		switch order.SoftwareType {
		case "", "RootSoftwareInstance", slap.DefaultSoftwareType:
			return webFrontend(o, order.Parameters)
		}
	case kvmFrontend:
		if order.SoftwareType == "frontend" {
			return vncFrontend(order.Parameters)
		}
	}
	return nil
}

func webFrontend(o origin, parameters slap.Dict) *slap.Partition {
	address, _ := parameters["url"].(string)
	target, err := url.Parse(address)
	if address == "" || err != nil {
		return nil
	}
	access, domain := address, target.Host
	if o.scheme == "https" {
		// A client that came by https stays on https, through our own HTTP proxy.
		access, domain = throughUs(o, target), o.host
		if target.Fragment != "" {
			access += "#" + target.EscapedFragment()
		}
	}
	return fake("Fake frontend for "+address, slap.Dict{"secure_access": access, "domain": domain})
}

func vncFrontend(parameters slap.Dict) *slap.Partition {
	if !truthy(parameters["host"]) || !truthy(parameters["port"]) {
		return nil
	}
	host := slap.PythonString(parameters["host"])
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	address := "https://" + host + ":" + slap.PythonString(parameters["port"]) + "/"
	return fake("Fake KVM VNC frontend for "+address,
		slap.Dict{"url": address, "domainname": host, "port": parameters["port"], "path": "/"})
}

func fake(name string, connection slap.Dict) *slap.Partition {
	return &slap.Partition{
		Reference: name, Partial: true, Parameters: slap.Dict{}, ConnectionParameters: connection,
		Extra: slap.Dict{"slap_computer_id": "", "slap_computer_partition_id": ""},
	}
}

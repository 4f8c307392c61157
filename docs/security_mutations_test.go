// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

// mutations are the security checks of the program, in the order of security.md.
var mutations = []mutation{
	{
		check: "The network cache's server is verified",
		file:  "networkcache/service.go",
		old:   `config := &tls.Config{NextProtos`, new: `config := &tls.Config{InsecureSkipVerify: true, NextProtos`,
		test: "networkcache.TestTLS",
	},
	{
		check: "The client shows its certificate to the network cache",
		file:  "networkcache/service.go",
		old:   `config.Certificates = []tls.Certificate{certificate}`, new: `_ = certificate`,
		test: "networkcache.TestTLS",
	},
	{
		check: "The network cache's redirects are not followed",
		file:  "networkcache/service.go",
		old:   `return http.ErrUseLastResponse`, new: `return nil`,
		test: "networkcache.TestTLSIsKept",
	},
	{
		check: "The master's server is verified",
		file:  "slap/client.go",
		old:   `InsecureSkipVerify: config.Insecure`, new: `InsecureSkipVerify: true`,
		test: "slap.TestTLS",
	},
}

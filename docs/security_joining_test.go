// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var joiningMutations = []mutation{
	// Machines and people with certificates or tokens of the master's own authority.
	{
		"A joining machine knows the master by the token's pin", "proxy/authority/server.go", "proxy/authority.TestPinned",
		`if PinOf(certificate) == pin {`,
		`if true {`,
	},
	{
		"The pinned authority has signed the master's certificate", "proxy/authority/server.go", "proxy/authority.TestPinned",
		`	return &PinError{pin}
}

// CertificateIn`,
		`	return nil
}

// CertificateIn`,
	},
	{
		"A node's certificate is no server's", "proxy/authority/sign.go", "proxy/authority.TestRequests",
		`ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},`,
		`ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},`,
	},
	{
		"The signature of a certificate request is checked", "proxy/authority/sign.go", "proxy/authority.TestRequests",
		`if err := request.CheckSignature(); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"The key of a certificate request is strong enough", "proxy/authority/sign.go", "proxy/authority.TestRequests",
		`if err := checkKey(request.PublicKey); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"An authority's directory is its owner's alone", "proxy/authority/authority.go", "proxy/authority.TestOpenRefuses",
		`	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others: chmod 700`,
		`	case false:
		return fmt.Errorf("%s is open to others: chmod 700`,
	},
	{
		"An authority's files are no links", "proxy/authority/authority.go", "proxy/authority.TestOpenRefuses",
		`os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK`,
		`os.O_RDONLY|unix.O_NONBLOCK`,
	},
	{
		"A token's secret is compared", "proxy/store/access.go", "proxy/store.TestSQLite",
		`subtle.ConstantTimeCompare([]byte(rows[0].Digest), []byte(joining.Digest)) != 1`,
		`subtle.ConstantTimeCompare([]byte(rows[0].Digest), []byte(joining.Digest)) > 1`,
	},
	{
		"A machine that joins gets no name of another", "proxy/store/access.go", "proxy/store.TestSQLite",
		`		taken = taken || found
`,
		``,
	},
	{
		"A node that asks for a person's instances is refused", "proxy/store/requests.go", "proxy.TestNodesAct",
		`order.OnlyPartition && r.Root == ""`,
		`false`,
	},
	{
		"A node acts for its own computer alone", "proxy/roles.go", "proxy.TestRules",
		`if computer != s.computer {`,
		`if computer == "" {`,
	},
	{
		"A partition acts for itself alone", "proxy/roles.go", "proxy.TestPartitionCertificate",
		`if s.partition != "" && id.Partition != s.partition {`,
		`if false {`,
	},
	{
		"A route without a rule lets nobody in", "proxy/roles.go", "proxy.TestRules",
		`	return nil, refuse(http.StatusForbidden, "The role %s, which %s has, may not do this.", who.Role, who.Name)`,
		`	return r, nil`,
	},
	{
		"A revoked certificate is refused", "proxy/access.go", "proxy.TestRevoked",
		`case row.Revoked != 0:`,
		`case false:`,
	},
	{
		"A revocation ends a request that waits", "proxy/waiting.go", "proxy.TestRevoked",
		`err = p.stillAdmitted(r)`,
		`err = nil`,
	},
	{
		"A partition's certificate ends with its instance", "proxy/access.go", "proxy.TestPartitionCertificate",
		`tenant == "" || tenant != subject.Tenant {`,
		`tenant == "" {`,
	},
	{
		"A node's certificate is no administrator's by the configuration", "proxy/roles.go", "cmd/slapos.TestAuthorityRoles",
		`			configured.TLS = &tls.ConnectionState{}
`,
		`			configured.TLS = r.TLS
`,
	},
}

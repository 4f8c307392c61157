// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var slapMutations = []mutation{
	// The master's client.
	{
		"The master's server is verified", "slap/client.go", "slap.TestTLS",
		`InsecureSkipVerify: config.Insecure`,
		`InsecureSkipVerify: true`,
	},
	{
		"The master's file of authorities isn't empty", "slap/client.go", "slap.TestTLS",
		`if !t.RootCAs.AppendCertsFromPEM(pem) {`,
		`if t.RootCAs.AppendCertsFromPEM(pem); false {`,
	},
	{
		"The client shows its certificate to the master", "slap/client.go", "slap.TestTLS",
		`return config.certificate()
		}`,
		`return &tls.Certificate{}, nil
		}`,
	},
	{
		"The master's redirects are limited", "slap/client.go", "slap.TestRedirects",
		`if len(via) >= maxRedirects {`,
		`if false {`,
	},
	{
		"A login of .netrc only goes to its host", "slap/client.go", "slap.TestLogin",
		`netrcLogin(c.config.Home, r.URL.Hostname())`,
		`netrcLogin(c.config.Home, c.master.Hostname())`,
	},
	{
		"A login of .netrc doesn't go to unknown hosts", "slap/netrc.go", "slap.TestParseNetrc",
		`entry.matches = !entry.fallback && value == host`,
		`entry.matches = !entry.fallback`,
	},
	{
		"Errors of the master show no password", "slap/transport.go", "slap.TestErrorsShowNoPassword",
		`asked.User = nil
`,
		`
`,
	},
	{
		"Errors of redirects show no password", "slap/transport.go", "slap.TestErrorsShowNoPassword",
		`final.User = nil
`,
		`
`,
	},
	{
		"The master's answer is limited", "slap/transport.go", "slap.TestAnswersAreLimited",
		`case len(buffer) > most:`,
		`case false:`,
	},
	{
		"The number of values in an answer is limited", "slap/decode.go", "slap.TestUnmarshalMemory",
		`d.values-d.shared > maxValues {`,
		`false {`,
	},
	{
		"Answers to many calls at once are short", "slap/transport.go", "slap.TestEndlessAnswers",
		`cmp.Or(call.most, maxAnswer)`,
		`max(call.most, maxAnswer, cmp.Or(0))`,
	},
	{
		"An answer over its limit names the master", "slap/transport.go", "slap.TestEndlessAnswers",
		`if errors.Is(err, errTooLarge) {`,
		`if false {`,
	},
	{
		"Declarations of XML entities are limited", "slap/xmldtd.go", "slap.TestUnmarshalBombs",
		`s.declared > maxDeclarations {`,
		`false {`,
	},
	{
		"XML that must be converted is limited", "slap/xmldtd.go", "slap.TestUnmarshalBombs",
		`	if len(data) > maxConverted {
		return nil, errTooLargeToConvert
	}
	if`,
		`	if`,
	},
	{
		"The body of the master's error is limited", "slap/transport.go", "slap.TestAnswersAreLimited",
		`io.LimitReader(body, maxErrorBody)`,
		`body`,
	},
	{
		"A master that sends nothing is given up", "slap/transport.go", "slap.TestTimeout",
		`cancel(fmt.Errorf("no answer within %s", patience))`,
		`_ = fmt.Errorf("no answer within %s", c.timeout)`,
	},
	{
		"The size of XML entities is limited", "slap/xmldtd.go", "slap.TestUnmarshalBombs",
		`if s.expanded > maxExpansion {`,
		`if false {`,
	},
	{
		"The depth of XML entities is limited", "slap/xmldtd.go", "slap.TestUnmarshalRefuses",
		`case depth >= maxEntityDepth:`,
		`case false:`,
	},
	{
		"XML entities are internal", "slap/xmldtd.go", "slap.TestUnmarshalRefuses",
		`case e.external:`,
		`case false:`,
	},
	{
		"The number of XML attributes is limited", "slap/xmltags.go", "slap.TestUnmarshalRefuses",
		`if len(s.attrs) >= maxAttributes {`,
		`if false {`,
	},
	{
		"References in XML are limited", "slap/decode.go", "slap.TestUnmarshalBombs",
		`if d.shared += c.size; d.shared > maxShared {`,
		`if d.shared += c.size; false {`,
	},
	{
		"Integers in XML are limited", "slap/decode.go", "slap.TestUnmarshalRefuses",
		`if len(unsigned) > maxDigits {`,
		`if false {`,
	},
	{
		"The Python text of a value is limited", "slap/python.go", "slap.TestPythonTextIsBounded",
		`limit: maxPythonText}`,
		`limit: 1 << 40}`,
	},
	{
		"A schema from the network can't refer to files", "slap/schema/read.go", "slap/schema.TestConfined",
		`if l.remote && !isRemote(location) {`,
		`if false {`,
	},
	{
		"A schema is a regular file", "slap/schema/read.go", "slap/schema.TestConfined",
		`if !info.Mode().IsRegular() {`,
		`if info == nil {`,
	},
	{
		"The size of a schema is limited", "slap/schema/read.go", "slap/schema.TestLarge",
		`io.LimitReader(r, maximumSize+1)`,
		`io.MultiReader(r)`,
	},
	{
		"A schema leads to no nearer address than its release", "slap/schema/reach.go", "slap/schema.TestReach",
		`nearness(to.Addr()) < first`,
		`nearness(to.Addr()) < min(first, 0)`,
	},
	{
		"The documents of a schema are bounded together", "slap/schema/read.go", "slap/schema.TestTogether",
		`l.size > maximumTotal`,
		`l.size < 0`,
	},
	{
		"A form of a schema has a limited length", "proxy/panel/fields.go", "proxy/panel.TestFormsAreBounded",
		`b.text > mostText`,
		`b.text < 0`,
	},
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var connectionMutations = []mutation{
	// What clients of a server share.
	{
		"A body that stops is given up", "slap/serve/patience.go", "slap/serve.TestUnfinishedBodies",
		`	if !b.over {
		b.wait()
	}`,
		``,
	},
	{
		"A body that nobody reads is given up", "slap/serve/patience.go", "slap/serve.TestUnfinishedBodies",
		`			if !body.over {
				body.wait()
			}`,
		``,
	},
	{
		"The connections of an address are limited", "slap/serve/share.go", "slap/serve.TestConnectionsOfOneAddress",
		`if s.taken[p.key]+n > p.most {`,
		`if p.most < 0 {`,
	},
	{
		"The cache server's operator sets the limit", "cmd/slapos/cache_start.go", "cmd/slapos.TestCacheConnections",
		`Connections: options.connections,`,
		`Connections: 0,`,
	},
	{
		"A client that takes nothing of an answer is given up", "slap/serve/writing.go", "slap/serve.TestUnreadAnswers",
		`_ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience))`,
		`_ = time.Now().Add(c.patience)`,
	},
	{
		"The head of a request has a limit", "slap/serve/serve.go", "slap/serve.TestHeadIsLimited",
		`		MaxHeaderBytes:    maximumHeader,
`,
		``,
	},
	{
		"A client gets only its share of a budget", "slap/serve/share.go", "slap/serve.TestShares",
		`countedPlace{client, max(1, b.most/4)}`,
		`countedPlace{client, b.most}`,
	},
	{
		"The last quarter of a budget is for root", "slap/serve/share.go", "slap/serve.TestSharesOfUsers",
		`if trusted && !isHandedOn(r) {`,
		`if false {`,
	},
	{
		"Clients of root's reverse proxy don't count as root", "slap/serve/share.go", "slap/serve.TestSharesOfUsers",
		`if trusted && !isHandedOn(r) {`,
		`if trusted {`,
	},
	{
		"An IPv6 network shares what one client may have", "slap/serve/share.go", "slap/serve.TestShares",
		`address = address.Mask(net.CIDRMask(64, 128))`,
		`address = address.Mask(net.CIDRMask(128, 128))`,
	},
	{
		"Users of this machine share its connections", "slap/serve/patience.go", "slap/serve.TestConnectionsOfOneUser",
		`return []countedPlace{{all.key, all.most - all.most/4}, {user, max(1, all.most/4)}}`,
		`_ = user
	return []countedPlace{all}`,
	},
	{
		"A slow client of a server is given up", "slap/serve/serve.go", "slap/serve.TestServerLimits",
		`ReadHeaderTimeout: 30 * time.Second,`,
		``,
	},
	// The schemas of releases.
	{
		"The steps of a comparison with a schema are limited", "slap/schema/budget.go", "slap/schema.TestBudget",
		`if b.steps < 0 {`,
		`if false {`,
	},
	{
		"A comparison with a schema ends with the request", "slap/schema/budget.go", "slap/schema.TestBudget",
		`if err := b.ctx.Err(); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"The number of values in a schema is limited", "slap/schema/read.go", "slap/schema.TestSchemasAreBounded",
		`l.values > maximumValues {`,
		`false {`,
	},
	{
		"A pattern of a schema is short", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`if len(text) > maximumPattern {`,
		`if false {`,
	},
	{
		"A pattern of a schema repeats little", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`if len(program.Inst) > maximumInstructions {`,
		`if false {`,
	},
	{
		"A comparison with a pattern takes steps", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`p.budget.spend(1 + p.instructions*(1+len(text))/instructionsPerStep)`,
		`p.budget.spend(1)`,
	},
	{
		"The number of mismatches with a schema is limited", "slap/schema/message.go", "slap/schema.TestMismatchesAreBounded",
		`if len(found) >= maximumMismatches {`,
		`if false {`,
	},
	{
		"A mismatch with a schema is described briefly", "slap/schema/small.go", "slap/schema.TestMismatchesAreBounded",
		`if len(text) <= end {`,
		`if true {`,
	},
	{
		"The length of names in a schema is limited", "slap/schema/read.go", "slap/schema.TestPointersAreBounded",
		`l.pointers > maximumPointers {`,
		`false {`,
	},
	{
		"The number of a schema's documents is limited", "slap/schema/read.go", "slap/schema.TestSchemasAreBounded",
		`if len(l.documents) >= maximumDocuments {`,
		`if false {`,
	},
}

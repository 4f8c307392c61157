// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/proxy/authority"
	"slapos/proxy/store"
)

type proxyTokenOptions struct {
	configuration string
	ttl           time.Duration
	uses          int
	name          string
	json          bool
}

// unlimited is how many certificates a token is good for, unless --uses says it.
const unlimited = -1

func (o *proxyTokenOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		argv.MeasureFlag(&o.ttl, "ttl", "how long the token is good: a `TIME` like 90m, 24h or 7d", "1h", "a time like 90m, 24h or 7d, ten years at most", parseSince),
		argv.WholeFlag(&o.uses, "uses", "how many machines may join with it, or how many certificates users may get (default: any number of machines, none for users)", "", 1, maxAmount),
		&cli.StringFlag{Name: "name", Destination: &o.name, Usage: "`NAME` of the node or the user (default: a free one)"},
		jsonFlag(&o.json, "print an object, or a list of objects"),
	}
}

func newProxyTokenCommand(e *environment) *cli.Command {
	options := new(proxyTokenOptions)
	return &cli.Command{
		Name:      "token",
		Usage:     "make tokens that join nodes or let users in, list and revoke them",
		ArgsUsage: "WHAT [ID]",
		Description: `WHAT is the role of who gets the token, list or revoke.

  node       prints the command that joins a machine to this master
  user       may request, supply and see everything
  read-only  sees what has no parameters, no connection parameters and no logs
  admin      may do everything that the owner may
  list       lists tokens and certificates; the secrets are kept nowhere
  revoke ID  ends a token; the certificates made with it stay: see slapos proxy revoke

The token of a user is for master_token_file in slapos-client.cfg, for the header
Authorization: Bearer TOKEN, or for a browser as password. The master must have
listen_authority = true in section [slapproxy]. It need not run.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if !c.IsSet("uses") {
				options.uses = unlimited
			}
			return runProxyToken(c.Context, e, c.Args().First(), c.Args().Get(1), *options)
		},
	}
}

func runProxyToken(ctx context.Context, e *environment, what, id string, options proxyTokenOptions) error {
	kinds := []string{store.RoleNode, store.RoleUser, store.RoleAdmin, store.RoleReadOnly, "list", "revoke"}
	switch {
	case !slices.Contains(kinds, what):
		return argv.UsageErrorf("argument WHAT: invalid value %q: must be one of %s", what, strings.Join(kinds, ", "))
	case what == "revoke" && id == "":
		return argv.UsageErrorf("argument ID: which token is to be revoked? slapos proxy token list lists them")
	case what != "revoke" && id != "":
		return argv.UsageErrorf("unrecognized arguments: %s", id)
	}
	return e.withAccess(ctx, options.configuration, func(settings map[string]string, database *store.Database) error {
		switch what {
		case "list":
			return e.listAccess(ctx, database, options.json)
		case "revoke":
			err := database.RevokeToken(ctx, id)
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("there is no token %.64q: slapos proxy token list lists them", id)
			}
			return err
		}
		return e.makeToken(ctx, settings, database, what, options)
	})
}

// makeToken prints a token. What is to be typed stands alone on standard output.
func (e *environment) makeToken(ctx context.Context, settings map[string]string, database *store.Database, role string, options proxyTokenOptions) error {
	if options.ttl <= 0 {
		return argv.UsageErrorf("argument --ttl: the token must be good for some time")
	}
	office, err := e.openAuthority(settings)
	if err != nil {
		return err
	}
	token := authority.NewToken(office.Pin())
	row := store.Token{ID: token.ID, Digest: token.Digest(), Role: role, Name: options.name, Uses: int64(options.uses), Expires: float64(e.now().Add(options.ttl).Unix())}
	if role != store.RoleNode {
		row.Uses = max(0, row.Uses)
		if row.Name == "" {
			row.Name = role + "-" + token.ID
		}
	}
	err = database.AddToken(store.As(ctx, "owner "+e.userName()), row)
	var name *store.NameError
	if errors.As(err, &name) {
		return argv.UsageErrorf("argument --name: invalid value %q: must be letters, digits, \".\", \"_\" and \"-\", 64 at most", options.name)
	}
	if err != nil {
		return err
	}
	url, reachable := joinURL(settings)
	if !reachable && role == store.RoleNode && settings["listen_names"] == "" {
		e.log.Warn("Only this machine can reach " + url + ": to join others, set host in section [slapproxy] to an address of this machine, or to ::")
	}
	return e.printToken(row, url, token.String(), office.File(), options.json)
}

func (e *environment) printToken(row store.Token, url, token, file string, asJSON bool) error {
	if asJSON {
		described := describeToken(row)
		described.Set("url", url)
		described.Set("token", token)
		described.Set("master_ca_file", file)
		return e.printJSON(described)
	}
	until := time.Unix(int64(row.Expires), 0).Format(time.DateTime)
	if row.Role == store.RoleNode {
		e.log.Info("Until " + until + ", on the machine that is to join:")
		_, err := fmt.Fprintf(e.stdout, "slapos node join %s %s\n", url, token)
		return err
	}
	e.log.Info("Good until " + until + ", for master_url = " + url + " with master_token_file and master_ca_file = " + file + ":")
	_, err := fmt.Fprintln(e.stdout, token)
	return err
}

// userName is who runs the command.
func (e *environment) userName() string {
	if found, err := user.LookupId(strconv.Itoa(e.uid)); err == nil {
		return found.Username
	}
	return strconv.Itoa(e.uid)
}

func describeToken(row store.Token) *pytext.Object {
	described := pytext.NewObject()
	described.Set("id", row.ID)
	described.Set("role", row.Role)
	described.Set("name", row.Name)
	described.Set("expires", int(row.Expires))
	described.Set("uses", int(row.Uses))
	described.Set("revoked", row.Revoked != 0)
	return described
}

func describeCertificate(row store.Certificate) *pytext.Object {
	described := pytext.NewObject()
	described.Set("serial", row.Serial)
	described.Set("role", row.Role)
	described.Set("name", row.Name)
	described.Set("token", row.Token)
	described.Set("expires", int(row.Expires))
	described.Set("revoked", row.Revoked != 0)
	return described
}

// listAccess lists tokens, and the newest certificate of each name and key.
func (e *environment) listAccess(ctx context.Context, database *store.Database, asJSON bool) error {
	tokens, certificates, err := database.Access(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		tokenList, certificateList := []any{}, []any{}
		for _, row := range tokens {
			tokenList = append(tokenList, describeToken(row))
		}
		for _, row := range certificates {
			certificateList = append(certificateList, describeCertificate(row))
		}
		described := pytext.NewObject()
		described.Set("tokens", tokenList)
		described.Set("certificates", certificateList)
		return e.printJSON(described)
	}
	now := float64(e.now().Unix())
	state := func(revoked, expires float64, otherwise string) string {
		switch {
		case revoked != 0:
			return "revoked"
		case now >= expires:
			return "expired"
		}
		return otherwise
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	when := func(expires float64) string { return time.Unix(int64(expires), 0).Format("2006-01-02 15:04") }
	fmt.Fprintln(table, "TOKEN\tROLE\tNAME\tUNTIL\tUSES\tSTATE")
	for _, row := range tokens {
		uses := strconv.FormatInt(row.Uses, 10)
		good := "good"
		switch {
		case row.Uses < 0:
			uses = "any"
		case row.Uses == 0 && row.Role == store.RoleNode:
			good = "used up"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.Role, row.Name, when(row.Expires), uses, state(row.Revoked, row.Expires, good))
	}
	fmt.Fprintln(table, "\nCERTIFICATE\tROLE\tNAME\tUNTIL\tTOKEN\tSTATE")
	for _, row := range unrenewed(certificates) {
		fmt.Fprintf(table, "%.12s\t%s\t%s\t%s\t%s\t%s\n", row.Serial, row.Role, row.Name, when(row.Expires), row.Token, state(row.Revoked, row.Expires, "good"))
	}
	return table.Flush()
}

// unrenewed leaves out certificates that were renewed.
func unrenewed(certificates []store.Certificate) []store.Certificate {
	newest := map[string]string{}
	for _, row := range certificates {
		newest[row.Key] = row.Serial // the oldest come first
	}
	return slices.DeleteFunc(slices.Clone(certificates), func(row store.Certificate) bool { return newest[row.Key] != row.Serial })
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

type bangOptions struct {
	configuration string
	message       string
	given         bool // the message
}

func (o *bangOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "message", Destination: &o.message, Aliases: []string{"m"}, Usage: "`TEXT` for the master", DefaultText: "None"},
	}
}

func newNodeBangCommand(e *environment) *cli.Command {
	options := new(bangOptions)
	return &cli.Command{
		Name:  "bang",
		Usage: "ask for an update of all partitions",
		Description: `Tells the master that this node needs attention: the next "slapos node
instance" processes every partition.

Exit codes: 0 done; 1 failed; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.given = c.IsSet("message")
			return runBang(c.Context, e, *options)
		},
	}
}

// runBang sends the message (GRID-2).
func runBang(ctx context.Context, e *environment, options bangOptions) error {
	return e.withConfiguration(options.configuration, []string{"slapos"}, func(configuration *pytext.Configuration) error {
		return e.bang(ctx, configuration, options)
	})
}

func (e *environment) bang(ctx context.Context, configuration *pytext.Configuration, options bangOptions) error {
	message := "None" // what the original sends without -m (GRID-2)
	shown := message
	if options.given {
		message = options.message
		shown = slap.PythonRepr(message)
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return err
	}
	if err := e.checkRoot(slapos); err != nil {
		return err
	}
	if err := requireOptions(slapos, "computer_id", "master_url"); err != nil {
		return err
	}
	master, err := e.openNodeMaster(slapos, masterOrigin(configuration, slapos["master_url"]))
	if err != nil {
		return err
	}
	defer master.Close()
	fmt.Fprintf(e.stdout, "Banging to %s\n", hideSecrets(slap.PythonRepr(slapos["master_url"])))
	if err := master.ComputerBang(ctx, slapos["computer_id"], message); err != nil {
		return fmt.Errorf("bang computer %s: %w", slapos["computer_id"], err)
	}
	fmt.Fprintf(e.stdout, "Bang with message %s\n", shown)
	return nil
}

// requireOptions refuses a section [slapos] that lacks one of the options; the
// message names them in order (GRID-6).
func requireOptions(slapos map[string]string, names ...string) error {
	var missing, empty []string
	for _, name := range names {
		value, found := slapos[name]
		if !found {
			missing = append(missing, name)
		} else if value == "" {
			empty = append(empty, name)
		}
	}
	switch {
	case missing != nil:
		return errors.New("Missing mandatory parameters: " + strings.Join(missing, ", "))
	case empty != nil:
		return errors.New("Mandatory parameters present but empty: " + strings.Join(empty, ", "))
	}
	return nil
}

// masterOrigin says where a master's URL was set, for errors about it.
func masterOrigin(c *pytext.Configuration, url string) string {
	if section, err := c.Section("slapos"); err != nil || section["master_url"] != url {
		return "--master-url"
	}
	return "master_url in section [slapos] of " + c.Path()
}

// openNodeMaster makes the client of a node, with the computer's certificate.
func (e *environment) openNodeMaster(slapos map[string]string, origin string) (*slap.Client, error) {
	insecure, err := isTrue(slapos, "master_insecure") // D-16
	if err != nil {
		return nil, err
	}
	token, err := slap.ReadToken(e.expandUser(slapos["master_token_file"]))
	if err != nil {
		return nil, err
	}
	return slap.NewClient(slap.ClientConfig{
		Token:     token,
		MasterURL: slapos["master_url"],
		Origin:    origin,
		RESTURL:   slapos["master_rest_url"],
		KeyFile:   slapos["key_file"],
		CertFile:  slapos["cert_file"],
		CAFile:    slapos["master_ca_file"],
		Insecure:  insecure,
		Home:      e.getenv("HOME"),
		Logger:    e.log,
	})
}

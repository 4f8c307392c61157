// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/slap/wholefile"
)

const (
	publicMasterURL = "https://slap.vifib.com"
	publicPanelURL  = "https://panel.rapid.space"
)

type configureClientOptions struct {
	configuration        string
	masterURL, masterWeb string
	token                string
	insecure             bool
}

func (o *configureClientOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		&cli.StringFlag{Name: "master-url", Destination: &o.masterURL, Usage: "`URL` of the master", Value: publicMasterURL},
		&cli.StringFlag{Name: "master-url-web", Destination: &o.masterWeb, Usage: "`URL` of the web site of the master", Value: publicPanelURL},
		&cli.StringFlag{Name: "token", Destination: &o.token, Usage: "credential security token (default: asked for)"},
		&cli.BoolFlag{Name: "insecure", Destination: &o.insecure, Usage: "don't verify the certificate of the web site"},
	}
}

func newConfigureClientCommand(e *environment) *cli.Command {
	options := new(configureClientOptions)
	return &cli.Command{
		Name:     "client",
		Usage:    "set this account up as a client of a master",
		Category: "client",
		Description: `Fetches a certificate for a person from the web site of the master. Writes the
client configuration where client commands read it, and client.crt and
client.key beside it. None of the three files may exist yet.

Exit codes: 0 success; 1 failed; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runConfigureClient(c.Context, e, *options)
		},
	}
}

// runConfigureClient does CLI-91. It writes only after everything that can
// fail.
func runConfigureClient(ctx context.Context, e *environment, options configureClientOptions) error {
	token, err := e.askToken(ctx, options.token, "Credential security token: ")
	if err != nil {
		return err
	}
	path := e.clientConfigurationPath(options.configuration)
	directory := filepath.Dir(path)
	certificateFile, keyFile := filepath.Join(directory, "client.crt"), filepath.Join(directory, "client.key")
	for _, file := range []struct{ path, kind string }{{path, "configuration"}, {certificateFile, "certificate"}, {keyFile, "key"}} {
		if _, err := os.Lstat(file.path); err == nil {
			return criticalf("There is a file in %s. Please remove it before creating a new %s.", file.path, file.kind)
		}
	}
	office := certificateOffice{url: options.masterWeb, token: token, insecure: options.insecure}
	certificate, key, err := office.request(ctx, "Person_getCertificate", nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(directory), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(directory, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := wholefile.Write(keyFile, []byte(key), 0o600); err != nil {
		return err
	}
	if err := wholefile.Write(certificateFile, []byte(certificate), 0o600); err != nil {
		return err
	}
	values := struct{ MasterURL, CertFile, KeyFile string }{options.masterURL, certificateFile, keyFile}
	if err := pytext.WriteExample(path, clientExample, values, 0o600); err != nil {
		return err
	}
	e.log.Info("SlapOS client configuration written to " + path)
	return nil
}

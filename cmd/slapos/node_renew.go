// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/proxy/authority"
	"slapos/slap/wholefile"
)

type renewOptions struct {
	configuration string
	now           bool
}

func (o *renewOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "now", Destination: &o.now, Usage: "also a certificate that has more than a third of its life before it"},
	}
}

func newNodeRenewCommand(e *environment) *cli.Command {
	options := new(renewOptions)
	return &cli.Command{
		Name:  "renew",
		Usage: "renew the certificate of a node that has joined",
		Description: `Has the master sign the key of this machine once more when a third of the
certificate's life is left, and takes over the master's next authority. slapos
node agent does so by itself, daily. Nothing is interrupted.

Exit codes: 0 renewed, or not due; 1 failed; 2 wrong usage; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runNodeRenew(c.Context, e, *options)
		},
	}
}

func runNodeRenew(ctx context.Context, e *environment, options renewOptions) error {
	if err := e.requireRoot(); err != nil {
		return err
	}
	joined, err := e.joinedNode(options.configuration)
	if err != nil {
		return err
	}
	if joined == nil {
		return errors.New("this machine has not joined a master by slapos node join: there is nothing to renew")
	}
	renewed, err := joined.renew(ctx, options.now)
	if err == nil && !renewed {
		e.log.Info("The certificate is good until " + joined.certificate.NotAfter.Local().Format(time.DateTime) + ".")
	}
	return err
}

// joinedNode is a machine that has joined.
type joinedNode struct {
	e           *environment
	path        string // of slapos.cfg
	computer    string
	master      master
	files       joinFiles
	certificate *x509.Certificate
}

// joinedNode returns nil if the machine hasn't joined by a token.
func (e *environment) joinedNode(configuration string) (*joinedNode, error) {
	path, err := filepath.Abs(e.nodeConfigurationPath(configuration))
	if err != nil {
		return nil, err
	}
	present, err := e.presentConfiguration(path)
	if err != nil || present == nil {
		return nil, err
	}
	files := joinFilesOf(path)
	if present["cert_file"] != files.certificate || present["key_file"] != files.key || present["master_ca_file"] != files.authority {
		return nil, nil
	}
	to, err := joinMaster(present["master_url"])
	if err != nil {
		return nil, fmt.Errorf("%s: master_url: %w", path, err)
	}
	n := &joinedNode{e: e, path: path, computer: present["computer_id"], master: to, files: files}
	text, err := os.ReadFile(files.certificate)
	if err != nil {
		return nil, fmt.Errorf("certificate of this node: %w: slapos node join with a new token makes another", err)
	}
	if n.certificate, err = authority.CertificateIn(text); err != nil {
		return nil, fmt.Errorf("certificate of this node: %s: %w: slapos node join with a new token makes another", files.certificate, err)
	}
	return n, nil
}

// client is one that shows the certificate.
func (n *joinedNode) client() (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(n.files.certificate, n.files.key)
	if err != nil {
		return nil, fmt.Errorf("certificate of this node: %w", err)
	}
	text, err := os.ReadFile(n.files.authority)
	if err != nil {
		return nil, fmt.Errorf("master_ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("master_ca_file: %s has no certificate", n.files.authority)
	}
	return pinnedClient(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}, Time: n.e.now}), nil
}

// renew renews a certificate that is due, or early.
func (n *joinedNode) renew(ctx context.Context, early bool) (renewed bool, err error) {
	now, c := n.e.now(), n.certificate
	if now.After(c.NotAfter) {
		return false, fmt.Errorf("the certificate of this node has expired on %s: slapos node join with a token that its master's owner makes by slapos proxy token node --name %s",
			c.NotAfter.Local().Format(time.DateTime), n.computer)
	}
	if due := c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3); now.Before(due) && !early {
		return false, nil
	}
	client, err := n.client()
	if err != nil {
		return false, err
	}
	defer client.CloseIdleConnections()
	answer, err := n.e.askMaster(ctx, client, n.master, "/renew", "", nil)
	if err != nil {
		return false, err
	}
	next, err := authority.CertificateIn([]byte(answer.Certificate))
	if err != nil || authority.SubjectOf(next) != authority.SubjectOf(c) || string(next.RawSubjectPublicKeyInfo) != string(c.RawSubjectPublicKeyInfo) {
		return false, fmt.Errorf("the master %s answered with a certificate for somebody else", n.master.url)
	}
	// The authority first: it goes on to have the present one.
	if err := wholefile.Write(n.files.authority, []byte(answer.Authority), 0o644); err != nil {
		return false, err
	}
	if err := wholefile.Write(n.files.certificate, []byte(answer.Certificate), 0o644); err != nil {
		return false, err
	}
	n.e.log.Info("The certificate is renewed until " + next.NotAfter.Local().Format(time.DateTime) + ".")
	return true, nil
}

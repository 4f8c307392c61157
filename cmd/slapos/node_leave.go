// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

type leaveOptions struct {
	configuration string
	force         bool
}

func (o *leaveOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "leave though the master can't be told: its owner revokes the node"},
	}
}

func newNodeLeaveCommand(e *environment) *cli.Command {
	options := new(leaveOptions)
	return &cli.Command{
		Name:  "leave",
		Usage: "leave the master that this machine has joined",
		Description: `Has the master refuse this node's certificates from now on, stops its agent, and
removes key and certificate; slapos.cfg is kept as slapos.cfg.left. Partitions,
their services and software stay: destroy the instances before, if they are to go.

Exit codes: 0 left, or it had not joined; 1 failed; 2 wrong usage; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runNodeLeave(c.Context, e, *options)
		},
	}
}

// runNodeLeave does JOIN-33: repeated after an interruption, it goes on.
func runNodeLeave(ctx context.Context, e *environment, options leaveOptions) error {
	if err := e.requireRoot(); err != nil {
		return err
	}
	path, err := filepath.Abs(e.nodeConfigurationPath(options.configuration))
	if err != nil {
		return err
	}
	files := joinFilesOf(path)
	present, err := e.presentConfiguration(path)
	if err != nil {
		return err
	}
	if present == nil || present["cert_file"] != files.certificate {
		e.log.Info("This machine has not joined a master by slapos node join, or has left it.")
		return nil
	}
	if err := e.tellLeaving(ctx, options.configuration, files, options.force); err != nil {
		return err
	}
	e.stopAgent(ctx, path)
	for _, file := range []string{files.certificate, files.key, files.authority} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Last: without it, a repeated command has nothing to go on with.
	if err := os.Rename(path, path+".left"); err != nil {
		return err
	}
	e.log.Info("This machine has left " + present["master_url"] + ". Its configuration is kept as " + path + ".left.")
	return nil
}

// tellLeaving has the master revoke the certificates. One that did so already, or
// whose certificate is gone, needs not be told.
func (e *environment) tellLeaving(ctx context.Context, configuration string, files joinFiles, force bool) error {
	if _, err := os.Stat(files.certificate); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	joined, err := e.joinedNode(configuration)
	if err == nil && joined != nil {
		err = joined.tell(ctx)
	}
	if err != nil && force {
		e.log.Warn(fmt.Sprintf("The master isn't told: %v; its owner revokes this node by slapos proxy revoke", err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: give --force to leave without telling it", err)
	}
	return nil
}

func (n *joinedNode) tell(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	_, err = n.e.askMaster(ctx, client, n.master, "/leave", "", nil)
	var refused *refusedError
	if errors.As(err, &refused) && strings.Contains(refused.reason, "was revoked") {
		return nil
	}
	return err
}

// stopAgent stops an agent that systemd has started, and what would fail without a
// configuration; another agent ends when it finds neither that nor a certificate.
// The supervisor and its services stay.
func (e *environment) stopAgent(ctx context.Context, configuration string) {
	if _, err := os.Stat("/run/systemd/system"); err != nil || configuration != nodeConfigurationFile {
		return
	}
	if output, err := exec.CommandContext(ctx, "systemctl", "disable", "--now", agentUnit, "slapos-format.timer", "slapos-boot.service").CombinedOutput(); err != nil {
		e.log.Debug("systemctl disable: "+err.Error(), "output", string(output))
	}
}

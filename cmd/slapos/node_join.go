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
	"strconv"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/proxy/authority"
)

type joinOptions struct {
	configuration string
	computer      string
	force         bool
	onlyFiles     bool
	values        nodeValues
}

func (o *joinOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "computer-id", Destination: &o.computer, Usage: "`NAME` of this computer, which no other has (default: the master chooses one)"},
		&cli.StringFlag{Name: "interface-name", Destination: &o.values.InterfaceName, Usage: "network `INTERFACE` that gets the addresses of partitions", Value: "lo"},
		argv.WholeFlag(&o.values.PartitionAmount, "partition-number", "how many partitions to make", "10", 0, maxAmount),
		&cli.StringFlag{Name: "ipv4-local-network", Destination: &o.values.IPv4LocalNetwork, Usage: "private `NETWORK` for the addresses of partitions, not in use elsewhere", Value: "10.0.0.0/16"},
		&cli.StringFlag{Name: "software-root", Destination: &o.values.SoftwareRoot, Usage: "`DIRECTORY` of software", Value: "/opt/slapgrid"},
		&cli.StringFlag{Name: "instance-root", Destination: &o.values.InstanceRoot, Usage: "`DIRECTORY` of instances", Value: "/srv/slapgrid"},
		&cli.StringFlag{Name: "slapos-directory", Destination: &o.values.ComputerXML, Usage: "`DIRECTORY` of slapos itself, for its description and logs", Value: "/opt/slapos"},
		&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "join though this machine has the configuration of another master, which is kept as slapos.cfg.old"},
		&cli.BoolFlag{Name: "only-files", Destination: &o.onlyFiles, Usage: "get certificate and configuration alone; neither format nor start the agent"},
	}
}

func newNodeJoinCommand(e *environment) *cli.Command {
	options := new(joinOptions)
	return &cli.Command{
		Name:      "join",
		Usage:     "make this machine a node of a master",
		ArgsUsage: "URL TOKEN",
		Description: `Does what slapos proxy token node on the master prints: makes a key, which never
leaves this machine, has the master sign a certificate for it, writes slapos.cfg,
formats the computer and starts its agent. The token says by which key the master
is known; nobody in between can take its place. Each step looks at what is there:
repeat the command after an interruption, with the same token.

Exit codes: 0 joined; 1 failed; 2 wrong usage; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runNodeJoin(c.Context, e, c.Args().First(), c.Args().Get(1), *options)
		},
	}
}

// runNodeJoin does JOIN-30.
func runNodeJoin(ctx context.Context, e *environment, url, text string, options joinOptions) error {
	if err := e.requireRoot(); err != nil {
		return err
	}
	token, err := authority.ParseToken(text)
	if err != nil {
		return argv.UsageErrorf("argument TOKEN: %v", err)
	}
	master, err := joinMaster(url)
	if err != nil {
		return argv.UsageErrorf("argument URL: %v", err)
	}
	path, err := filepath.Abs(e.nodeConfigurationPath(options.configuration))
	if err != nil {
		return err
	}
	j := &joining{e: e, joinOptions: options, master: master, token: token, path: path, files: joinFilesOf(path)}
	if err := j.checkPresent(); err != nil {
		return err
	}
	if err := j.makeDirectories(); err != nil {
		return err
	}
	name, err := j.certify(ctx)
	if err != nil {
		return err
	}
	if err := j.writeConfiguration(ctx, name); err != nil {
		return err
	}
	e.log.Info("This machine is the node " + name + " of the master " + master.url + ".")
	if options.onlyFiles {
		return nil
	}
	return j.begin(ctx)
}

// joinFiles are what joining writes beside slapos.cfg.
type joinFiles struct{ directory, key, certificate, authority, partitions string }

func joinFilesOf(configuration string) joinFiles {
	ssl := filepath.Join(filepath.Dir(configuration), "ssl")
	return joinFiles{ssl, filepath.Join(ssl, "node.key"), filepath.Join(ssl, "node.crt"), filepath.Join(ssl, "master.crt"), filepath.Join(ssl, "partition_pki")}
}

// joining is a machine that joins.
type joining struct {
	e *environment
	joinOptions
	master master
	token  authority.Token
	path   string // of slapos.cfg
	files  joinFiles
}

// checkPresent refuses to join when the machine is a node of another master.
func (j *joining) checkPresent() error {
	present, err := j.e.presentConfiguration(j.path)
	if err != nil || present == nil {
		return err
	}
	computer := present["computer_id"]
	switch {
	case present["master_url"] == j.master.url && present["cert_file"] == j.files.certificate:
		if j.computer != "" && j.computer != computer {
			return fmt.Errorf("this machine has joined %s as %s already: slapos node leave, then join as %s", j.master.url, computer, j.computer)
		}
		return nil
	case j.force:
		return nil
	}
	return fmt.Errorf("%s is of the master %s: give --force to join %s instead, or --cfg with another file", j.path, present["master_url"], j.master.url)
}

// presentConfiguration returns section [slapos] of a node's configuration, nil if
// there is no such file.
func (e *environment) presentConfiguration(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	parsed, err := pytext.ParseConfiguration(path, text)
	if err != nil {
		return nil, fmt.Errorf("%w: mend it, or move it away", err)
	}
	if !parsed.Has("slapos") {
		return map[string]string{}, nil
	}
	return parsed.Section("slapos")
}

func (j *joining) makeDirectories() error {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
		return err
	}
	for _, directory := range []string{j.files.directory, j.files.partitions} {
		if err := os.Mkdir(directory, 0o711); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		info, err := os.Lstat(directory)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory: move it away", directory)
		}
	}
	return nil
}

// writeConfiguration writes slapos.cfg, unless it is the master's already: somebody
// may have changed it since.
func (j *joining) writeConfiguration(ctx context.Context, name string) error {
	present, err := j.e.presentConfiguration(j.path)
	if err != nil {
		return err
	}
	if present["master_url"] == j.master.url && present["cert_file"] == j.files.certificate && present["computer_id"] == name {
		return nil
	}
	if present != nil {
		if err := j.keep(); err != nil {
			return err
		}
	}
	home := j.values.ComputerXML
	logs := filepath.Join(home, "log")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	values := j.values
	if values.IPv6LocalNetwork, err = j.e.ipv6LocalNetwork(ctx, values.InterfaceName); err != nil {
		return err
	}
	values.Command, values.CreateTap, values.ComputerID = "node join", "False", name
	values.MasterURL, values.RESTURL = j.master.url, j.master.url+"/hateoas"
	values.CAFile, values.KeyFile, values.CertFile = j.files.authority, j.files.key, j.files.certificate
	values.CertificateRepository = j.files.partitions
	values.ComputerXML, values.LogFile = filepath.Join(home, "slapos.xml"), filepath.Join(logs, "slapos-node-format.log")
	values.CacheURL, values.DirURL = publicCacheURL, publicDirURL
	return pytext.WriteExample(j.path, nodeExample, values, 0o644)
}

// keep keeps the configuration of another master.
func (j *joining) keep() error {
	kept := j.path + ".old"
	for number := 1; ; number++ {
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			break
		}
		kept = j.path + ".old." + strconv.Itoa(number)
	}
	j.e.log.Info("The former configuration is kept as " + kept)
	return os.Rename(j.path, kept)
}

// begin formats the computer, which tells the master, and starts the agent.
func (j *joining) begin(ctx context.Context) error {
	format := exec.CommandContext(ctx, j.e.executable, "node", "format", "--now", "--cfg", j.path)
	format.Env = j.e.environ
	format.Stdout, format.Stderr = j.e.childOutput(), j.e.stderr
	if err := format.Run(); err != nil {
		return fmt.Errorf("slapos node format: %w: this machine has joined; when what it says is mended, repeat the command", err)
	}
	return j.e.startAgent(ctx, j.path)
}

// Of the package: nodeUnit is all of a node, agentUnit the agent.
const (
	nodeUnit  = "slapos.target"
	agentUnit = "slapos-agent.service"
)

// startAgent has systemd start the agent where it can, or says what does.
func (e *environment) startAgent(ctx context.Context, configuration string) error {
	if _, err := os.Stat("/run/systemd/system"); err == nil && configuration == nodeConfigurationFile &&
		exec.CommandContext(ctx, "systemctl", "cat", agentUnit).Run() == nil {
		output, err := exec.CommandContext(ctx, "systemctl", "enable", "--now", nodeUnit).CombinedOutput()
		if err != nil {
			return fmt.Errorf("systemctl enable --now %s: %w: %s", nodeUnit, err, lastLine(string(output)))
		}
		e.log.Info("The agent runs: systemctl status " + agentUnit)
		return nil
	}
	e.log.Info("Now start its agent, and have it started with the machine: slapos node agent --cfg " + configuration)
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/slap/wholefile"
)

type registerOptions struct {
	configuration    string
	name             string
	masterWeb        string
	token            string
	createTap        bool
	dryRun, insecure bool
	values           nodeValues
}

func (o *registerOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "interface-name", Destination: &o.values.InterfaceName, Usage: "network `INTERFACE` that gets the addresses of partitions", Value: "lo"},
		&cli.StringFlag{Name: "master-url", Destination: &o.values.MasterURL, Usage: "`URL` of the master", Value: publicMasterURL},
		&cli.StringFlag{Name: "master-url-web", Destination: &o.masterWeb, Usage: "`URL` of the web site of the master", Value: publicPanelURL},
		argv.WholeFlag(&o.values.PartitionAmount, "partition-number", "how many partitions to make", "10", 0, maxAmount),
		&cli.StringFlag{Name: "ipv4-local-network", Destination: &o.values.IPv4LocalNetwork, Usage: "private `NETWORK` for the addresses of partitions, not in use elsewhere", Value: "10.0.0.0/16"},
		&cli.StringFlag{Name: "software-root", Destination: &o.values.SoftwareRoot, Usage: "`DIRECTORY` of software", Value: "/opt/slapgrid"},
		&cli.StringFlag{Name: "instance-root", Destination: &o.values.InstanceRoot, Usage: "`DIRECTORY` of instances", Value: "/srv/slapgrid"},
		&cli.StringFlag{Name: "token", Destination: &o.token, Usage: "computer security token (default: asked for)"},
		&cli.BoolFlag{Name: "create-tap", Destination: &o.createTap, Aliases: []string{"t"}, Usage: "make a tap for each partition, for virtual machines; the interface must be a bridge"},
		&cli.BoolFlag{Name: "dry-run", Destination: &o.dryRun, Aliases: []string{"n"}, Usage: "write nothing; the master is asked all the same, and NAME is taken after that"},
		&cli.BoolFlag{Name: "insecure", Destination: &o.insecure, Usage: "don't verify the certificate of the web site"},
	}
}

func newNodeRegisterCommand(e *environment) *cli.Command {
	options := new(registerOptions)
	return &cli.Command{
		Name:      "register",
		Usage:     "register this computer with a master and write its configuration",
		ArgsUsage: "NAME",
		Description: `Makes the master create a computer with the title NAME and writes slapos.cfg,
in the directory of the node's configuration file, and the computer's
certificate, in ssl below it. If the directory has a slapos.cfg already, it is
kept as DIR.old, DIR.old.1 and so on.

Exit codes: 0 success; 1 failed; 2 wrong usage; 5 not root.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.name = c.Args().First()
			return runRegister(c.Context, e, *options)
		},
	}
}

// complete sets the values that no option has.
func (o *registerOptions) complete() {
	v := &o.values
	v.Command, v.CreateTap = "node register", "False"
	if o.createTap {
		v.CreateTap = "True"
	}
	v.ComputerXML, v.LogFile = "/opt/slapos/slapos.xml", "/opt/slapos/log/slapos-node-format.log"
	v.CacheURL, v.DirURL = publicCacheURL, publicDirURL
}

// runRegister does CLI-90.
func runRegister(ctx context.Context, e *environment, options registerOptions) error {
	if err := e.requireRoot(); err != nil {
		return err
	}
	token, err := e.askToken(ctx, options.token, "Computer security token: ")
	if err != nil {
		return err
	}
	path, err := filepath.Abs(e.nodeConfigurationPath(options.configuration))
	if err != nil {
		return err
	}
	options.complete()
	r := &registration{e: e, directory: filepath.Dir(path), dryRun: options.dryRun}
	if _, err := os.Stat(filepath.Dir(r.directory)); err != nil { // before a name is taken
		return err
	}
	office := certificateOffice{url: options.masterWeb, token: token, insecure: options.insecure}
	certificate, key, err := office.request(ctx, "Person_requestComputer", url.Values{"title": {options.name}})
	if errors.Is(err, errActive) {
		return sentencef("The node name %q is already in use. Please change the name, or revoke the active certificate if you want to replace the node.", options.name)
	}
	if err != nil {
		return err
	}
	computer, err := computerReference(certificate)
	if err != nil {
		return err
	}
	options.values.ComputerID = computer
	if err := r.write(options.values, certificate, key); err != nil {
		return err
	}
	e.log.Info("Node has successfully been configured as " + computer + ".")
	e.log.Info("Now please invoke slapos node boot on your site.")
	return nil
}

// computerReference finds the name of the computer in its certificate's text.
func computerReference(certificate string) (string, error) {
	if m := regexp.MustCompile(`COMP-[^/]*?/email|COMP-[0-9A-Za-z_.-]+`).FindString(certificate); m != "" {
		return regexp.MustCompile(`/email$`).ReplaceAllString(m, ""), nil
	}
	return "", errors.New("the certificate from the master names no computer (COMP-...)")
}

// A registration writes the files of a registered node, or lists them.
type registration struct {
	e         *environment
	directory string
	dryRun    bool
}

func (r *registration) write(values nodeValues, certificate, key string) error {
	if err := r.keepFormer(); err != nil {
		return err
	}
	if err := r.openParents(); err != nil {
		return err
	}
	ssl := filepath.Join(r.directory, "ssl")
	values.KeyFile, values.CertFile = filepath.Join(ssl, "key"), filepath.Join(ssl, "certificate")
	values.CertificateRepository = filepath.Join(ssl, "partition_pki")
	for _, directory := range []string{r.directory, ssl, values.CertificateRepository} {
		if err := r.makeDirectory(directory); err != nil {
			return err
		}
	}
	for _, file := range []struct{ path, content string }{{values.KeyFile, key}, {values.CertFile, certificate}} {
		r.e.log.Info("Copying to '" + file.path + "', and setting minimum privileges")
		if r.dryRun {
			continue
		}
		if err := wholefile.Write(file.path, []byte(file.content), 0o600); err != nil {
			return err
		}
	}
	path := filepath.Join(r.directory, "slapos.cfg")
	if !r.dryRun {
		if err := pytext.WriteExample(path, nodeExample, values, 0o644); err != nil {
			return err
		}
	}
	r.e.log.Info("SlapOS configuration written to " + path)
	return nil
}

// keepFormer moves a directory with a configuration out of the way.
func (r *registration) keepFormer() error {
	if _, err := os.Stat(filepath.Join(r.directory, "slapos.cfg")); err != nil || r.dryRun {
		return nil
	}
	kept := r.directory + ".old"
	for number := 1; ; number++ {
		if _, err := os.Lstat(kept); errors.Is(err, fs.ErrNotExist) {
			break
		}
		kept = r.directory + ".old." + strconv.Itoa(number)
	}
	r.e.log.Info(fmt.Sprintf("Former slapos configuration detected in %s moving to %s", r.directory, kept))
	return os.Rename(r.directory, kept)
}

// openParents lets everybody read and enter the directories above.
func (r *registration) openParents() error {
	for parent := filepath.Dir(r.directory); parent != filepath.Dir(parent); parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		const readable = 0o055
		if info.Mode()&readable == readable || r.dryRun {
			continue
		}
		if err := os.Chmod(parent, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)|readable); err != nil {
			return err
		}
	}
	return nil
}

func (r *registration) makeDirectory(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	r.e.log.Info("Creating directory: " + path)
	if r.dryRun {
		return nil
	}
	if err := os.Mkdir(path, 0o711); err != nil {
		return err
	}
	return os.Chmod(path, 0o711)
}

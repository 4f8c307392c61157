// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/check"
	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/manager/cgroup"
	"slapos/slap"
)

type configureCheckOptions struct {
	configuration string
	json          bool
}

func (o *configureCheckOptions) flags() []cli.Flag {
	return []cli.Flag{configFlag(&o.configuration), jsonFlag(&o.json, "print an object: configuration, checks, findings, master")}
}

func newConfigureCheckCommand(e *environment) *cli.Command {
	options := new(configureCheckOptions)
	return &cli.Command{
		Name:  "check",
		Usage: "look for what is wrong with a configuration, its files and the machine",
		Description: `Looks at unknown keys and wrong values, files and their modes, certificates and
their end, the master and its clock, the Python that builds releases, programs,
free space, IPv6 and control groups: one line for each finding, with the way out;
one line if all is well. The file may be that of a node, of a client or of a
master. Nothing is changed.

Exit codes: 0 nothing worse than warnings; 1 something doesn't work.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runConfigureCheck(c.Context, e, *options)
		},
	}
}

func runConfigureCheck(ctx context.Context, e *environment, options configureCheckOptions) error {
	report, err := e.checkConfiguration(ctx, options.configuration)
	if err != nil {
		return err
	}
	print := e.printReport
	if options.json {
		print = func(report *check.Report) error { return e.printDocument(report) }
	}
	if err := print(report); err != nil {
		return err
	}
	if report.Failed() {
		return &exitError{code: 1}
	}
	return nil
}

// checkConfiguration makes all checks. What findings quote has no secrets.
func (e *environment) checkConfiguration(ctx context.Context, path string) (*check.Report, error) {
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		return nil, err
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return nil, err
	}
	report, err := check.Run(ctx, e.checkSubject(configuration, slapos))
	if err != nil {
		return nil, err
	}
	hide := func(text string) string { return pass.Printable(hideSecrets(text)) }
	for i, f := range report.Findings {
		report.Findings[i].Text, report.Findings[i].Remedy = hide(f.Text), hide(f.Remedy)
	}
	if report.Master != nil {
		report.Master.URL = hide(report.Master.URL)
	}
	return report, nil
}

func (e *environment) checkSubject(configuration *pytext.Configuration, slapos map[string]string) *check.Subject {
	return &check.Subject{
		Configuration: configuration, Value: checkValue, Expand: e.expandUser, Now: e.now, UID: e.uid,
		Client: func() (*slap.Client, error) {
			return e.openNodeMaster(slapos, masterOrigin(configuration, slapos["master_url"]))
		},
		Missing: func() []string {
			usual := textOption(configuration.Raw("slapformat"), "alter_user", "true")
			alters, _ := parseBoolean(textOption(slapos, "alter_user", usual))
			return new(format.Machine).MissingPrograms(&format.Definition{AlterUser: alters})
		},
		Python: func(ctx context.Context) error {
			return buildout.CheckPython(ctx, e.expandUser(slapos["python"]), slapos["buildout"], e.environ)
		},
		HasGlobalIPv6: format.HasGlobalIPv6,
		CGroups:       cgroup.Hierarchy{}.Available,
	}
}

func (e *environment) printReport(report *check.Report) error {
	if len(report.Findings) == 0 {
		line := report.Configuration + ": nothing is wrong"
		if report.Master != nil {
			line += "; " + masterText(report.Master)
		}
		_, err := fmt.Fprintln(e.stdout, line)
		return err
	}
	table := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	for _, f := range report.Findings {
		fmt.Fprintf(table, "%s\t%s\t%s: %s\n", strings.ToUpper(string(f.Severity)), f.Check, f.Text, f.Remedy)
	}
	return table.Flush()
}

// masterText says which master answers.
func masterText(m *check.Master) string {
	return map[slap.MasterKind]string{
		slap.KindOurs:  m.URL + " is a local master of this program",
		slap.KindProxy: m.URL + " is a local master of slapos.core",
		slap.KindOther: m.URL + " is a SlapOS Master",
	}[m.Kind]
}

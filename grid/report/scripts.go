// SPDX-License-Identifier: GPL-3.0-or-later

package report

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// Limits of what one report does for a partition, whose user may be hostile.
// The rest is left for the next report.
const (
	reportScriptsTimeout = 10 * time.Minute // of all scripts together
	reportFiles          = 1000             // files checked
	reportBytes          = 4 << 20          // read
)

// runReportScripts runs the scripts in etc/report as the partition's user. Each
// gets the name of a file for its usage report. The master gets the names of
// those that failed (GRID-83).
func (p *reportedPartition) runReportScripts(ctx context.Context) error {
	const directory = "etc/report"
	names, err := fileNames(p.Root, directory)
	if err != nil || len(names) == 0 {
		return err
	}
	user, err := p.Owner()
	if err != nil {
		return err
	}
	opened, err := p.Root.Below(directory)
	if err != nil {
		return err
	}
	defer opened.Close()
	command := process.Command{
		In:     opened,
		Args:   []string{p.Root.Join("var/xml_report/slapreport." + rand.Text()[:8])},
		Env:    process.CleanEnvironment(p.Node.Environment, user.Home),
		User:   user,
		Output: func(line string) { p.Log.Info(line) },
	}
	deadline := time.Now().Add(reportScriptsTimeout)
	var failed []string
	for _, name := range names {
		command.Path = p.Root.Join(directory + "/" + name)
		command.Timeout = time.Until(deadline)
		if command.Timeout <= 0 {
			failed = append(failed, "Script "+slap.PythonRepr(name)+" was not run: those before took too long.")
			break
		}
		result, err := command.Run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && result.ExitCode != 0 {
			err = fmt.Errorf("exit code %d", result.ExitCode)
		}
		if err != nil {
			p.Log.Warn(fmt.Sprintf("Failed to run %q", append([]string{command.Path}, command.Args...)), "error", err)
			failed = append(failed, "Script "+slap.PythonRepr(name)+" failed.")
		}
	}
	if failed != nil {
		return errors.New(strings.Join(failed, "\n"))
	}
	return nil
}

// fileNames lists at most reportFiles names of files in a directory, sorted;
// none if it isn't a directory.
func fileNames(root *confined.Directory, directory string) ([]string, error) {
	entries, _, err := root.List(directory, reportFiles)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

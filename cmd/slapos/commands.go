// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

// commands lists every command. A group stands for the first word of its
// commands' names: the name of a command is its last word.
//
// ArgsUsage of a command declares its arguments, and is checked before the
// command runs: "REFERENCE URL" are two, "[WORD...]" any number, and the word
// "..." takes the rest of the line as it stands, options included.
//
// Category is the heading in the help: that of the group, unless the command has
// one of its own, or "other".
func commands(e *environment) []*cli.Command {
	return []*cli.Command{
		group("cache", "cache",
			newCacheCheckCommand(e),
			newCacheConfCommand(e),
			newCacheDownloadCommand(e),
			newCacheFetchCommand(e),
			newCacheFetchSharedCommand(e),
			newCacheGenerateKeyCommand(e),
			newCachePutCommand(e),
			newCacheShareCommand(e),
			newCacheStartCommand(e),
			newCacheUploadCommand(e),
		),
		group("cachelookup", "cachelookup",
			newCacheLookupBinaryCommand(e),
			newCacheLookupPyPICommand(e),
			newCacheLookupURLCommand(e),
		),
		group("computer", "client",
			newComputerEventsCommand(e),
			newComputerInfoCommand(e),
			newComputerListCommand(e),
			newComputerLogCommand(e),
			newComputerTokenCommand(e),
		),
		group("configure", "other",
			newConfigureCheckCommand(e),
			newConfigureClientCommand(e),
			newConfigureLocalCommand(e),
		),
		group("node", "node", append(newNodeControlCommands(e),
			newNodeAgentCommand(e),
			newNodeBangCommand(e),
			newNodeBootCommand(e),
			newNodeCollectCommand(e),
			newNodeFormatCommand(e),
			newNodeInstanceCommand(e),
			newNodeJoinCommand(e),
			newNodeLeaveCommand(e),
			newNodePromiseCommand(e),
			newNodePruneCommand(e),
			newNodeRegisterCommand(e),
			newNodeRenewCommand(e),
			newNodeReportCommand(e),
			newNodeSoftwareCommand(e),
			newNodeStatusCommand(e),
			newNodeSupervisorctlCommand(e),
			newNodeSupervisordCommand(e),
		)...),
		group("proxy", "other",
			newProxyBackupCommand(e),
			newProxyCheckCommand(e),
			newProxyMigrateCommand(e),
			newProxyRestoreCommand(e),
			newProxyRevokeCommand(e),
			newProxyShowCommand(e),
			newProxyStartCommand(e),
			newProxyTokenCommand(e),
		),
		newCompleteCommand(e),
		newConsoleCommand(e),
		newDoctorCommand(e),
		newHelpCommand(e),
		newRemoveCommand(e),
		newRequestCommand(e),
		group("service", "client",
			newServiceEventsCommand(e),
			newServiceInfoCommand(e),
			newServiceListCommand(e),
			newServiceLogCommand(e),
			newServiceRestartCommand(e),
		),
		group("standalone", "node",
			newStandaloneShellCommand(e),
			newStandaloneStartCommand(e),
			newStandaloneStatusCommand(e),
			newStandaloneStopCommand(e),
		),
		newStatusCommand(e),
		newSupervisorctlCommand(e),
		newSupervisordCommand(e),
		newSupplyCommand(e),
		newWatchdogCommand(e),
	}
}

func group(name, category string, commands ...*cli.Command) *cli.Command {
	for _, c := range commands {
		if c.Category == "" {
			c.Category = category
		}
	}
	return &cli.Command{Name: name, Subcommands: append([]*cli.Command{}, commands...)}
}

// An application knows the commands and runs one line.
type application struct {
	e        *environment
	commands []*cli.Command
}

func newApplication(e *environment) *application {
	return &application{e: e, commands: commands(e)}
}

// run understands the line, opens the log, and runs the command.
func (a *application) run(ctx context.Context, args []string) error {
	line, err := argv.Read(a.commands, a.e.global.flags(), args)
	if err == nil && line.Version {
		_, err = fmt.Fprintln(a.e.stdout, versionText())
		return err
	}
	if err == nil && line.Help {
		return a.help(line)
	}
	if logErr := a.e.applyGlobalOptions(line.Global); logErr != nil {
		return a.refuse(ctx, nil, nil, logErr)
	}
	if err == nil {
		err = a.runCommand(ctx, line)
	}
	return a.refuse(ctx, line.Path, line.Command, err)
}

// refuse reports a line that can't be run (CLI-6, CLI-7). It returns other
// errors unchanged.
func (a *application) refuse(ctx context.Context, path []string, command *cli.Command, err error) error {
	var unknown *argv.UnknownCommandError
	var usage *argv.UsageError
	switch {
	case errors.As(err, &unknown):
		a.e.log.Log(ctx, levelCritical, a.unknownText(unknown), "logger", "cliff.commandmanager")
		return &exitError{code: 5}
	case errors.As(err, &usage):
		name := strings.Join(append([]string{"slapos"}, path...), " ")
		fmt.Fprintf(a.e.stderr, "%s\n%s: error: %s\n", synopsis(path, command), name, usage.Text)
		return &exitError{code: 2}
	}
	return err
}

// runCommand passes the ordered words to package cli.
func (a *application) runCommand(ctx context.Context, line *argv.Line) error {
	command := *line.Command
	command.HideHelp = true
	command.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return argv.InvalidValue(err) }
	app := &cli.App{
		Name:                      "slapos",
		Commands:                  []*cli.Command{&command},
		Reader:                    a.e.stdin,
		Writer:                    a.e.stdout,
		ErrWriter:                 a.e.stderr,
		HideHelp:                  true,
		HideVersion:               true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
	}
	if name := strings.Join(line.Path, " "); a.e.global.verbose > 1 {
		a.e.log.Debug("begin " + name)
		defer a.e.log.Debug("end " + name)
	}
	words := append([]string{"slapos", command.Name}, line.Options...)
	words = append(append(words, "--"), line.Arguments...)
	return app.RunContext(ctx, words)
}

// names lists the full names of all commands that are not hidden, sorted.
func (a *application) names() []string {
	var names []string
	a.each(func(path []string, _ *cli.Command) { names = append(names, strings.Join(path, " ")) })
	slices.Sort(names)
	return names
}

// each visits the commands that are not hidden.
func (a *application) each(visit func(path []string, command *cli.Command)) {
	for _, first := range a.commands {
		if first.Subcommands == nil && !first.Hidden {
			visit([]string{first.Name}, first)
		}
		for _, second := range first.Subcommands {
			if !second.Hidden {
				visit([]string{first.Name, second.Name}, second)
			}
		}
	}
}

// unknownText is the message of CLI-6, with suggestions.
func (a *application) unknownText(unknown *argv.UnknownCommandError) string {
	if unknown.Option != "" {
		return fmt.Sprintf("slapos: invalid option '%s'", unknown.Option)
	}
	text := fmt.Sprintf("slapos: the command '%s' does not exist or is not yet implemented.", unknown.Words)
	if group, members := a.group(unknown.Words); len(members) > 0 {
		return fmt.Sprintf("%s Say slapos %s and one of: %s", text, group, strings.Join(members, ", "))
	}
	if near := a.meant(unknown.Words); len(near) > 0 {
		return fmt.Sprintf("%s Did you mean %s?", text, quoted(near, " or "))
	}
	return text + " slapos help lists all."
}

// group returns the group that words name, and its commands, if they name no
// more than a group.
func (a *application) group(words string) (group string, members []string) {
	a.each(func(path []string, _ *cli.Command) {
		if len(path) == 2 && path[0] == words {
			members = append(members, path[1])
		}
	})
	slices.Sort(members)
	return words, members
}

// meant returns the commands closest to mistyped words: by their whole name, by
// their last word alone, or else by their group.
func (a *application) meant(words string) []string {
	names := a.names()
	fields := strings.Fields(words)
	for n := len(fields); n > 0; n-- {
		if near := argv.Nearest(strings.Join(fields[:n], " "), names); len(near) > 0 {
			return near
		}
	}
	var lasts, groups []string
	for _, name := range names {
		group, last, isPair := strings.Cut(name, " ")
		if isPair {
			lasts = append(lasts, last)
			groups = append(groups, group)
		}
	}
	if near := argv.Nearest(fields[0], lasts); len(near) > 0 {
		return slices.DeleteFunc(names, func(name string) bool {
			_, last, _ := strings.Cut(name, " ")
			return !slices.Contains(near, last)
		})
	}
	return slices.Compact(slices.Sorted(slices.Values(argv.Nearest(fields[0], groups))))
}

func quoted(words []string, separator string) string {
	return "'" + strings.Join(words, "'"+separator+"'") + "'"
}

func (a *application) help(line *argv.Line) error {
	if line.Command == nil {
		return a.globalHelp(a.e.stdout)
	}
	return a.e.commandHelp(a.e.stdout, line.Path, line.Command)
}

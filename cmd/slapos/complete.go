// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

// In the scripts @NAME@ stands for the name of the program, @FUNCTION@ for the
// same as part of an identifier, and @TABLE@ for the result of completeTable or
// completeFishTable.
var (
	//go:embed completion/slapos.bash
	completionBash string
	//go:embed completion/slapos.zsh
	completionZsh string
	//go:embed completion/slapos.fish
	completionFish string
)

type completeOptions struct {
	name, shell string
	values      bool
}

func (o *completeOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Destination: &o.name, Usage: "complete the program with this `NAME`", Value: "slapos"},
		argv.ChoiceFlag(&o.shell, "shell", "the shell in use", "bash", "fish", "none", "zsh"),
		&cli.BoolFlag{Name: "values", Destination: &o.values, Usage: "print the possible values of the last WORD"},
	}
}

func newCompleteCommand(e *environment) *cli.Command {
	options := new(completeOptions)
	return &cli.Command{
		Name:      "complete",
		Usage:     "print a completion script for a shell",
		ArgsUsage: "[WORD...]",
		Description: `Prints a script that makes a shell complete the commands and options of slapos:

  bash   eval "$(slapos complete)"                 in ~/.bashrc
  zsh    eval "$(slapos complete --shell zsh)"     in ~/.zshrc, after compinit
  fish   slapos complete --shell fish | source     in config.fish
  none   the table of commands and options alone

Services, computers, partitions, programs and software are completed as well:
for these the script runs slapos complete --values -- WORD..., which prints the
possible values of the last WORD, one per line, with a tab and its meaning.

Exit codes: 0 success; 2 wrong usage.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			switch {
			case options.values:
				return runCompleteValues(c.Context, e, c.Args().Slice())
			case c.Args().Present():
				return argv.UsageErrorf("unrecognized arguments: %s", strings.Join(c.Args().Slice(), " "))
			}
			return runComplete(e, options.name, options.shell)
		},
	}
}

func runComplete(e *environment, name, shell string) error {
	function := regexp.MustCompile(`[^A-Za-z0-9_]`).ReplaceAllString(name, "_")
	if name == "" || strings.ContainsAny(name, " \t\n'\"\\$`;&|<>()") {
		return argv.UsageErrorf("argument --name: %q can't be the name of a program", name)
	}
	a := newApplication(e)
	script, table := completionBash, a.completeTable()
	switch shell {
	case "none":
		script = "@TABLE@\n"
	case "zsh":
		script = completionZsh
	case "fish":
		script, table = completionFish, a.completeFishTable(name, function)
	}
	script = strings.ReplaceAll(script, "@TABLE@", strings.TrimRight(table, "\n"))
	script = strings.ReplaceAll(script, "@NAME@", name)
	_, err := io.WriteString(e.stdout, strings.ReplaceAll(script, "@FUNCTION@", function))
	return err
}

// runCompleteValues prints a line for each value. It logs errors at debug level
// only, since the user is typing.
func runCompleteValues(ctx context.Context, e *environment, words []string) error {
	values, err := newApplication(e).completeValues(ctx, words)
	if err != nil {
		e.log.Debug("no values to complete: " + err.Error())
	}
	oneLine := strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")
	for _, value := range values {
		text := oneLine.Replace(value.word)
		if value.meaning != "" {
			text += "\t" + oneLine.Replace(value.meaning)
		}
		if _, err := fmt.Fprintln(e.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

// completeTable has a line cmds_node_bang='--help ...' for each command and
// each group (CLI-62).
func (a *application) completeTable() string {
	words := map[string][]string{}
	a.each(func(path []string, command *cli.Command) {
		name := "cmds"
		for _, word := range path {
			if !slices.Contains(words[name], word) {
				words[name] = append(words[name], word)
			}
			name += "_" + strings.ReplaceAll(word, "-", "_")
		}
		for _, f := range withHelp(command.Flags) {
			words[name] = append(words[name], argv.Spelled(f)...)
		}
	})
	var names []string
	for name := range words {
		if words[name][0][0] != '-' {
			slices.Sort(words[name])
		}
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "  %s='%s'\n", name, strings.Join(words[name], " "))
	}
	return b.String()
}

// completeFishTable has the same as commands of fish, with descriptions.
func (a *application) completeFishTable(name, function string) string {
	var b strings.Builder
	groups := map[string]bool{}
	a.each(func(path []string, command *cli.Command) {
		if len(path) > 1 && !groups[path[0]] {
			groups[path[0]] = true
			fmt.Fprintf(&b, "complete -c %s -f -n '__%s_at' -a %s -d 'commands of %s'\n", name, function, path[0], path[0])
		}
		parent, last := path[:len(path)-1], path[len(path)-1]
		at := strings.Join(append([]string{"__" + function + "_at"}, parent...), " ")
		fmt.Fprintf(&b, "complete -c %s -f -n '%s' -a %s -d %s\n", name, at, last, fishQuoted(command.Usage))
		in := "__" + function + "_in " + strings.Join(path, " ")
		for _, f := range withHelp(command.Flags) {
			_, text := describe(f)
			options := ""
			for _, option := range argv.Spelled(f) {
				if strings.HasPrefix(option, "--") {
					options += " -l " + option[2:]
				} else {
					options += " -s " + option[1:]
				}
			}
			switch {
			case argv.Choices(f) != nil || optionSources[f.Names()[0]] != nil:
				options += " -x -a '(__" + function + "_values)'"
			case argv.TakesValue(f):
				options += " -r"
			}
			fmt.Fprintf(&b, "complete -c %s -n '%s'%s -d %s\n", name, in, options, fishQuoted(text))
		}
		if argument := argumentName(command.ArgsUsage, 0); argumentSources[strings.Join(path, " ")+" "+argument] != nil || last == "help" {
			fmt.Fprintf(&b, "complete -c %s -n '%s' -a '(__%s_values)'\n", name, in, function)
		}
	})
	return b.String()
}

func fishQuoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
)

// globalHelp shows the global options and the commands by category (CLI-3).
func (a *application) globalHelp(w io.Writer) error {
	var b strings.Builder
	a.writeGlobalOptions(&b)
	categories := map[string][]entry{}
	a.each(func(path []string, command *cli.Command) {
		category := cmp.Or(command.Category, "other")
		categories[category] = append(categories[category], entry{name: strings.Join(path, " "), text: command.Usage})
	})
	for _, category := range slices.Sorted(maps.Keys(categories)) {
		b.WriteString("\n")
		writeEntries(&b, category+" commands:", sortedEntries(categories[category]), a.e.helpWidth())
	}
	b.WriteString("\nThe help of a command: slapos COMMAND --help\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// flatHelp is the same with one list of commands (CLI-4).
func (a *application) flatHelp(w io.Writer) error {
	var b strings.Builder
	a.writeGlobalOptions(&b)
	var entries []entry
	a.each(func(path []string, command *cli.Command) {
		entries = append(entries, entry{name: strings.Join(path, " "), text: command.Usage})
	})
	b.WriteString("\n")
	writeEntries(&b, "Commands:", sortedEntries(entries), a.e.helpWidth())
	_, err := io.WriteString(w, b.String())
	return err
}

func (a *application) writeGlobalOptions(b *strings.Builder) {
	fmt.Fprintf(b, "%s\n\nSlapOS client %s\n\n", synopsis(nil, nil), version)
	writeOptions(b, "options:", a.e.global.flags(), a.e.helpWidth())
}

// commandHelp shows the help of one command.
func (e *environment) commandHelp(w io.Writer, path []string, command *cli.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n", synopsis(path, command), command.Usage)
	if command.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(command.Description))
	}
	writeOptions(&b, "options:", withHelp(command.Flags), e.helpWidth())
	b.WriteString("\nGlobal options, as --verbose and --log-file: slapos --help\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// withHelp adds -h to the options of a command, and leaves hidden ones out.
func withHelp(flags []cli.Flag) []cli.Flag {
	shown := []cli.Flag{&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help and exit"}}
	for _, f := range flags {
		if visible, ok := f.(cli.VisibleFlag); !ok || visible.IsVisible() {
			shown = append(shown, f)
		}
	}
	return shown
}

// An entry is a line of a table in a help text.
type entry struct{ name, text string }

func sortedEntries(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries
}

func writeOptions(b *strings.Builder, title string, flags []cli.Flag, width int) {
	writeEntries(b, title, optionEntries(flags), width)
}

func optionEntries(flags []cli.Flag) []entry {
	var entries []entry
	for _, f := range flags {
		placeholder, text := describe(f)
		entries = append(entries, entry{name: strings.Join(argv.Spelled(f), ", ") + placeholder, text: text})
	}
	return entries
}

// describe returns the placeholder of an option's value and its help text.
func describe(f cli.Flag) (placeholder, text string) {
	documented, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "", ""
	}
	text = documented.GetUsage()
	if begin := strings.IndexByte(text, '`'); begin >= 0 {
		if length := strings.IndexByte(text[begin+1:], '`'); length >= 0 {
			placeholder = text[begin+1 : begin+1+length]
			text = text[:begin] + placeholder + text[begin+length+2:]
		}
	}
	if !documented.TakesValue() {
		return "", text
	}
	if placeholder == "" {
		placeholder = strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_"))
	}
	if values := argv.Choices(f); values != nil {
		placeholder = strings.Join(values, "|")
	}
	if _, several := f.(*argv.WordsFlag); several {
		placeholder += "..."
	}
	value := strings.Trim(documented.GetDefaultText(), `"`)
	if value != "" && value != "0" && !strings.Contains(text, "(default") {
		text += " (default: " + value + ")"
	}
	return " " + placeholder, text
}

const helpIndent = 26

// helpWidth is the width of help texts: $COLUMNS, or what reads well.
func (e *environment) helpWidth() int {
	if columns, err := strconv.Atoi(e.getenv("COLUMNS")); err == nil && columns > 0 {
		return max(columns-2, helpIndent+20)
	}
	return 96
}

func writeEntries(b *strings.Builder, title string, entries []entry, width int) {
	fmt.Fprintln(b, title)
	for _, e := range entries {
		head := "  " + e.name
		if len(head) > helpIndent-2 {
			fmt.Fprintln(b, head)
			head = ""
		}
		for _, text := range wrap(e.text, width-helpIndent) {
			fmt.Fprintf(b, "%-*s%s\n", helpIndent, head, text)
			head = ""
		}
	}
}

// wrap breaks a text at blanks.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}

// synopsis is the usage line of a command, or of slapos.
func synopsis(path []string, command *cli.Command) string {
	if command == nil {
		return "usage: slapos [global options] COMMAND [options] [arguments]"
	}
	words := append([]string{"usage: slapos"}, path...)
	if len(command.Flags) > 0 {
		words = append(words, "[options]")
	}
	if command.ArgsUsage != "" {
		words = append(words, command.ArgsUsage)
	}
	return strings.Join(words, " ")
}

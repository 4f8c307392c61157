// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// A manualPage describes one command, or slapos itself, in a form that can be
// printed as a man page or as Markdown.
type manualPage struct {
	name        string // "slapos node format"
	summary     string
	synopsis    string
	description []manualBlock
	options     []entry
	commands    []entry // of slapos itself
	exitCodes   string
}

// A manualBlock is a paragraph, or lines that stay as they are.
type manualBlock struct {
	literal bool
	text    string
}

// manual has the page of slapos first, then that of each command by its name.
func (a *application) manual() []manualPage {
	var pages []manualPage
	a.each(func(path []string, command *cli.Command) {
		page := manualPage{
			name:     strings.Join(append([]string{"slapos"}, path...), " "),
			summary:  command.Usage,
			synopsis: strings.TrimPrefix(synopsis(path, command), "usage: "),
			options:  optionEntries(withHelp(command.Flags)),
		}
		page.description, page.exitCodes = manualBlocks(command.Description)
		pages = append(pages, page)
	})
	slices.SortFunc(pages, func(a, b manualPage) int { return cmp.Compare(a.name, b.name) })
	root := manualPage{
		name:     "slapos",
		summary:  "run a SlapOS node, its local master and its clients",
		synopsis: strings.TrimPrefix(synopsis(nil, nil), "usage: "),
		options:  optionEntries(a.e.global.flags()),
	}
	root.description, root.exitCodes = manualBlocks(rootDescription)
	for _, page := range pages {
		root.commands = append(root.commands, entry{name: page.name, text: page.summary})
	}
	return append([]manualPage{root}, pages...)
}

const rootDescription = `Global options may come anywhere on the line. Options may come before, between
or after arguments; -- ends them. The value of an option is the next word or
follows =. Short options can be joined, and a long name can be shortened as
long as it stays unique. slapos node alone means slapos node status.

Node and proxy commands read the file of --cfg, or else of
SLAPOS_CONFIGURATION, or else /etc/opt/slapos/slapos.cfg; client commands that
of --cfg, or else of SLAPOS_CLIENT_CONFIGURATION, or else
~/.slapos/slapos-client.cfg. NO_COLOR turns colours off, COLUMNS is the width
of help, PAGER shows long output; http_proxy, https_proxy and no_proxy are
obeyed.

Exit codes: 0 success; 1 failure; 2 wrong usage, a promise failed, the master
was not told, or an instance is not ready or doesn't exist; 3 the agent worked
without a master, successfully; 5 not root, or no such command; 10 another
slapos process is running; 130 interrupted; 255 node prune: no
shared_part_list, or node software is running.`

// manualBlocks splits a description; the paragraph of exit codes ends it.
func manualBlocks(description string) (blocks []manualBlock, exitCodes string) {
	for _, text := range strings.Split(strings.Trim(description, "\n"), "\n\n") {
		rest, found := strings.CutPrefix(text, "Exit codes: ")
		switch {
		case found:
			exitCodes = strings.Join(strings.Fields(rest), " ")
		case strings.HasPrefix(text, "  "):
			blocks = append(blocks, manualBlock{literal: true, text: text})
		case text != "":
			blocks = append(blocks, manualBlock{text: strings.Join(strings.Fields(text), " ")})
		}
	}
	return blocks, exitCodes
}

// roff prints the page for man.
func (p manualPage) roff() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"slapos %s\"\n", strings.ToUpper(p.fileName()), version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", p.fileName(), roffText(p.summary))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n\\fB%s\\fR\n", roffText(p.synopsis))
	if len(p.description) > 0 {
		b.WriteString(".SH DESCRIPTION\n")
	}
	for _, block := range p.description {
		if block.literal {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", roffText(block.text))
		} else {
			fmt.Fprintf(&b, ".PP\n%s\n", roffText(block.text))
		}
	}
	for _, list := range []struct {
		title   string
		entries []entry
	}{{"OPTIONS", p.options}, {"COMMANDS", p.commands}} {
		if len(list.entries) > 0 {
			fmt.Fprintf(&b, ".SH %s\n", list.title)
		}
		for _, e := range list.entries {
			fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roffText(e.name), roffText(e.text))
		}
	}
	if p.exitCodes != "" {
		fmt.Fprintf(&b, ".SH EXIT STATUS\n%s\n", roffText(p.exitCodes))
	}
	if p.commands == nil {
		b.WriteString(".SH SEE ALSO\n.BR slapos (1)\n")
	}
	return b.String()
}

// fileName is the name of the man page without its section.
func (p manualPage) fileName() string { return strings.ReplaceAll(p.name, " ", "-") }

// roffText escapes what roff would take for commands.
func roffText(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// markdown prints the page as a chapter of docs/commands.md.
func (p manualPage) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s.\n\n    %s\n", p.name, strings.ToUpper(p.summary[:1])+p.summary[1:], p.synopsis)
	for _, block := range p.description {
		if block.literal {
			fmt.Fprintf(&b, "\n  %s\n", strings.ReplaceAll(block.text, "\n", "\n  "))
		} else {
			fmt.Fprintf(&b, "\n%s\n", wrapped(markdownText(block.text)))
		}
	}
	b.WriteString("\n| option | effect |\n|---|---|\n")
	for _, e := range p.options {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(e.name, "|", `\|`), markdownText(e.text))
	}
	if p.exitCodes != "" {
		fmt.Fprintf(&b, "\n%s\n", wrapped("Exit codes: "+markdownText(p.exitCodes)))
	}
	return b.String()
}

func markdownText(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`).Replace(text)
}

func wrapped(text string) string { return strings.Join(wrap(text, 120), "\n") }

// reference is docs/commands.md.
func (a *application) reference() string {
	var b strings.Builder
	b.WriteString("# Every command\n\nMade from the program by `make docs`. How to write a command line is in [cli.md](cli.md), what the\n" +
		"keys of the configuration mean in [configuration.md](configuration.md).\n")
	for _, page := range a.manual() {
		b.WriteString("\n" + page.markdown())
	}
	return b.String()
}

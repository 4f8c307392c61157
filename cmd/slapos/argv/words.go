// SPDX-License-Identifier: GPL-3.0-or-later

// Package argv understands command lines as the original's argparse does: global
// options anywhere, long names shortened, short ones in clusters, values in the
// next word or behind "=" (CLI-1 to CLI-7, D-25).
//
// [Read] puts the words of a line in the order that package cli wants, by the
// tables of flags of the commands, and refuses with a [UsageError] what it can't
// understand. [PlaceOf] says what stands at the cursor of a shell. Beside
// the flags of package cli there are those whose values are read as Python reads
// them: [WholeFlag], [MeasureFlag], [ChoiceFlag], [WordsFlag].
//
// A command declares its arguments in ArgsUsage: "REFERENCE URL" are two,
// "[WORD...]" any number, and [PassThrough] takes the rest of the line unchanged.
package argv

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// A Line is a command line in the order that package cli wants (D-25): options
// before arguments, each under its first name as --name=value.
type Line struct {
	Global        []string
	Path          []string
	Command       *cli.Command
	Options       []string
	Arguments     []string
	Help, Version bool
}

// An UnknownCommandError is a line whose first words name no command, or that
// has an option in their place (CLI-6).
type UnknownCommandError struct{ Words, Option string }

func (e *UnknownCommandError) Error() string { return "no command " + e.Words + e.Option }

// Read orders words by the tables of the commands' options. With an error, the
// line has what was understood so far.
func Read(commands []*cli.Command, global []cli.Flag, words []string) (*Line, error) {
	l := &Line{Help: standsIn(words, "-h", "--help"), Version: standsIn(words, "--version")}
	r := &reader{line: l, words: words, global: global}
	err := r.command(commands)
	switch {
	case l.Help || l.Version: // win over every error, CLI-3
		return l, nil
	case err != nil:
		return l, err
	case l.Command == nil: // CLI-2; the original's shell of CLI-9 is none of ours
		l.Help = true
		return l, nil
	}
	if err := r.rest(); err != nil || l.Help || l.Version {
		return l, err
	}
	return l, checkArguments(l.Command.ArgsUsage, l.Arguments)
}

// FindCommand reads the name of a command from the first of the words, with the
// global options between them; rest follows it. The command is nil when the words
// end before its name does.
func FindCommand(commands []*cli.Command, global []cli.Flag, words []string) (path []string, command *cli.Command, rest []string, err error) {
	r := &reader{line: &Line{}, words: words, global: global}
	err = r.command(commands)
	return r.line.Path, r.line.Command, r.words, err
}

// standsIn reports whether one of the names is a word of the line before "--".
func standsIn(words []string, names ...string) bool {
	if end := slices.Index(words, "--"); end >= 0 {
		words = words[:end]
	}
	return slices.ContainsFunc(words, func(word string) bool { return slices.Contains(names, word) })
}

// A reader goes through the words of one line.
type reader struct {
	line   *Line
	words  []string // not read yet
	global []cli.Flag
	flags  []cli.Flag // of the command
}

// command reads up to the end of the command's name.
func (r *reader) command(level []*cli.Command) error {
	var named []string
	for len(r.words) > 0 {
		word := r.words[0]
		if strings.HasPrefix(word, "-") {
			if known, err := r.option(); err != nil {
				return err
			} else if !known {
				return &UnknownCommandError{Option: word}
			}
			continue
		}
		r.words = r.words[1:]
		named = append(named, word)
		next := slices.IndexFunc(level, func(c *cli.Command) bool { return c.Name == word })
		if next < 0 {
			return &UnknownCommandError{Words: strings.Join(append(named, r.words...), " ")}
		}
		if r.found(named, level[next]) {
			return nil
		}
		level = level[next].Subcommands
	}
	if slices.Equal(named, []string{"node"}) { // CLI-5
		if status := slices.IndexFunc(level, func(c *cli.Command) bool { return c.Name == "status" }); status >= 0 {
			r.found([]string{"node", "status"}, level[status])
			return nil
		}
	}
	if named != nil {
		return &UnknownCommandError{Words: strings.Join(named, " ")}
	}
	return nil
}

func (r *reader) found(path []string, command *cli.Command) bool {
	if command.Subcommands != nil {
		return false
	}
	r.line.Path, r.line.Command, r.flags = path, command, command.Flags
	return true
}

// rest reads what follows the command's name.
func (r *reader) rest() error {
	passThrough := strings.HasSuffix(r.line.Command.ArgsUsage, PassThrough)
	for len(r.words) > 0 {
		word := r.words[0]
		switch {
		case word == "--":
			r.line.Arguments = append(r.line.Arguments, r.words[1:]...)
			r.words = nil
			continue
		case passThrough && len(r.line.Arguments) > 0:
			// Of the words that go to another program only global options are ours.
			if !slices.ContainsFunc(r.global, func(f cli.Flag) bool { return hasName(f, word) }) {
				break
			}
			fallthrough
		case r.isOption(word):
			known, err := r.option()
			if err != nil {
				return err
			}
			if known {
				continue
			}
			if !passThrough {
				return r.unknownOption(word)
			}
		}
		r.line.Arguments = append(r.line.Arguments, word)
		r.words = r.words[1:]
	}
	return nil
}

// PassThrough at the end of ArgsUsage gives the words after the command's own
// options to another program, as in node supervisorctl.
const PassThrough = "..."

// isOption distinguishes an option, known or not, from an argument that happens
// to begin with a dash: a number, or text with blanks.
func (r *reader) isOption(word string) bool {
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return false
	}
	if known, _, err := r.find(word); known != nil || err != nil {
		return true
	}
	_, err := strconv.ParseFloat(word, 64)
	number := err == nil && strings.Contains("0123456789.", word[1:2])
	return !number && !strings.Contains(word, " ")
}

// option reads one option with its values, or a cluster of short ones. It reads
// nothing if the option is unknown.
func (r *reader) option() (known bool, err error) {
	word := r.words[0]
	for first := true; ; first = false {
		f, rest, err := r.find(word)
		if err != nil {
			return false, err
		}
		if f == nil {
			if first {
				return false, nil
			}
			return false, r.unknownOption(r.words[0])
		}
		if TakesValue(f) {
			return true, r.values(f, rest)
		}
		if _, optional := f.(*OptionalFlag); optional && strings.HasPrefix(rest, "=") {
			return true, r.values(f, rest)
		}
		if strings.HasPrefix(rest, "=") {
			return false, UsageErrorf("argument %s: takes no value, not '%s'", joinedNames(f), rest[1:])
		}
		r.emit(f, "true")
		if rest == "" {
			r.words = r.words[1:]
			return true, nil
		}
		word = "-" + rest
	}
}

// values reads the values of the first option; rest is what follows its name in
// the same word.
func (r *reader) values(f cli.Flag, rest string) error {
	r.words = r.words[1:]
	if rest != "" {
		r.emit(f, strings.TrimPrefix(rest, "="))
		return nil
	}
	_, several := f.(*WordsFlag)
	count := 0
	for len(r.words) > 0 && (several || count == 0) && !r.isOption(r.words[0]) && r.words[0] != "--" {
		r.emit(f, r.words[0])
		r.words = r.words[1:]
		count++
	}
	if count == 0 && several {
		return UsageErrorf("argument %s: expected at least one argument", joinedNames(f))
	}
	if count == 0 {
		return UsageErrorf("argument %s: expected one argument", joinedNames(f))
	}
	return nil
}

func (r *reader) emit(f cli.Flag, value string) {
	name := f.Names()[0]
	word := "--" + name + "=" + value
	switch {
	case !slices.Contains(r.global, f):
		r.line.Options = append(r.line.Options, word)
	case name == "help": // shortened, or in a cluster
		r.line.Help = true
	case name == "version":
		r.line.Version = true
	default:
		r.line.Global = append(r.line.Global, word)
	}
}

// find looks up the option at the start of a word: by its name, by the
// beginning of a long name that no other option shares, or by its letter. It
// returns what follows the name: "", "=value", or, after a letter, "value".
func (r *reader) find(word string) (f cli.Flag, rest string, err error) {
	tables := slices.Concat(r.flags, r.global)
	if !strings.HasPrefix(word, "--") {
		if len(word) < 2 {
			return nil, "", nil
		}
		letter, rest := word[:2], word[2:]
		if i := slices.IndexFunc(tables, func(f cli.Flag) bool { return hasName(f, letter) }); i >= 0 {
			return tables[i], rest, nil
		}
		return nil, "", nil
	}
	name, value, valued := strings.Cut(word, "=")
	if valued {
		rest = "=" + value
	}
	if i := slices.IndexFunc(tables, func(f cli.Flag) bool { return hasName(f, name) }); i >= 0 {
		return tables[i], rest, nil
	}
	var matches []string
	for _, candidate := range tables {
		for _, option := range Spelled(candidate) {
			if !strings.HasPrefix(option, name) || len(name) < 3 {
				continue
			}
			matches = append(matches, option)
			if f != nil && f != candidate {
				err = UsageErrorf("ambiguous option: %s could match %s", name, strings.Join(matches, ", "))
			}
			f = candidate
		}
	}
	if err != nil {
		return nil, "", err
	}
	return f, rest, nil
}

// unknownOption refuses an option, and suggests the nearest one.
func (r *reader) unknownOption(word string) error {
	name, _, _ := strings.Cut(word, "=")
	var names []string
	for _, f := range slices.Concat(r.flags, r.global) {
		names = append(names, Spelled(f)...)
	}
	if near := Nearest(name, names); len(name) > 3 && len(near) > 0 {
		return UsageErrorf("unrecognized arguments: %s (did you mean %s?)", word, strings.Join(near, " or "))
	}
	return UsageErrorf("unrecognized arguments: %s", word)
}

// checkArguments compares the arguments with what ArgsUsage declares.
func checkArguments(declared string, arguments []string) error {
	var missing []string
	most := 0
	for _, name := range strings.Fields(declared) {
		if strings.HasSuffix(strings.TrimSuffix(name, "]"), "...") {
			most = len(arguments)
		} else if most++; name[0] != '[' && most > len(arguments) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return UsageErrorf("the following arguments are required: %s", strings.Join(missing, ", "))
	}
	if len(arguments) > most {
		return UsageErrorf("unrecognized arguments: %s", strings.Join(arguments[most:], " "))
	}
	return nil
}

// Spelled lists the names of an option with their dashes, letters first.
func Spelled(f cli.Flag) []string {
	var names []string
	for _, name := range f.Names() {
		if len(name) == 1 {
			names = append(names, "-"+name)
		} else {
			names = append(names, "--"+name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return min(len(a), 3) - min(len(b), 3) })
	return names
}

func hasName(f cli.Flag, option string) bool {
	option, _, _ = strings.Cut(option, "=")
	return slices.Contains(Spelled(f), option)
}

// joinedNames names an option in a message, as -q/--quiet.
func joinedNames(f cli.Flag) string {
	return strings.Join(Spelled(f), "/")
}

func TakesValue(f cli.Flag) bool {
	documented, ok := f.(cli.DocGenerationFlag)
	return !ok || documented.TakesValue()
}

// Nearest returns the names that a mistyped word is closest to.
func Nearest(word string, names []string) []string {
	best := 1 + len(word)/4
	var near []string
	for _, name := range names {
		distance := smetrics.WagnerFischer(word, name, 1, 1, 1)
		if distance < best {
			best, near = distance, nil
		}
		if distance == best {
			near = append(near, name)
		}
	}
	return near
}

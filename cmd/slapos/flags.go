// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

// configFlag is --cfg of node and proxy commands (CLI-20).
func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "cfg", Usage: "SlapOS configuration `FILE` (default: $SLAPOS_CONFIGURATION or " + nodeConfigurationFile + ")"}
}

// clientConfigFlag is --cfg of client commands (CLI-20).
func clientConfigFlag() cli.Flag {
	return &cli.StringFlag{Name: "cfg", Usage: "SlapOS client configuration `FILE` (default: $SLAPOS_CLIENT_CONFIGURATION or " + clientConfigurationFile + ")"}
}

// jsonFlag is --json of commands that print a result.
func jsonFlag(usage string) cli.Flag { return &cli.BoolFlag{Name: "json", Usage: usage} }

// printJSON prints a result for programs.
func (e *environment) printJSON(value any) error {
	_, err := fmt.Fprintln(e.stdout, pytext.EncodeJSON(value))
	return err
}

// A wordsFlag takes all the words that follow it, up to the next option:
// --node a=b c=d. Read it by Context.StringSlice.
type wordsFlag struct{ *cli.StringSliceFlag }

// choiceFlag is an option with a fixed set of values, the first of which is the
// default; read it by Context.String. A first value "" says that there is no
// default. Help shows the values in the place of a name for them.
func choiceFlag(name, usage string, values ...string) cli.Flag {
	c := &choice{value: values[0], values: values}
	if values[0] == "" {
		c.values = values[1:]
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: c}
}

// choices are the values of a choiceFlag, nil for other options.
func choices(f cli.Flag) []string {
	if generic, ok := f.(*cli.GenericFlag); ok {
		if c, ok := generic.Value.(*choice); ok {
			return c.values
		}
	}
	return nil
}

type choice struct {
	value  string
	values []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.values, text) {
		return errors.New("choose from " + strings.Join(c.values, ", "))
	}
	c.value = text
	return nil
}

// A whole is the value of a wholeFlag.
type whole struct {
	value       int
	given       bool
	least, most int
}

func (w *whole) String() string {
	if w == nil || !w.given {
		return ""
	}
	return strconv.Itoa(w.value)
}

func (w *whole) Set(text string) error {
	number, ok := slap.PythonInt(text)
	if !ok || number < w.least || number > w.most {
		return errors.New("must be " + wholeRange(w.least, w.most))
	}
	w.value, w.given = number, true
	return nil
}

// wholeFlag is an option whose value is a whole number, as Python's int() reads
// it. Read it by wholeOf. Usual shows in the help; "" says that there is no
// default.
func wholeFlag(name, usage, usual string, least, most int, aliases ...string) *cli.GenericFlag {
	w := &whole{least: least, most: most}
	if usual != "" {
		_ = w.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Aliases: aliases, Usage: usage, Value: w}
}

// wholeOf is the value of a wholeFlag: its default, when it is not given.
func wholeOf(c *cli.Context, name string) int { return c.Generic(name).(*whole).value }

// A measure is the value of a measureFlag.
type measure[T any] struct {
	text  string
	value T
	forms string
	parse func(string) (T, bool)
}

func (m *measure[T]) String() string {
	if m == nil {
		return ""
	}
	return m.text
}

func (m *measure[T]) Set(text string) error {
	value, ok := m.parse(text)
	if !ok {
		return errors.New("must be " + m.forms)
	}
	m.text, m.value = text, value
	return nil
}

// measureFlag is an option whose value has a unit, in one of the forms. Read it
// by measureOf. Usual shows in the help; "" says that there is no default.
func measureFlag[T any](name, usage, usual, forms string, parse func(string) (T, bool)) *cli.GenericFlag {
	m := &measure[T]{forms: forms, parse: parse}
	if usual != "" {
		_ = m.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: m}
}

// measureOf is the value of a measureFlag; zero, when there is none.
func measureOf[T any](c *cli.Context, name string) T { return c.Generic(name).(*measure[T]).value }

// exclusive refuses a line that has more than one of the named options.
func exclusive(c *cli.Context, names ...string) error {
	given := ""
	for _, name := range names {
		switch {
		case !c.IsSet(name):
		case given != "":
			return usageErrorf("argument --%s: not allowed with argument --%s", name, given)
		default:
			given = name
		}
	}
	return nil
}

// invalidValue says in our words what package flag says of a value.
func invalidValue(err error) error {
	pattern := regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]*): (?s:(.*))$`)
	if m := pattern.FindStringSubmatch(err.Error()); m != nil {
		return usageErrorf("argument --%s: invalid value %s: %s", m[2], m[1], strings.TrimPrefix(m[3], "strconv."))
	}
	return usageErrorf("%v", err)
}

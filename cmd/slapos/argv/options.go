// SPDX-License-Identifier: GPL-3.0-or-later

package argv

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/slap"
)

// A WordsFlag takes all the words that follow it, up to the next option:
// --node a=b c=d. Read it by Context.StringSlice.
type WordsFlag struct{ *cli.StringSliceFlag }

// ChoiceFlag is an option with a fixed set of values, the first of which is the
// default; read it by Context.String. A first value "" says that there is no
// default. Help shows the values in the place of a name for them.
func ChoiceFlag(name, usage string, values ...string) cli.Flag {
	c := &choice{value: values[0], values: values}
	if values[0] == "" {
		c.values = values[1:]
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: c}
}

// Choices are the values of a ChoiceFlag, nil for other options.
func Choices(f cli.Flag) []string {
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

// A Whole is the value of a WholeFlag.
type Whole struct {
	Value       int
	given       bool
	Least, Most int
}

func (w *Whole) String() string {
	if w == nil || !w.given {
		return ""
	}
	return strconv.Itoa(w.Value)
}

func (w *Whole) Set(text string) error {
	number, ok := slap.PythonInt(text)
	if !ok || number < w.Least || number > w.Most {
		return errors.New("must be " + WholeRange(w.Least, w.Most))
	}
	w.Value, w.given = number, true
	return nil
}

func WholeRange(least, most int) string {
	switch {
	case most == math.MaxInt && least == math.MinInt:
		return "a whole number"
	case most == math.MaxInt:
		return fmt.Sprintf("a whole number from %d", least)
	}
	return fmt.Sprintf("a whole number from %d to %d", least, most)
}

// WholeFlag is an option whose value is a whole number, as Python's int() reads
// it. Read it by [WholeOf]. Usual shows in the help; "" says that there is no
// default.
func WholeFlag(name, usage, usual string, least, most int, aliases ...string) *cli.GenericFlag {
	w := &Whole{Least: least, Most: most}
	if usual != "" {
		_ = w.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Aliases: aliases, Usage: usage, Value: w}
}

// WholeOf is the value of a WholeFlag: its default, when it is not given.
func WholeOf(c *cli.Context, name string) int { return c.Generic(name).(*Whole).Value }

// A measure is the value of a MeasureFlag.
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

// MeasureFlag is an option whose value has a unit, in one of the forms. Read it
// by [MeasureOf]. Usual shows in the help; "" says that there is no default.
func MeasureFlag[T any](name, usage, usual, forms string, parse func(string) (T, bool)) *cli.GenericFlag {
	m := &measure[T]{forms: forms, parse: parse}
	if usual != "" {
		_ = m.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: m}
}

// MeasureOf is the value of a MeasureFlag; zero, when there is none.
func MeasureOf[T any](c *cli.Context, name string) T { return c.Generic(name).(*measure[T]).value }

// Exclusive refuses a line that has more than one of the named options.
func Exclusive(c *cli.Context, names ...string) error {
	given := ""
	for _, name := range names {
		switch {
		case !c.IsSet(name):
		case given != "":
			return UsageErrorf("argument --%s: not allowed with argument --%s", name, given)
		default:
			given = name
		}
	}
	return nil
}

// InvalidValue says in our words what package flag says of a value.
func InvalidValue(err error) error {
	pattern := regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]*): (?s:(.*))$`)
	if m := pattern.FindStringSubmatch(err.Error()); m != nil {
		return UsageErrorf("argument --%s: invalid value %s: %s", m[2], m[1], strings.TrimPrefix(m[3], "strconv."))
	}
	return UsageErrorf("%v", err)
}

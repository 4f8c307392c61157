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
// --node a=b c=d.
type WordsFlag struct{ *cli.StringSliceFlag }

// Words makes a WordsFlag that stores its words in target.
func Words(target *cli.StringSlice, name, usage string) cli.Flag {
	return &WordsFlag{StringSliceFlag: &cli.StringSliceFlag{Name: name, Usage: usage, Destination: target}}
}

// ChoiceFlag is an option with a fixed set of values. The first is the default;
// "" means no default. Help shows the values instead of a placeholder.
func ChoiceFlag(target *string, name, usage string, values ...string) cli.Flag {
	*target = values[0]
	c := &choice{target: target, values: values}
	if values[0] == "" {
		c.values = values[1:]
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: c}
}

// An OptionalFlag is an option whose value may be left out, and otherwise stands
// behind "=".
type OptionalFlag struct{ *cli.GenericFlag }

// TakesValue is false: the next word is no value.
func (f *OptionalFlag) TakesValue() bool { return false }

// Optional makes an OptionalFlag with a fixed set of values; without one it is Given.
func Optional(target *string, name, usage string, values ...string) cli.Flag {
	c := &choice{target: target, values: append([]string{Given}, values...)}
	return &OptionalFlag{&cli.GenericFlag{Name: name, Usage: usage, Value: c}}
}

// Given is the value of an OptionalFlag that has none of its own.
const Given = "true"

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
	target *string
	values []string
}

func (c *choice) String() string {
	if c == nil || c.target == nil {
		return ""
	}
	return *c.target
}

func (c *choice) Set(text string) error {
	if !slices.Contains(c.values, text) {
		return errors.New("choose from " + strings.Join(c.values, ", "))
	}
	*c.target = text
	return nil
}

// A Whole is the value of a WholeFlag.
type Whole struct {
	Least, Most int
	target      *int
	given       bool
}

func (w *Whole) String() string {
	if w == nil || !w.given {
		return ""
	}
	return strconv.Itoa(*w.target)
}

// Set reads a whole number as Python's int() does.
func (w *Whole) Set(text string) error {
	number, ok := slap.PythonInt(text)
	if !ok || number < w.Least || number > w.Most {
		return errors.New("must be " + WholeRange(w.Least, w.Most))
	}
	*w.target, w.given = number, true
	return nil
}

// WholeRange describes the whole numbers between two.
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
// it. Usual is the default, and shows in the help; "" says that there is none:
// then target stays as it is.
func WholeFlag(target *int, name, usage, usual string, least, most int, aliases ...string) *cli.GenericFlag {
	w := &Whole{Least: least, Most: most, target: target}
	if usual != "" {
		_ = w.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Aliases: aliases, Usage: usage, Value: w}
}

// A measure is the value of a MeasureFlag.
type measure[T any] struct {
	text   string
	target *T
	forms  string
	parse  func(string) (T, bool)
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
	m.text, *m.target = text, value
	return nil
}

// MeasureFlag is an option whose value has a unit, in one of the forms. Usual is
// the default, and shows in the help; "" says that there is none: then target
// stays as it is.
func MeasureFlag[T any](target *T, name, usage, usual, forms string, parse func(string) (T, bool)) *cli.GenericFlag {
	m := &measure[T]{target: target, forms: forms, parse: parse}
	if usual != "" {
		_ = m.Set(usual) // a constant
	}
	return &cli.GenericFlag{Name: name, Usage: usage, Value: m}
}

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

// InvalidValue rewords an error of package flag about a value.
func InvalidValue(err error) error {
	pattern := regexp.MustCompile(`^invalid (?:boolean )?value (".*") for (?:flag )?-([^:]*): (?s:(.*))$`)
	if m := pattern.FindStringSubmatch(err.Error()); m != nil {
		return UsageErrorf("argument --%s: invalid value %s: %s", m[2], m[1], strings.TrimPrefix(m[3], "strconv."))
	}
	return UsageErrorf("%v", err)
}

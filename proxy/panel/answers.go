// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

// The name of a field is a letter and a JSON pointer. The letter says how the
// value is written:
//
//	s  text                     n  a number, or text that is none
//	l  texts, one on each line  j  JSON; the members of the object when the
//	                               pointer is that of a group, or empty
//
// So the fields of a form can be read without the schema. An empty field has no
// value: the release decides what that means.

// unreadable is what was written where JSON should be. It keeps its place
// until it is mended.
type unreadable string

// maximumDepth bounds pointers; schemas are far from it.
const maximumDepth = 32

// answersOf reads the parameters that a form holds. What can't be read is
// among them as unreadable; problems name it.
func answersOf(form url.Values) (values map[string]any, problems []schema.Problem) {
	values = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		kind, steps, ok := stepsOf(name)
		text := strings.ReplaceAll(form.Get(name), "\r\n", "\n")
		if !ok || strings.TrimSpace(text) == "" {
			continue
		}
		value, err := read(kind, text)
		if err == nil {
			err = place(values, steps, value)
		} else {
			_ = place(values, steps, unreadable(text))
		}
		if err != nil {
			problems = append(problems, problem(steps, err))
		}
	}
	return values, problems
}

// problem says what can't be read at a place.
func problem(steps []string, err error) schema.Problem {
	at := schema.PlaceOf(steps...)
	name := strings.TrimPrefix(strings.TrimPrefix(at, "$"), ".")
	return schema.Problem{Place: at, Text: strings.TrimPrefix(name+": "+err.Error(), ": ")}
}

// stepsOf takes the name of a field apart; false for a name of another kind.
func stepsOf(name string) (kind byte, steps []string, ok bool) {
	if name == "j" {
		return 'j', nil, true
	}
	if len(name) < 2 || name[1] != '/' || !strings.Contains("snlj", name[:1]) {
		return 0, nil, false
	}
	steps = strings.Split(name[2:], "/")
	for i, step := range steps {
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
	}
	return name[0], steps, len(steps) <= maximumDepth
}

func read(kind byte, text string) (any, error) {
	switch kind {
	case 'n':
		if value, err := readJSON(strings.TrimSpace(text)); err == nil {
			if number, ok := value.(json.Number); ok {
				return number, nil
			}
		}
		return strings.TrimSpace(text), nil
	case 'l':
		list := []any{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" {
				list = append(list, line)
			}
		}
		return list, nil
	case 'j':
		return readJSON(text)
	}
	return text, nil
}

// readJSON reads exactly one value.
func readJSON(text string) (any, error) {
	value, err := pyjson.Read([]byte(text))
	var syntax *pyjson.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fmt.Errorf("invalid JSON (%w)", err)
	}
	return value, err
}

// place puts a value where its pointer says. An object at the place of a group
// is joined with it.
func place(values map[string]any, steps []string, value any) error {
	at := values
	for i, step := range steps {
		if i == len(steps)-1 {
			if _, taken := at[step]; !taken {
				at[step] = value
				return nil
			}
		} else if at[step] == nil {
			at[step] = map[string]any{}
		}
		inner, ok := at[step].(map[string]any)
		if !ok {
			return errors.New("it is set twice")
		}
		at = inner
	}
	members, ok := value.(map[string]any)
	if !ok {
		return errors.New("expected a JSON object: names and values in braces")
	}
	for name, member := range members {
		if _, taken := at[name]; taken {
			return fmt.Errorf("%s is set twice", name)
		}
		at[name] = member
	}
	return nil
}

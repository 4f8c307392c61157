// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

// The name of a field is a letter and a JSON pointer. The letter says how the
// value is written:
//
//	s  text                     n  a number or null, or text that is none
//	l  texts, one on each line  i  numbers, one on each line
//	t  as l, or a list as JSON  v  any JSON, or text that is none
//	j  JSON; the members of the object when the pointer is that of a group,
//	   or empty
//	o  nothing: an object is there, though it may be empty; a  so is a list
//	p  as a, and items keep their places: one that is empty is null
//	k  the name of a row        c  which of several forms the value has
//	x  nothing: the value is to be removed
//
// In pointers, ~2 and a number is a row of a table of names and values, ~3 and
// a number an item of a list, and ~4 and a number one of the choices of form.
//
// So the fields of a form can be read without the schema. An empty field has no
// value: the release decides what that means.

// unreadable is what was written where JSON should be. It keeps its place
// until it is mended.
type unreadable string

// maximumDepth bounds pointers; schemas are far from it.
const maximumDepth = 32

// maximumPlaces bounds what is put before an item that keeps its place.
const maximumPlaces = 100

// answers are the parameters that a form holds. What can't be read is among
// them as unreadable; problems name it. Choices say which forms values have, by
// their place.
type answers struct {
	values   map[string]any
	problems []schema.Problem
	choices  map[string]string
	posted   bool // by a form
}

// answersOf reads a form.
func answersOf(form url.Values) answers {
	t := tree{form: form, answers: answers{choices: map[string]string{}, posted: true}}
	root := &node{object: true}
	names := slices.Sorted(maps.Keys(form))
	var removed []string
	for _, name := range names {
		if pointer, found := strings.CutPrefix(name, "x/"); found {
			removed = append(removed, "/"+pointer)
		}
	}
	for _, name := range names {
		letter, steps, ok := stepsOf(name)
		if !ok || slices.ContainsFunc(removed, func(pointer string) bool { return name[1:] == pointer || strings.HasPrefix(name[1:], pointer+"/") }) {
			continue
		}
		t.add(root, letter, steps, strings.ReplaceAll(form.Get(name), "\r\n", "\n"))
	}
	root.list, root.items = false, nil // parameters are no list
	value, _ := t.finish(root, nil)
	t.values, _ = value.(map[string]any)
	return t.answers
}

// stepsOf takes the name of a field apart; false for a name of another kind.
func stepsOf(name string) (letter byte, steps []string, ok bool) {
	if name == "j" {
		return 'j', nil, true
	}
	if len(name) < 2 || name[1] != '/' || !strings.Contains("snlitvjoapkc", name[:1]) {
		return 0, nil, false
	}
	steps = strings.Split(name[2:], "/")
	return name[0], steps, len(steps) <= maximumDepth
}

// number reads a step that is a row, an item or a choice.
func numbered(step, mark string) (int, bool) {
	digits, found := strings.CutPrefix(step, mark)
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), found && err == nil
}

// node is a value that a form builds.
type node struct {
	leaves       []leaf
	object, list bool // is there, though it may be empty
	places       bool // of items are kept
	members      map[string]*node
	rows, items  map[int]*node
	name         string // of a row
	choices      map[string]string
}

type leaf struct {
	letter byte
	text   string
}

type tree struct {
	answers
	form url.Values
}

func (t *tree) add(at *node, letter byte, steps []string, text string) {
	for _, step := range steps {
		if id, ok := strings.CutPrefix(step, "~4"); ok && letter == 'c' {
			if at.choices == nil {
				at.choices = map[string]string{}
			}
			at.choices[id] = text
			return
		}
		if n, ok := numbered(step, "~2"); ok {
			at = child(&at.rows, n)
		} else if n, ok := numbered(step, "~3"); ok {
			at = child(&at.items, n)
		} else {
			at = child(&at.members, unescapeStep.Replace(step))
		}
	}
	switch letter {
	case 'o':
		at.object = at.object || text != ""
	case 'a', 'p':
		at.list = at.list || text != ""
		at.places = at.places || letter == 'p'
	case 'k':
		at.name = text
	case 'c':
	default:
		at.leaves = append(at.leaves, leaf{letter, text})
	}
}

func child[K comparable](of *map[K]*node, key K) *node {
	if *of == nil {
		*of = map[K]*node{}
	}
	if (*of)[key] == nil {
		(*of)[key] = &node{}
	}
	return (*of)[key]
}

var unescapeStep = strings.NewReplacer("~1", "/", "~0", "~")

var (
	errTwice    = errors.New("it is set twice")
	errNameless = errors.New("a value has no name")
)

// finish makes the value of a node; false if it has none.
func (t *tree) finish(n *node, at []string) (value any, given bool) {
	for id, choice := range n.choices {
		t.choices[choiceAt(at, id)] = choice
	}
	switch {
	case n.list || len(n.items) > 0:
		list := []any{}
		for _, i := range slices.Sorted(maps.Keys(n.items)) {
			place := len(list)
			if n.places {
				place = max(place, min(i, maximumPlaces))
			}
			if item, given := t.finish(n.items[i], append(slices.Clone(at), strconv.Itoa(place))); given {
				for len(list) < place {
					list = append(list, nil)
				}
				list = append(list, item)
			}
		}
		value, given = list, n.list || len(list) > 0
	case n.object || len(n.members) > 0 || len(n.rows) > 0:
		members := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(n.members)) {
			below := append(slices.Clone(at), name)
			if member, given := t.finish(n.members[name], below); given {
				members[name] = member
			}
		}
		for _, i := range slices.Sorted(maps.Keys(n.rows)) {
			t.row(n.rows[i], members, at)
		}
		value, given = members, n.object || len(members) > 0
	}
	for _, leaf := range n.leaves {
		if strings.TrimSpace(leaf.text) == "" {
			continue
		}
		read, err := read(leaf.letter, leaf.text)
		if err == nil && given {
			err = join(value, read, leaf.letter)
		} else if !given {
			value, given = read, true
			if err != nil {
				value = unreadable(leaf.text)
			}
		}
		if err != nil {
			t.problem(at, err)
		}
	}
	return value, given
}

// row puts a row of a table among the members.
func (t *tree) row(row *node, members map[string]any, at []string) {
	below := append(slices.Clone(at), row.name)
	value, given := t.finish(row, below)
	if !given && row.name != "" && len(row.leaves) > 0 {
		given = true
		switch row.leaves[0].letter {
		case 's', 'v':
			value = ""
		case 'l', 'i', 't':
			value = []any{}
		default:
			value = unreadable("")
			t.problem(below, errors.New("a value is missing"))
		}
	}
	if !given {
		return
	}
	if row.name == "" {
		t.problem(at, errNameless)
	}
	if _, taken := members[row.name]; taken {
		t.problem(below, errTwice)
		return
	}
	members[row.name] = value
}

// problem says what can't be read at a place.
func (t *tree) problem(at []string, err error) {
	place := schema.PlaceOf(at...)
	name := strings.TrimPrefix(strings.TrimPrefix(place, "$"), ".")
	t.problems = append(t.problems, schema.Problem{Place: place, Text: strings.TrimPrefix(name+": "+err.Error(), ": ")})
}

// choiceAt names a choice of form.
func choiceAt(at []string, id string) string { return schema.PlaceOf(at...) + "\x00" + id }

func read(kind byte, text string) (any, error) {
	if kind == 't' && strings.HasPrefix(strings.TrimSpace(text), "[") {
		kind = 'j'
	}
	switch kind {
	case 'n':
		return numberIn(text), nil
	case 'l', 'i', 't':
		list := []any{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if kind == 'i' {
				list = append(list, numberIn(line))
				continue
			}
			list = append(list, line)
		}
		return list, nil
	case 'v':
		return readAny(text)
	case 'j':
		return readJSON(text)
	}
	return text, nil
}

// readAny reads JSON, or text that doesn't begin as such.
func readAny(text string) (any, error) {
	text = strings.TrimSpace(text)
	value, err := readJSON(text)
	if err != nil && !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, `"`) {
		return text, nil
	}
	return value, err
}

// numberIn is the number or null that a text holds, or the text.
func numberIn(text string) any {
	text = strings.TrimSpace(text)
	if value, err := readJSON(text); err == nil {
		if _, isNumber := value.(json.Number); isNumber || value == nil {
			return value
		}
	}
	return text
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

var errNoObject = errors.New("expected a JSON object: names and values in braces")

// join adds the members of an object to those of another.
func join(value, more any, letter byte) error {
	members, isObject := value.(map[string]any)
	if !isObject {
		return errTwice
	}
	others, isObject := more.(map[string]any)
	if !isObject {
		if letter == 'j' {
			return errNoObject
		}
		return errTwice
	}
	for name, member := range others {
		if _, taken := members[name]; taken {
			return fmt.Errorf("%s is set twice", name)
		}
		members[name] = member
	}
	return nil
}

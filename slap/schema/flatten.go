// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Flaw is a part of a schema that can't be used, and is left out. It matters
// only for parameters that are compared with that part, as in the original.
type Flaw struct {
	Place  string // the document, and a JSON pointer after #
	Reason string
}

func (f Flaw) String() string { return f.Place + ": " + f.Reason }

// probe stands where a flaw is: who compares with it needs the part.
type probe struct {
	flaw  Flaw
	needs func(value any) bool
}

// place is a part of a document.
type place struct{ document, pointer string }

func (p place) String() string { return shortened(p.document + "#" + p.pointer) }

// target is what a reference leads to. The same part means other things under
// another draft, or where references start elsewhere.
type target struct {
	place
	base  string
	draft *jsonschema.Draft
}

// flattener copies the parts of a tree of documents that the first one reaches
// into one document for each draft, as definitions without addresses of their
// own. The copies hold what the library understands, and nothing else: what it
// would refuse is left out, and known as a flaw.
type flattener struct {
	loader    *loader
	engine    jsonschema.RegexpEngine
	documents map[string]any
	unread    map[string]error
	anchors   map[string]place // by address, with $id
	names     map[target]string
	queue     []target
	copies    map[string]map[string]any // of definitions, by draft
	flaws     []Flaw
	probes    map[string][]probe
	origins   map[string]origin
	values    int
	pointers  int // bytes
}

// origin is what a copy was made from.
type origin struct {
	place
	keywords map[string]any
}

// tooMuch is an error that no part of a schema is worth: it ends the work.
type tooMuch struct{ error }

var drafts = map[string]*jsonschema.Draft{}

func init() {
	for _, draft := range []*jsonschema.Draft{jsonschema.Draft4, jsonschema.Draft6, jsonschema.Draft7, jsonschema.Draft2019, jsonschema.Draft2020} {
		drafts[draft.String()] = draft
	}
}

// flatten makes the documents for the schema at an address, and returns the
// address of the copy.
func (f *flattener) flatten(address string) (start string, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			over, ok := thrown.(tooMuch)
			if !ok {
				panic(thrown)
			}
			err = over.error
		}
	}()
	if _, err := f.document(address); err != nil {
		return "", fmt.Errorf("%s: %w", address, err)
	}
	root := target{place: place{document: address}, base: address, draft: jsonschema.Draft2020}
	start = f.refer(root)
	for len(f.queue) > 0 {
		next := f.queue[0]
		f.queue = f.queue[1:]
		value, _ := f.at(next.place)
		name := f.names[next]
		draft := f.draftOf(value, next.draft)
		location := copyOf(next.draft) + "#/definitions/" + name
		if draft != next.draft {
			f.add(next.draft, name, map[string]any{"$ref": f.refer(target{next.place, next.base, draft})})
			continue
		}
		f.add(draft, name, f.part(value, next, location))
	}
	return start, nil
}

func (f *flattener) add(draft *jsonschema.Draft, name string, value any) {
	if f.copies[draft.String()] == nil {
		f.copies[draft.String()] = map[string]any{}
	}
	f.copies[draft.String()][name] = value
}

// copyOf is the address of the document with the copies of a draft.
func copyOf(draft *jsonschema.Draft) string {
	return "copy:///" + draft.String()[strings.Index(draft.String(), "org/")+4:]
}

// refer returns the reference to the copy of a part, which is made if it isn't
// there.
func (f *flattener) refer(to target) string {
	name, found := f.names[to]
	if !found {
		name = "p" + strconv.Itoa(len(f.names))
		f.names[to] = name
		f.queue = append(f.queue, to)
	}
	return copyOf(to.draft) + "#/definitions/" + name
}

func (f *flattener) document(address string) (any, error) {
	if value, found := f.documents[address]; found {
		return value, nil
	}
	if err, found := f.unread[address]; found {
		return nil, err
	}
	value, err := f.loader.Load(address)
	if err != nil {
		if over := (tooMuch{}); errors.As(err, &over) || f.loader.ctx.Err() != nil {
			panic(tooMuch{err})
		}
		f.unread[address] = err
		return nil, err
	}
	f.documents[address] = value
	f.findAnchors(value, place{document: address}, address)
	return value, nil
}

// findAnchors notes the parts that have a name or an address of their own.
func (f *flattener) findAnchors(value any, at place, base string) {
	switch value := value.(type) {
	case map[string]any:
		for _, keyword := range []string{"id", "$id"} {
			id, isText := value[keyword].(string)
			if !isText || id == "" {
				continue
			}
			name := join(base, id)
			if strings.HasPrefix(id, "#") {
				name = base + id
			}
			f.anchor(name, at)
			if address, fragment, _ := strings.Cut(name, "#"); fragment == "" && keyword == "$id" {
				base = address
			}
		}
		for _, keyword := range []string{"$anchor", "$dynamicAnchor"} {
			if name, isText := value[keyword].(string); isText {
				f.anchor(base+"#"+name, at)
			}
		}
		for name, member := range value {
			f.findAnchors(member, place{at.document, at.pointer + "/" + escape(name)}, base)
		}
	case []any:
		for i, item := range value {
			f.findAnchors(item, place{at.document, at.pointer + "/" + strconv.Itoa(i)}, base)
		}
	}
}

func (f *flattener) anchor(name string, at place) {
	name = strings.TrimSuffix(name, "#")
	if former, taken := f.anchors[name]; !taken || len(at.pointer) < len(former.pointer) {
		f.anchors[name] = at
	}
}

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

func escape(step string) string { return pointerEscaper.Replace(step) }

// resolve finds the part to which a reference leads.
func (f *flattener) resolve(reference, base string, draft *jsonschema.Draft) (to target, err error) {
	address, fragment, _ := strings.Cut(reference, "#")
	if address = strings.TrimSpace(address); address == "" {
		address = base
	} else {
		address = join(base, address)
	}
	to = target{place{document: address}, address, draft}
	at, isPart := f.anchors[address]
	if !isPart {
		if _, err := f.document(address); err != nil {
			return to, fmt.Errorf("%s can't be read: %w", shortened(address), err)
		}
		at = place{document: address}
	}
	if fragment, err = url.PathUnescape(fragment); err != nil {
		return to, err
	}
	if named, found := f.anchors[address+"#"+fragment]; found && fragment != "" {
		to.place = named
		return to, nil
	}
	to.place = at
	if pointer := strings.TrimLeft(fragment, "/"); pointer != "" {
		to.pointer += "/" + pointer
	}
	if _, err := f.at(to.place); err != nil {
		return to, fmt.Errorf("%s leads to nothing", shortened(reference))
	}
	return to, nil
}

// at returns the value at a place.
func (f *flattener) at(at place) (any, error) {
	value := f.documents[at.document]
	for _, step := range strings.Split(at.pointer, "/")[1:] {
		found := false
		switch in := value.(type) {
		case map[string]any:
			value, found = in[pointerUnescaper.Replace(step)]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(in) {
				value, found = in[i], true
			}
		}
		if !found {
			return nil, fmt.Errorf("nothing is at %s", at)
		}
	}
	return value, nil
}

// draftOf is the draft that a schema states, else that of its surroundings.
func (f *flattener) draftOf(value any, around *jsonschema.Draft) *jsonschema.Draft {
	members, _ := value.(map[string]any)
	stated, _ := members["$schema"].(string)
	if draft := drafts[strings.TrimSuffix(stated, "#")]; draft != nil {
		return draft
	}
	return around
}

// part copies a schema and those in it. The location is where the copy is.
func (f *flattener) part(value any, at target, location string) any {
	if f.values++; f.values > maximumValues {
		panic(tooMuch{fmt.Errorf("the schema has more than %d values", maximumValues)})
	}
	if f.pointers += len(location) + len(at.pointer); f.pointers > 2*maximumPointers {
		panic(tooMuch{errors.New("the names of the schema's members are too long")})
	}
	switch value := value.(type) {
	case bool:
		if at.draft != jsonschema.Draft4 {
			return value
		}
		if value {
			return map[string]any{}
		}
		return map[string]any{"not": map[string]any{}}
	case map[string]any:
		if draft := f.draftOf(value, at.draft); draft != at.draft {
			return map[string]any{"$ref": f.refer(target{at.place, at.base, draft})}
		}
		f.origins[location] = origin{at.place, value}
		return f.object(value, at, location)
	}
	f.flaw(location, at.place, fmt.Sprintf("a schema is expected, not %s", jsonKind(value)), nil)
	return unusable()
}

// unusable is a schema that takes everything, and that the library sees.
func unusable() map[string]any { return map[string]any{"title": ""} }

func (f *flattener) flaw(location string, at place, reason string, needs func(any) bool) {
	flaw := Flaw{at.String(), reason}
	if !slices.Contains(f.flaws, flaw) && len(f.flaws) < maximumMismatches {
		f.flaws = append(f.flaws, flaw)
	}
	f.probes[location] = append(f.probes[location], probe{flaw, needs})
}

// object copies a schema with keywords.
func (f *flattener) object(members map[string]any, at target, location string) any {
	id := "$id"
	if at.draft == jsonschema.Draft4 {
		id = "id"
	}
	reference, refers := members["$ref"]
	alone := refers && older(at.draft, jsonschema.Draft2019) // it hides its siblings
	if text, isText := members[id].(string); isText && text != "" && !alone {
		at.base, _, _ = strings.Cut(join(at.base, text), "#")
	}
	c := copier{flattener: f, target: at, members: members, location: location, copy: map[string]any{}}
	c.annotations()
	if refers {
		c.reference("$ref", reference)
	}
	if !alone {
		for _, name := range slices.Sorted(maps.Keys(members)) {
			c.keyword(name, members[name])
		}
	}
	if len(c.copy) == 0 && len(f.probes[location]) > 0 {
		return unusable()
	}
	return c.copy
}

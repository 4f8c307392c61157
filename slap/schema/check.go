// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/pyjson"
)

// Schema is a compiled schema of requests. One goroutine uses it at a time.
type Schema struct {
	*jsonschema.Schema
	// Flaws are the parts that can't be used.
	Flaws []Flaw

	origins map[string]origin
	// texts are those of the documents, by address.
	texts  map[string][]byte
	orders map[string]map[string][]string // of properties, by document and pointer
	budget *budget
}

// Mismatch lists what is wrong with parameters.
type Mismatch []Problem

// Problem is a sentence about a value. Place is where that is, as $.key[0].
type Problem struct{ Place, Text string }

func (m Mismatch) Error() string {
	lines := make([]string, len(m))
	for i, problem := range m {
		lines[i] = problem.Text
	}
	return strings.Join(lines, "\n")
}

// Incomplete says that parameters are about parts of the schema that can't be
// used, and what the other parts find wrong.
type Incomplete struct {
	Flaws []Flaw
	Found Mismatch
}

func (i *Incomplete) Error() string {
	var lines []string
	for _, flaw := range i.Flaws {
		lines = append(lines, flaw.String())
	}
	return strings.Join(lines, "\n")
}

// Compile reads and compiles the schema of requests. Parts that can't be used
// are left out.
func (t Type) Compile(ctx context.Context) (*Schema, error) {
	if t.Request == "" {
		return nil, fmt.Errorf("%s.json names no request schema for the software type %s", t.release, t.Key)
	}
	ctx, cancel := context.WithTimeout(ctx, maximumReading)
	defer cancel()
	limits := &budget{patience: maximumTime}
	f := &flattener{
		loader: &loader{ctx: ctx, remote: isRemote(t.release), reach: t.reach, documents: map[string][]byte{}}, engine: limits.engine,
		documents: map[string]any{}, unread: map[string]error{}, anchors: map[string]place{}, names: map[target]string{},
		copies: map[string]map[string]any{}, probes: map[string][]probe{}, origins: map[string]origin{},
	}
	start, err := f.flatten(t.Request)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nothing{})
	compiler.UseRegexpEngine(limits.engine)
	pointers := 0
	for draft, copies := range f.copies {
		address := copyOf(drafts[draft])
		document := map[string]any{"$schema": draft, "definitions": copies}
		if pointers += pointersIn(document, len(address)); pointers > maximumPointers {
			return nil, errors.New("the names of the schema's members are too long")
		}
		if err := compiler.AddResource(address, document); err != nil {
			return nil, err
		}
	}
	compiled, err := compiler.Compile(start)
	if err != nil {
		return nil, err
	}
	limits.charge(compiled, f.probes)
	return &Schema{Schema: compiled, Flaws: f.flaws, origins: f.origins, texts: f.loader.documents, orders: map[string]map[string][]string{}, budget: limits}, nil
}

// nothing has no documents: all are copied before.
type nothing struct{}

func (nothing) Load(location string) (any, error) { return nil, errors.New(location + " is not there") }

// Check compares parameters, a JSON text, with the schema. The error is a
// [Mismatch] or [*Incomplete], unless the text is not JSON, or the comparison
// takes too long (PROXY-183).
func (s *Schema) Check(ctx context.Context, parameters []byte) error {
	if err := pyjson.Bounded(parameters); err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(parameters))
	if err != nil {
		return err
	}
	err = s.budget.within(ctx, func() error { return s.Validate(instance) })
	var invalid *jsonschema.ValidationError
	var found Mismatch
	if errors.As(err, &invalid) {
		found, err = s.mismatches(nil, invalid), nil
		slices.SortFunc(found, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Text, b.Text)) })
		found = slices.Compact(found)
	}
	switch {
	case err != nil:
		return err
	case len(s.budget.needed) > 0:
		return &Incomplete{s.budget.needed, found}
	case len(found) > 0:
		return found
	}
	return nil
}

// maximumAttempt bounds the comparison with one of several schemas, in steps.
const maximumAttempt = 20_000

// Closest returns which of some parts of the schema fits a value best; -1 if
// none can be compared with it.
func (s *Schema) Closest(ctx context.Context, parts []*jsonschema.Schema, value any) int {
	best, least := -1, 0
	for i, part := range parts[:min(len(parts), maximumNames)] {
		err := s.budget.attempt(ctx, func() error { return part.Validate(value) })
		if err == nil {
			return i
		}
		var invalid *jsonschema.ValidationError
		if !errors.As(err, &invalid) {
			continue
		}
		if far := distance(invalid, 0, 0)*1000 + len(s.mismatches(nil, invalid)); best < 0 || far < least {
			best, least = i, far
		}
	}
	return best
}

// Fits reports whether a value matches a part of the schema.
func (s *Schema) Fits(ctx context.Context, part *jsonschema.Schema, value any) bool {
	return s.budget.attempt(ctx, func() error { return part.Validate(value) }) == nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"slapos/slap/pyjson"
)

// Schema is a compiled schema of requests. One goroutine uses it at a time.
type Schema struct {
	*jsonschema.Schema
	// documents are the texts of the schema, by address.
	documents map[string][]byte
	budget    *budget
}

// Mismatch lists what is wrong with parameters, one line each: where, as
// $.key[0], and what.
type Mismatch []string

func (m Mismatch) Error() string { return strings.Join(m, "\n") }

// Compile reads and compiles the schema of requests.
func (t Type) Compile(ctx context.Context) (*Schema, error) {
	if t.Request == "" {
		return nil, fmt.Errorf("%s.json names no request schema for the software type %s", t.release, t.Key)
	}
	l := &loader{ctx: ctx, remote: isRemote(t.release), documents: map[string][]byte{}}
	document, err := l.Load(t.Request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Request, err)
	}
	limits := &budget{}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(l)
	compiler.UseRegexpEngine(limits.engine)
	if err := compiler.AddResource(t.Request, document); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(t.Request)
	if err != nil {
		return nil, err
	}
	limits.charge(compiled)
	return &Schema{Schema: compiled, documents: l.documents, budget: limits}, nil
}

// Check compares parameters, a JSON text, with the schema. The error is a
// [Mismatch], unless the text is not JSON, or the comparison takes too long
// (PROXY-183).
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
	if !errors.As(err, &invalid) {
		return err
	}
	found := mismatches(nil, invalid)
	slices.Sort(found)
	return Mismatch(slices.Compact(found))
}

// mismatches lists the errors that are useful by themselves: it doesn't go into
// alternatives.
func mismatches(found []string, err *jsonschema.ValidationError) []string {
	if len(found) >= maximumMismatches {
		return found
	}
	var text string
	switch is := err.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range err.Causes {
			found = mismatches(found, cause)
		}
		return found
	case *kind.AnyOf:
		text = "fits none of the alternatives"
	case *kind.OneOf:
		text = "fits none of the alternatives"
		if len(is.Subschemas) > 0 {
			text = "fits more than one of the alternatives"
		}
	default:
		text = cut(small(is).LocalizedString(message.NewPrinter(language.English)), maximumLine)
	}
	return append(found, jsonPath(err.InstanceLocation)+": "+text)
}

// jsonPath writes a location as $.key[0].
func jsonPath(location []string) string {
	path := "$"
	for _, step := range location {
		if _, err := strconv.Atoi(step); err == nil {
			path += "[" + step + "]"
		} else {
			path += "." + shortened(step)
		}
	}
	return path
}

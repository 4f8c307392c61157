// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds for the cost of a release's schema. A few lines of references can lead
// to each other's, and so expand without end.
const (
	maximumDocuments = 100
	maximumValues    = 30_000  // of all documents
	maximumPointers  = 8 << 20 // bytes, of the pointers to all values
	maximumSteps     = 500_000
	maximumTime      = 5 * time.Second
)

// overBudget is a panic that leaves the library, which has no limit of its own.
type overBudget struct{ error }

// budget counts the steps of a validation. It belongs to one schema, and serves
// one validation at a time.
type budget struct {
	patience time.Duration   // for a validation
	ctx      context.Context // nil between validations
	steps    int
	needed   []Flaw // by the validation
}

// spend takes steps, and panics if there are none left, or the time is over.
func (b *budget) spend(steps int) {
	b.steps -= steps
	if b.steps < 0 {
		panic(overBudget{fmt.Errorf("the schema takes more than %d steps to compare with", maximumSteps)})
	}
	if err := b.ctx.Err(); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the schema takes too long to compare with: %w", err)
		}
		panic(overBudget{err})
	}
}

// within validates with a budget.
func (b *budget) within(ctx context.Context, validate func() error) error {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	return b.bounded(ctx, maximumSteps, validate)
}

// attempt validates with a small budget.
func (b *budget) attempt(ctx context.Context, validate func() error) error {
	return b.bounded(ctx, maximumAttempt, validate)
}

func (b *budget) bounded(ctx context.Context, steps int, validate func() error) (err error) {
	b.ctx, b.steps, b.needed = ctx, steps, nil
	defer func() {
		b.ctx = nil
		if thrown := recover(); thrown != nil {
			over, ok := thrown.(overBudget)
			if !ok {
				panic(thrown)
			}
			err = over.error
		}
	}()
	return validate()
}

// charge makes each schema that s can reach take its steps from the budget, and
// tell when it has a flaw that matters. The library looks at the format of a
// schema after its type and constants.
func (b *budget) charge(s *jsonschema.Schema, probes map[string][]probe) {
	seen := map[*jsonschema.Schema]bool{s: true}
	for queue := []*jsonschema.Schema{s}; len(queue) > 0; queue = queue[1:] {
		next := queue[0]
		for _, below := range schemasIn(reflect.ValueOf(next).Elem(), nil) {
			if !seen[below] {
				seen[below] = true
				queue = append(queue, below)
			}
		}
		b.chargeOne(next, probes[plainLocation(next.Location)])
	}
}

func (b *budget) chargeOne(s *jsonschema.Schema, probes []probe) {
	patterns := 1 + len(s.PatternProperties)
	if len(probes) > 0 && (s.Types != nil || s.Const != nil || s.Enum != nil) {
		own := &jsonschema.Schema{DraftVersion: s.DraftVersion, Location: s.Location, Types: s.Types, Const: s.Const, Enum: s.Enum}
		s.Types, s.Const, s.Enum, s.AllOf = nil, nil, nil, append(s.AllOf, own)
	}
	own := 1 + len(s.AllOf) + len(s.AnyOf) + len(s.OneOf) + len(s.Required) + len(s.Dependencies)
	if s.Enum != nil {
		own += len(s.Enum.Values)
	}
	s.Format = &jsonschema.Format{Validate: func(value any) error {
		steps := own
		switch value := value.(type) {
		case map[string]any:
			steps += patterns * len(value)
		case []any:
			steps += len(value)
		}
		b.spend(steps)
		for _, p := range probes {
			if (p.needs == nil || p.needs(value)) && len(b.needed) < maximumMismatches && !slices.Contains(b.needed, p.flaw) {
				b.needed = append(b.needed, p.flaw)
			}
		}
		return nil
	}}
}

var schemaType = reflect.TypeFor[jsonschema.Schema]()

// schemasIn lists the schemas to which a value of the library refers, including
// unexported fields.
func schemasIn(v reflect.Value, found []*jsonschema.Schema) []*jsonschema.Schema {
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.IsNil():
		case v.Type().Elem() == schemaType:
			found = append(found, (*jsonschema.Schema)(v.UnsafePointer()))
		case v.Type() == reflect.TypeFor[*jsonschema.DynamicRef]():
			found = schemasIn(v.Elem(), found)
		}
	case reflect.Interface:
		found = schemasIn(v.Elem(), found)
	case reflect.Struct:
		for i := range v.NumField() {
			found = schemasIn(v.Field(i), found)
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = schemasIn(v.Index(i), found)
		}
	case reflect.Map:
		for each := v.MapRange(); each.Next(); {
			found = schemasIn(each.Value(), found)
		}
	}
	return found
}

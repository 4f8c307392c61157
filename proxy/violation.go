// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"slapos/slap"
)

// violation words the first violation of a schema as the original does
// (PROXY-90): of several, a missing property first, then one too many, then
// the values in the order of their place.
func violation(value any, err error) string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	leaves := leavesOf(invalid, nil)
	slices.SortStableFunc(leaves, func(a, b *jsonschema.ValidationError) int {
		if depth := slices.Compare(a.InstanceLocation, b.InstanceLocation); depth != 0 {
			return depth
		}
		return rank(a) - rank(b)
	})
	return wording(value, leaves[0])
}

func leavesOf(e *jsonschema.ValidationError, leaves []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return append(leaves, e)
	}
	for _, cause := range e.Causes {
		leaves = leavesOf(cause, leaves)
	}
	return leaves
}

func rank(e *jsonschema.ValidationError) int {
	switch e.ErrorKind.(type) {
	case *kind.Required:
		return 0
	case *kind.AdditionalProperties:
		return 1
	case *kind.Enum:
		return 2
	}
	return 3
}

func wording(document any, e *jsonschema.ValidationError) string {
	value := repr(at(document, e.InstanceLocation))
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return repr(k.Missing[0]) + " is a required property"
	case *kind.AdditionalProperties:
		names := slices.Sorted(slices.Values(k.Properties))
		for i := range names {
			names[i] = repr(names[i])
		}
		verb := "was"
		if len(names) > 1 {
			verb = "were"
		}
		return fmt.Sprintf("Additional properties are not allowed (%s %s unexpected)", strings.Join(names, ", "), verb)
	case *kind.Type:
		return value + " is not of type " + repr(k.Want[0])
	case *kind.Enum:
		return value + " is not one of " + repr(k.Want)
	case *kind.Const:
		return repr(k.Want) + " was expected"
	case *kind.MaxLength:
		return value + " is too long"
	case *kind.Minimum:
		return fmt.Sprintf("%s is less than the minimum of %s", value, k.Want.RatString())
	case *kind.Maximum:
		return fmt.Sprintf("%s is greater than the maximum of %s", value, k.Want.RatString())
	}
	return fmt.Sprint(e)
}

func repr(value any) string { return slap.PythonRepr(numbers(value)) }

// at is the value at a place of a document.
func at(value any, location []string) any {
	for _, key := range location {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			if i, err := strconv.Atoi(key); err == nil && i < len(v) {
				value = v[i]
			}
		case json.Number:
			return v
		}
	}
	return value
}

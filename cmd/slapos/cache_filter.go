// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// An entryFilter keeps the entries whose field satisfies a comparison (NC-55).
type entryFilter struct {
	field, operator string
	value           any
}

var entryOperator = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<<|>>|[<>]=?|==`) })

func parseEntryFilters(texts []string) ([]entryFilter, error) {
	var filters []entryFilter
	for _, text := range texts {
		at := entryOperator().FindStringIndex(text)
		if at == nil {
			return nil, fmt.Errorf("Could not parse criterion: missing or invalid separator (%s)", text)
		}
		value, err := pythonConstant(text[at[1]:])
		if err != nil {
			return nil, fmt.Errorf("filter %s: %w", text, err)
		}
		filters = append(filters, entryFilter{field: text[:at[0]], operator: text[at[0]:at[1]], value: value})
	}
	return filters, nil
}

// pythonConstant reads JSON, including the constants that only Python has.
func pythonConstant(text string) (any, error) {
	switch strings.TrimSpace(text) {
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	case "NaN":
		return math.NaN(), nil
	}
	return pyjson.Parse([]byte(text))
}

// apply returns the entries that pass, in their order.
func (f entryFilter) apply(entries []*pytext.Object, log *slog.Logger) []*pytext.Object {
	var passed []*pytext.Object
	limit := f.value
	isExtreme := f.operator == "<<" || f.operator == ">>"
	for _, entry := range entries {
		value, found := entry.Get(f.field)
		if !found {
			continue
		}
		holds, comparable := compareAs(f.operator, value, limit)
		if !comparable {
			log.Warn(fmt.Sprintf("Comparison failed: %s %s %s (TypeError)",
				slap.PythonRepr(pyjson.Plain(value)), f.operator, slap.PythonRepr(pyjson.Plain(limit))))
		}
		switch {
		case !isExtreme && holds:
			passed = append(passed, entry)
		case isExtreme && holds:
			passed, limit = []*pytext.Object{entry}, value
		case isExtreme && len(passed) > 0 && equalValues(value, limit):
			passed = append(passed, entry)
		}
	}
	return passed
}

// compareAs compares as Python does: numbers, strings and lists are ordered
// among themselves; other values and mixtures are not.
func compareAs(operator string, a, b any) (holds, comparable bool) {
	if operator == "==" {
		return equalValues(a, b), true
	}
	order, comparable := orderOf(a, b)
	if !comparable {
		return false, false
	}
	switch operator {
	case "<", "<<":
		return order == less, true
	case ">", ">>":
		return order == greater, true
	case "<=":
		return order == less || order == equal, true
	default:
		return order == greater || order == equal, true
	}
}

type valueOrder int

const (
	less valueOrder = iota - 1
	equal
	greater
	unordered // with NaN
)

func orderOf(a, b any) (order valueOrder, comparable bool) {
	if x, ok := numberOf(a); ok {
		y, ok := numberOf(b)
		if !ok {
			return 0, false
		}
		if x == nil || y == nil {
			return unordered, true
		}
		return valueOrder(x.Cmp(y)), true
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return valueOrder(cmp.Compare(a, b)), ok
	case []any:
		b, ok := b.([]any)
		if !ok {
			return 0, false
		}
		for i := range min(len(a), len(b)) {
			if !equalValues(a[i], b[i]) {
				return orderOf(a[i], b[i])
			}
		}
		return valueOrder(cmp.Compare(len(a), len(b))), true
	}
	return 0, false
}

// numberOf is nil for NaN.
func numberOf(value any) (number *big.Float, ok bool) {
	switch value := value.(type) {
	case bool:
		if value {
			return big.NewFloat(1), true
		}
		return new(big.Float), true
	case int64:
		return new(big.Float).SetInt64(value), true
	case *big.Int:
		return new(big.Float).SetInt(value), true
	case float64:
		if math.IsNaN(value) {
			return nil, true
		}
		return new(big.Float).SetFloat64(value), true
	}
	return nil, false
}

func equalValues(a, b any) bool {
	if x, ok := numberOf(a); ok {
		y, ok := numberOf(b)
		return ok && x != nil && y != nil && x.Cmp(y) == 0
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalValues)
	case *pytext.Object:
		b, ok := b.(*pytext.Object)
		if !ok || len(*a) != len(*b) {
			return false
		}
		others := make(map[string]any, len(*b))
		for _, member := range *b {
			others[member.Key] = member.Value
		}
		for _, member := range *a {
			if other, found := others[member.Key]; !found || !equalValues(member.Value, other) {
				return false
			}
		}
		return true
	}
	return a == b
}

// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

// An entity is an object of the console: a name to show and its attributes,
// most of them methods.
type entity struct {
	name       string
	attributes starlark.StringDict
	// lookup finds attributes that are not in the table.
	lookup func(name string) (starlark.Value, error)
}

func (v *entity) String() string        { return "<" + v.name + ">" }
func (v *entity) Type() string          { return v.name }
func (v *entity) Freeze()               {}
func (v *entity) Truth() starlark.Bool  { return true }
func (v *entity) Hash() (uint32, error) { return 0, fmt.Errorf("%s is not hashable", v.name) }

func (v *entity) Attr(name string) (starlark.Value, error) {
	if value, found := v.attributes[name]; found {
		return value, nil
	}
	if v.lookup != nil && !strings.HasPrefix(name, "_") {
		return v.lookup(name)
	}
	return nil, nil // no such attribute
}

func (v *entity) AttrNames() []string { return slices.Sorted(maps.Keys(v.attributes)) }

// methods makes attributes of functions.
func methods(functions map[string]function) starlark.StringDict {
	attributes := make(starlark.StringDict, len(functions))
	for name, call := range functions {
		attributes[name] = builtin(name, call)
	}
	return attributes
}

// A function takes arguments that unpack reads, and returns a value of the slap
// protocol or of Starlark.
type function func(arguments arguments) (any, error)

// arguments are those of one call.
type arguments struct {
	name    string
	args    starlark.Tuple
	keyword []starlark.Tuple
}

// unpack stores the arguments in pairs of name and pointer; a name that ends in
// "?" may be left out.
func (a arguments) unpack(pairs ...any) error {
	return starlark.UnpackArgs(a.name, a.args, a.keyword, pairs...)
}

func builtin(name string, call function) *starlark.Builtin {
	return starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, keyword []starlark.Tuple) (starlark.Value, error) {
		value, err := call(arguments{name: name, args: args, keyword: keyword})
		if err != nil {
			return nil, err
		}
		return toStarlark(value)
	})
}

// noArguments is a function that takes none.
func noArguments(call func() (any, error)) function {
	return func(a arguments) (any, error) {
		if err := a.unpack(); err != nil {
			return nil, err
		}
		return call()
	}
}

// toStarlark makes a value of the console from one of the slap protocol.
func toStarlark(value any) (starlark.Value, error) {
	switch value := value.(type) {
	case starlark.Value:
		return value, nil
	case nil:
		return starlark.None, nil
	case bool:
		return starlark.Bool(value), nil
	case int:
		return starlark.MakeInt(value), nil
	case int64:
		return starlark.MakeInt64(value), nil
	case *big.Int:
		return starlark.MakeBigInt(value), nil
	case float64:
		return starlark.Float(value), nil
	case string:
		return starlark.String(value), nil
	case slap.State:
		return starlark.String(value), nil
	case slap.Tuple:
		items, err := toStarlarkItems(value)
		return starlark.Tuple(items), err
	case []any:
		items, err := toStarlarkItems(value)
		return starlark.NewList(items), err
	case []string:
		items := make([]starlark.Value, len(value))
		for i, text := range value {
			items[i] = starlark.String(text)
		}
		return starlark.NewList(items), nil
	case slap.Dict:
		return toStarlarkDict(pytext.Sorted(value))
	case *pytext.Object:
		return toStarlarkDict(value)
	}
	return starlark.String(slap.PythonString(value)), nil
}

func toStarlarkItems(values []any) ([]starlark.Value, error) {
	items := make([]starlark.Value, len(values))
	for i, value := range values {
		item, err := toStarlark(value)
		if err != nil {
			return nil, err
		}
		items[i] = item
	}
	return items, nil
}

func toStarlarkDict(o *pytext.Object) (starlark.Value, error) {
	dict := starlark.NewDict(len(*o))
	for _, member := range *o {
		item, err := toStarlark(member.Value)
		if err != nil {
			return nil, err
		}
		if err := dict.SetKey(starlark.String(member.Key), item); err != nil {
			return nil, err
		}
	}
	return dict, nil
}

// fromStarlark is the reverse of toStarlark.
func fromStarlark(value starlark.Value) (any, error) {
	switch value := value.(type) {
	case starlark.NoneType:
		return nil, nil
	case starlark.Bool:
		return bool(value), nil
	case starlark.Int:
		if i, ok := value.Int64(); ok {
			return i, nil
		}
		return value.BigInt(), nil
	case starlark.Float:
		return float64(value), nil
	case starlark.String:
		return string(value), nil
	case starlark.Tuple:
		items, err := fromStarlarkItems(value)
		return slap.Tuple(items), err
	case *starlark.Dict:
		return fromStarlarkDict(value)
	case starlark.Iterable:
		return fromStarlarkItems(value)
	}
	return nil, fmt.Errorf("a %s can't be sent to the master", value.Type())
}

func fromStarlarkItems(values starlark.Iterable) ([]any, error) {
	items := []any{}
	for value := range starlark.Elements(values) {
		item, err := fromStarlark(value)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func fromStarlarkDict(dict *starlark.Dict) (any, error) {
	o := pytext.NewObject()
	for _, item := range dict.Items() {
		key, ok := starlark.AsString(item[0])
		if !ok {
			return nil, fmt.Errorf("the key %s must be text", item[0])
		}
		value, err := fromStarlark(item[1])
		if err != nil {
			return nil, err
		}
		o.Set(key, value)
	}
	return o, nil
}

// pythonText is Python's str of a value.
func pythonText(value starlark.Value) string {
	if text, ok := starlark.AsString(value); ok {
		return text
	}
	return pythonLiteral(value, 0)
}

const literalDepth = 100

// pythonLiteral is Python's repr of a value: dictionaries keep their order.
func pythonLiteral(value starlark.Value, depth int) string {
	if depth > literalDepth {
		return "..."
	}
	items := func(values starlark.Iterable) string {
		var texts []string
		for item := range starlark.Elements(values) {
			texts = append(texts, pythonLiteral(item, depth+1))
		}
		return strings.Join(texts, ", ")
	}
	switch value := value.(type) {
	case starlark.String:
		return slap.PythonRepr(string(value))
	case starlark.Float:
		return slap.PythonRepr(float64(value))
	case starlark.Tuple:
		if len(value) == 1 {
			return "(" + items(value) + ",)"
		}
		return "(" + items(value) + ")"
	case *starlark.List:
		return "[" + items(value) + "]"
	case *starlark.Set:
		if value.Len() == 0 {
			return "set()"
		}
		return "{" + items(value) + "}"
	case *starlark.Dict:
		var texts []string
		for _, item := range value.Items() {
			texts = append(texts, pythonLiteral(item[0], depth+1)+": "+pythonLiteral(item[1], depth+1))
		}
		return "{" + strings.Join(texts, ", ") + "}"
	}
	return value.String()
}

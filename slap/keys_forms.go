// SPDX-License-Identifier: GPL-3.0-or-later

package slap

// A textForm is a text that is always written.
type textForm[E any] func(*E) *string

func textKey[E any](name string, field func(*E) *string) key[E] {
	return newKey[E](name, textForm[E](field))
}

func (f textForm[E]) read(entity *E, v any) bool        { return assign(f(entity), v) }
func (f textForm[E]) present(*E) bool                   { return true }
func (f textForm[E]) value(entity *E) any               { return *f(entity) }
func (f textForm[E]) write(e *encoder, entity *E) error { return e.text(*f(entity)) }

// An optionalForm is a text that is left out when empty. An explicit empty text
// is kept as an extra attribute.
type optionalForm[E any, T ~string] func(*E) *T

func optionalKey[E any, T ~string](name string, field func(*E) *T) key[E] {
	return newKey[E](name, optionalForm[E, T](field))
}

func (f optionalForm[E, T]) read(entity *E, v any) bool        { return assignText(f(entity), v) }
func (f optionalForm[E, T]) present(entity *E) bool            { return *f(entity) != "" }
func (f optionalForm[E, T]) value(entity *E) any               { return string(*f(entity)) }
func (f optionalForm[E, T]) write(e *encoder, entity *E) error { return e.text(string(*f(entity))) }

// A knownForm is a text that may be empty: a second field says whether there is
// one.
type knownForm[E any] func(*E) (text *string, known *bool)

func knownKey[E any](name string, fields func(*E) (text *string, known *bool)) key[E] {
	return newKey[E](name, knownForm[E](fields))
}

func (f knownForm[E]) read(entity *E, v any) bool {
	text, known := f(entity)
	*known = assign(text, v)
	return *known
}

func (f knownForm[E]) present(entity *E) bool {
	_, known := f(entity)
	return *known
}

func (f knownForm[E]) value(entity *E) any {
	text, _ := f(entity)
	return *text
}

func (f knownForm[E]) write(e *encoder, entity *E) error {
	text, _ := f(entity)
	return e.text(*text)
}

// A dictForm is a dictionary that is left out when nil.
type dictForm[E any] func(*E) *Dict

func dictKey[E any](name string, field func(*E) *Dict) key[E] {
	return newKey[E](name, dictForm[E](field))
}

func (f dictForm[E]) read(entity *E, v any) bool        { return assign(f(entity), v) }
func (f dictForm[E]) present(entity *E) bool            { return *f(entity) != nil }
func (f dictForm[E]) value(entity *E) any               { return *f(entity) }
func (f dictForm[E]) write(e *encoder, entity *E) error { return e.value(*f(entity)) }

// An entitiesForm is a list of entities of one class, left out when nil.
type entitiesForm[E, T any] func(*E) *[]*T

func entitiesKey[E, T any](name string, field func(*E) *[]*T) key[E] {
	return newKey[E](name, entitiesForm[E, T](field))
}

func (f entitiesForm[E, T]) read(entity *E, v any) bool        { return assignEntities(f(entity), v) }
func (f entitiesForm[E, T]) present(entity *E) bool            { return *f(entity) != nil }
func (f entitiesForm[E, T]) write(e *encoder, entity *E) error { return encodeEntities(e, *f(entity)) }

func (f entitiesForm[E, T]) value(entity *E) any {
	list := make([]any, 0, len(*f(entity)))
	for _, item := range *f(entity) {
		list = append(list, item)
	}
	return list
}

// A constantForm is a value that is always the same.
type constantForm[E any] struct {
	constant any
	is       func(any) bool
}

func constantKey[E any](name string, constant any, is func(any) bool) key[E] {
	return newKey[E](name, constantForm[E]{constant: constant, is: is})
}

func (f constantForm[E]) read(_ *E, v any) bool        { return f.is(v) }
func (f constantForm[E]) present(*E) bool              { return true }
func (f constantForm[E]) value(*E) any                 { return f.constant }
func (f constantForm[E]) write(e *encoder, _ *E) error { return e.value(f.constant) }

// A rareForm is the form of one key alone.
type rareForm[E any] struct {
	fits    func(*E, any) bool
	there   func(*E) bool
	content func(*E) any
}

func (f rareForm[E]) read(entity *E, v any) bool        { return f.fits(entity, v) }
func (f rareForm[E]) present(entity *E) bool            { return f.there(entity) }
func (f rareForm[E]) value(entity *E) any               { return f.content(entity) }
func (f rareForm[E]) write(e *encoder, entity *E) error { return e.value(f.content(entity)) }

func isNone(v any) bool { return v == nil }

func isEmptyList(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

func readModification(p *Partition, v any) bool {
	p.NeedModification = v != nil && v != false && v != 0
	p.Partial = false
	n, ok := v.(int)
	return ok && (n == 0 || n == 1)
}

func modification(p *Partition) any {
	if p.NeedModification {
		return 1
	}
	return 0
}

func readRelease(p *Partition, v any) bool {
	p.Partial = p.Partial && v != nil
	return v == nil || assign(&p.SoftwareRelease, v)
}

func readConnectionXML(i *Instance, v any) bool {
	i.HasConnectionXML = v == nil || assignText(&i.ConnectionXML, v)
	return i.HasConnectionXML
}

// readIPList takes a list of pairs of text.
func readIPList(i *Instance, v any) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	pairs := addresses(v)
	if len(pairs) != len(list) {
		return false
	}
	for _, item := range list {
		pair, isTuple := item.(Tuple)
		if !isTuple || len(pair) != 2 {
			return false
		}
		if _, isText := pair[0].(string); !isText {
			return false
		}
	}
	i.IPList = append([]Address{}, pairs...)
	return true
}

// assign puts a value into a field if it has the field's type.
func assign[T any](field *T, v any) bool {
	t, ok := v.(T)
	if ok {
		*field = t
	}
	return ok
}

// assignText is assign for a text that is absent if empty.
func assignText[T ~string](field *T, v any) bool {
	s, ok := v.(string)
	if ok && s != "" {
		*field = T(s)
	}
	return ok && s != ""
}

// assignEntities assigns a list if all its values are entities of one class.
func assignEntities[T any](field *[]*T, v any) bool {
	list, ok := v.([]any)
	if !ok {
		return false
	}
	entities := make([]*T, len(list))
	for i, item := range list {
		if entities[i], ok = item.(*T); !ok {
			return false
		}
	}
	*field = entities
	return true
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"maps"
	"slices"
)

func (e *encoder) entity(v any) error {
	switch v := v.(type) {
	case *Computer:
		return computerClass.encode(e, v)
	case *Partition:
		return partitionClass.encode(e, v)
	case *SoftwareRelease:
		return releaseClass.encode(e, v)
	case *Instance:
		return instanceClass.encode(e, v)
	}
	return nil
}

// encode writes an entity: first the constructor's arguments, then the
// attributes, in sorted order.
func (c *class[E]) encode(e *encoder, entity *E) error {
	if entity == nil {
		e.raw("<none/>")
		return nil
	}
	if e.reference(entity) {
		return nil
	}
	e.begin("object")
	e.raw(` module="slapos.slap.slap" class="`)
	e.raw(c.name)
	e.raw(`">`)
	extra := *c.extra(entity)
	if err := c.encodeArguments(e, entity, extra); err != nil {
		return err
	}
	e.next++
	e.begin("dictionary")
	e.out = append(e.out, '>')
	rest := extraAttributes{encoder: e, extra: extra}
	if len(extra) > 0 {
		rest.keys = slices.Sorted(maps.Keys(extra))
	}
	for n := range c.keys {
		k := &c.keys[n]
		if !k.form.present(entity) {
			continue
		}
		if len(rest.keys) > 0 {
			if instead, err := rest.upTo(k.name); err != nil {
				return err
			} else if instead {
				continue
			}
		}
		e.raw(k.element)
		if err := k.form.write(e, entity); err != nil {
			return underKey(k.name, err)
		}
	}
	if err := rest.all(); err != nil {
		return err
	}
	e.raw("</dictionary></object>")
	return nil
}

func (c *class[E]) encodeArguments(e *encoder, entity *E, extra Dict) error {
	if len(c.arguments) == 0 {
		e.raw("<tuple/>")
		return nil
	}
	e.raw("<tuple>")
	for _, name := range c.arguments {
		var err error
		if v, ok := extra[name]; ok {
			err = e.value(v)
		} else {
			err = c.find(name).form.write(e, entity)
		}
		if err != nil {
			return underKey(name, err)
		}
	}
	e.raw("</tuple>")
	return nil
}

// extraAttributes are those that have no field, or are written instead of it.
type extraAttributes struct {
	*encoder
	extra Dict
	keys  []string // sorted, not yet written
}

// upTo writes those that come before a key, and the one that is written instead
// of it, if there is one.
func (a *extraAttributes) upTo(name string) (instead bool, err error) {
	for len(a.keys) > 0 && a.keys[0] <= name {
		instead = a.keys[0] == name
		if err := a.first(); err != nil || instead {
			return instead, err
		}
	}
	return false, nil
}

// all writes what is left.
func (a *extraAttributes) all() error {
	for len(a.keys) > 0 {
		if err := a.first(); err != nil {
			return err
		}
	}
	return nil
}

func (a *extraAttributes) first() error {
	name := a.keys[0]
	a.keys = a.keys[1:]
	if err := a.encoder.text(name); err != nil {
		return err
	}
	if err := a.encoder.value(a.extra[name]); err != nil {
		return underKey(name, err)
	}
	return nil
}

func encodeEntities[T any](e *encoder, list []*T) error {
	e.next++
	e.begin("list")
	if len(list) == 0 {
		e.raw("/>")
		return nil
	}
	e.out = append(e.out, '>')
	for _, entity := range list {
		if err := e.value(entity); err != nil {
			return err
		}
	}
	e.end("list")
	return nil
}

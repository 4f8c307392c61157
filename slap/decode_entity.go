// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import "fmt"

// object reads an entity: it checks the class first, then the arguments set the
// identity, and the attributes override it (SLAP-22).
func (d *decoder) object() (any, error) {
	module, _ := d.get("module")
	classAttribute, _ := d.get("class")
	class := string(classAttribute)
	ofClass, err := classOf(string(module), class)
	if err != nil {
		return nil, err
	}
	entity := ofClass.make()
	c := d.register("object")
	c.value = entity
	before := d.values
	parts, err := d.children()
	if err != nil {
		return nil, err
	}
	if len(parts) != 2 {
		return nil, fmt.Errorf("%s with %d parts where arguments and attributes belong", class, len(parts))
	}
	state, ok := parts[1].(Dict)
	if !ok {
		return nil, fmt.Errorf("%s with %s where its attributes belong", class, kindName(parts[1]))
	}
	switch parts[0].(type) {
	case Tuple, []any, *List:
	default:
		return nil, fmt.Errorf("%s with %s where its arguments belong", class, kindName(parts[0]))
	}
	if err := ofClass.construct(entity, items(parts[0])); err != nil {
		return nil, fmt.Errorf("in constructor for %s: %w", class, err)
	}
	ofClass.set(entity, state)
	c.open, c.size = false, d.values-before+1
	return entity, nil
}

// A decodedClass is a [class] whatever its entities are.
type decodedClass interface {
	className() string
	make() any
	construct(entity any, arguments []any) error
	set(entity any, attributes Dict)
}

func classOf(module, name string) (decodedClass, error) {
	if module == "slapos.slap.slap" {
		for _, c := range [...]decodedClass{&computerClass, &partitionClass, &releaseClass, &instanceClass} {
			if c.className() == name {
				return c, nil
			}
		}
	}
	return nil, fmt.Errorf("Refusing to unmarshall %.100s.%.100s", module, name) //nolint:staticcheck,revive // SLAP-17, the original's text
}

func (c *class[E]) className() string { return c.name }

func (c *class[E]) make() any {
	entity := c.blank
	return &entity
}

// construct sets the arguments of an entity's constructor. Texts go to the
// fields; other values are kept as attributes.
func (c *class[E]) construct(entity any, arguments []any) error {
	if c.check != nil {
		if err := c.check(arguments); err != nil {
			return err
		}
	}
	if len(arguments) > len(c.arguments) {
		return fmt.Errorf("%d arguments where %d belong", len(arguments), len(c.arguments))
	}
	for n, name := range c.arguments {
		c.assign(entity.(*E), name, argument(arguments, n))
	}
	return nil
}

func (c *class[E]) set(entity any, attributes Dict) {
	for name, v := range attributes {
		c.assign(entity.(*E), name, v)
	}
}

// assign gives an attribute to its field, and keeps what has none.
func (c *class[E]) assign(entity *E, name string, v any) {
	k := c.find(name)
	fits := k != nil && k.form.read(entity, v)
	if extra := c.extra(entity); !fits || *extra != nil {
		keep(extra, name, v, fits)
	}
}

// keep records a value without a field, and forgets one that got a field.
func keep(extra *Dict, key string, v any, fits bool) {
	if fits {
		if delete(*extra, key); len(*extra) == 0 {
			*extra = nil
		}
		return
	}
	if *extra == nil {
		*extra = Dict{}
	}
	(*extra)[key] = v
}

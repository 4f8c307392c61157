// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"fmt"

	"slapos/slap"
)

// TextError says that a text holds what XML can't carry, a control character
// for instance (SLAP-16). If it were stored, no answer about its computer could be
// encoded, and the whole node would be stuck.
type TextError struct {
	What string // "title" and the like
	Err  error
}

func (e *TextError) Error() string { return e.What + ": " + e.Err.Error() }

func (e *TextError) Unwrap() error { return e.Err }

// checkText looks at texts, given as names and texts, that answers will hold.
func checkText(namesAndTexts ...string) error {
	for i := 0; i < len(namesAndTexts); i += 2 {
		if _, err := slap.Marshal(namesAndTexts[i+1]); err != nil {
			return &TextError{What: namesAndTexts[i], Err: err}
		}
	}
	return nil
}

// check looks at the texts of an order.
func (o *Order) check() error {
	return checkText("title", o.Reference, "software release", o.SoftwareRelease, "software type", o.SoftwareType)
}

// check looks at the texts of a description.
func (c *ComputerDescription) check() error {
	if err := checkText("computer", c.Reference); err != nil {
		return err
	}
	for _, p := range c.Partitions {
		what := fmt.Sprintf("partition %q", p.Reference)
		texts := []string{what, p.Reference}
		for _, a := range p.Addresses {
			texts = append(texts, what, a.Interface, what, a.Address)
		}
		if err := checkText(texts...); err != nil {
			return err
		}
	}
	return nil
}

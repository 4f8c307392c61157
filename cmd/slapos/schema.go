// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"

	"slapos/cmd/slapos/pytext"
	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

// A softwareSchema describes the parameters of a release, for one software
// type. It is fetched when first needed.
type softwareSchema struct {
	e            *environment
	url          string
	softwareType string
	release      *schema.Release
	err          error
}

// newSoftwareSchema is for one software type of a release; "" is the default.
func newSoftwareSchema(e *environment, url, softwareType string) *softwareSchema {
	return &softwareSchema{e: e, url: url, softwareType: softwareType}
}

// load reads the index, and reports once if there is none (CLI-52).
func (s *softwareSchema) load(ctx context.Context) (*schema.Release, error) {
	if s.release == nil && s.err == nil {
		if s.release, s.err = schema.Read(ctx, s.url); s.err != nil {
			s.e.log.Warn("Unable to load JSON " + s.url + ".json (" + s.err.Error() + ")")
		}
	}
	return s.release, s.err
}

// declared is the serialisation that the index states, for the type or for all.
func (s *softwareSchema) declared(ctx context.Context) (schema.Serialisation, error) {
	release, err := s.load(ctx)
	if err != nil {
		return "", err
	}
	if of, found := release.Type(s.softwareType); found {
		return of.Serialisation()
	}
	return release.Serialisation()
}

// serialisation is the declared one, else json-in-xml.
func (s *softwareSchema) serialisation(ctx context.Context) schema.Serialisation {
	if declared, err := s.declared(ctx); err == nil {
		return declared
	}
	return schema.JSONInXML
}

// validate checks parameters against the schema of requests. It removes
// "$schema" from parameters that are sent key by key (SLAP-91). The error is a
// schema.Mismatch, or what kept the schema from being used; a release without
// schema takes everything.
func (s *softwareSchema) validate(ctx context.Context, parameters *pytext.Object) error {
	release, err := s.load(ctx)
	if err != nil {
		return nil //nolint:nilerr // told already
	}
	of, found := release.Type(s.softwareType)
	if !found {
		return nil
	}
	compiled, err := of.Compile(ctx)
	if err != nil {
		return err
	}
	declared, err := of.Serialisation()
	if err != nil {
		return err
	}
	checked := parameters
	if text, found := parameters.Value("_").(string); found && declared == schema.JSONInXML {
		value, err := pyjson.Parse([]byte(text))
		if err != nil {
			return fmt.Errorf("parameter _: %w", err)
		}
		var isObject bool
		if checked, isObject = value.(*pytext.Object); !isObject {
			return schema.Mismatch{{Place: "$", Text: "the parameters must be an object"}}
		}
	}
	checked.Remove("$schema")
	return compiled.Check(ctx, []byte(pytext.EncodeJSON(checked)))
}

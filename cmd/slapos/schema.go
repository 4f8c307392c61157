package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"slapos/slap"
)

// A serialisation is how a release takes its parameters.
type serialisation string

const (
	inXML     serialisation = "xml"         // one parameter for each key
	jsonInXML serialisation = "json-in-xml" // JSON text in the parameter "_"
)

// A softwareSchema is what a release tells of its parameters in the file
// <URL>.json, fetched when first needed.
type softwareSchema struct {
	e            *environment
	url          string
	softwareType string
	index        *object
	err          error
	read         bool
}

// newSoftwareSchema is for one software type of a release; "" is the default.
func newSoftwareSchema(e *environment, url, softwareType string) *softwareSchema {
	if softwareType == "" || softwareType == "RootSoftwareInstance" { // its old name
		softwareType = slap.DefaultSoftwareType
	}
	return &softwareSchema{e: e, url: url, softwareType: softwareType}
}

// load reads the index. Releases without one are common: that is told at debug
// level only.
func (s *softwareSchema) load(ctx context.Context) (*object, error) {
	if s.read {
		return s.index, s.err
	}
	s.read = true
	value, err := readJSON(ctx, s.url+".json")
	index, ok := value.(*object)
	if err == nil && !ok {
		err = fmt.Errorf("%s.json is not a JSON object", s.url)
	}
	s.index, s.err = index, err
	if err != nil {
		s.e.log.Debug("Unable to load JSON " + s.url + ".json (" + err.Error() + ")")
	}
	return s.index, s.err
}

// ofType is the part of the index about the software type, nil for none.
func (s *softwareSchema) ofType(ctx context.Context) *object {
	index, err := s.load(ctx)
	if err != nil {
		return nil
	}
	types, _ := index.values["software-type"].(*object)
	if types == nil {
		return nil
	}
	found, _ := types.values[s.softwareType].(*object)
	return found
}

// declared is the serialisation that the index states, for the type or for all.
func (s *softwareSchema) declared(ctx context.Context) (serialisation, error) {
	index, err := s.load(ctx)
	if err != nil {
		return "", err
	}
	value := index.values["serialisation"]
	if of := s.ofType(ctx); of != nil && of.values["serialisation"] != nil {
		value = of.values["serialisation"]
	}
	switch value {
	case string(inXML):
		return inXML, nil
	case string(jsonInXML):
		return jsonInXML, nil
	}
	return "", fmt.Errorf("%s.json does not say xml or json-in-xml as its serialisation", s.url)
}

// serialisation is the declared one, else json-in-xml.
func (s *softwareSchema) serialisation(ctx context.Context) serialisation {
	if declared, err := s.declared(ctx); err == nil {
		return declared
	}
	return jsonInXML
}

// A mismatch lists what is wrong with parameters, a line for each.
type mismatch []string

func (m mismatch) Error() string { return strings.Join(m, "\n") }

// validate checks parameters against the schema of requests. It removes
// "$schema" from parameters that are sent key by key (SLAP-91). The error is a
// mismatch, or what kept the schema from being used; a release without schema
// takes everything.
func (s *softwareSchema) validate(ctx context.Context, parameters *object) error {
	of := s.ofType(ctx)
	if of == nil {
		return nil
	}
	request, ok := of.values["request"].(string)
	if !ok {
		return fmt.Errorf("%s.json names no request schema for the software type %s", s.url, s.softwareType)
	}
	location := joinURL(s.url, request)
	document, err := readSchema(ctx, location)
	if err != nil {
		return fmt.Errorf("%s: %w", location, err)
	}
	declared, err := s.declared(ctx)
	if err != nil {
		return err
	}
	checked := parameters
	if text, found := parameters.values["_"].(string); found && declared == jsonInXML {
		value, err := decodeJSON([]byte(text))
		if err != nil {
			return fmt.Errorf("parameter _: %w", err)
		}
		if checked, ok = value.(*object); !ok {
			return mismatch{"$: an object is expected"}
		}
	}
	checked.remove("$schema")
	return check(ctx, location, document, checked)
}

func check(ctx context.Context, location string, document any, parameters *object) error {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaLoader{ctx})
	if err := compiler.AddResource(location, document); err != nil {
		return err
	}
	schema, err := compiler.Compile(location)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(encodeJSON(parameters)))
	if err != nil {
		return err
	}
	err = schema.Validate(instance)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	found := mismatches(nil, invalid)
	slices.Sort(found)
	return mismatch(slices.Compact(found))
}

// mismatches lists the errors that say something by themselves: alternatives
// are not taken apart.
func mismatches(found []string, err *jsonschema.ValidationError) []string {
	text := err.ErrorKind.LocalizedString(message.NewPrinter(language.English))
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
			path += "." + step
		}
	}
	return path
}

// schemaLoader fetches what a schema refers to.
type schemaLoader struct{ ctx context.Context }

func (l schemaLoader) Load(location string) (any, error) { return readSchema(l.ctx, location) }

func readSchema(ctx context.Context, location string) (any, error) {
	data, err := readURL(ctx, location)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(data))
}

func readJSON(ctx context.Context, location string) (any, error) {
	data, err := readURL(ctx, location)
	if err != nil {
		return nil, err
	}
	return decodeJSON(data)
}

const (
	schemaTimeout = time.Minute
	schemaSize    = 16 << 20 // bytes
)

// readURL reads an http or https address, a file: URL, or a path.
func readURL(ctx context.Context, location string) ([]byte, error) {
	if !strings.HasPrefix(location, "http://") && !strings.HasPrefix(location, "https://") {
		path := location
		if u, err := url.Parse(location); err == nil && u.Scheme == "file" {
			path = u.Path
		}
		return os.ReadFile(path)
	}
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, fs.ErrNotExist
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, schemaSize+1))
	if len(data) > schemaSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", location, schemaSize)
	}
	return data, err
}

// joinURL resolves a reference found in the document at base.
func joinURL(base, reference string) string {
	b, err := url.Parse(base)
	r, err2 := url.Parse(reference)
	switch {
	case err2 == nil && r.IsAbs(), filepath.IsAbs(reference) && (err != nil || b.Scheme == ""):
		return reference
	case err == nil && err2 == nil && b.Scheme != "":
		return b.ResolveReference(r).String()
	}
	return filepath.Join(filepath.Dir(base), reference)
}

// SPDX-License-Identifier: GPL-3.0-or-later

// Package schema reads what a Software Release says about its parameters, and
// compares parameters with that.
//
// A release at URL may have an index at URL.json. It names, for each software
// type, a JSON Schema of requests and how parameters are sent: key by key, or
// as one JSON text. [Read] reads the index, [Type.Compile] a schema, and
// [Schema.Check] compares. Addresses are http, https or file URLs, or paths.
package schema

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"slapos/slap"
	"slapos/slap/pyjson"
)

// Serialisation is how a release takes its parameters.
type Serialisation string

const (
	XML       Serialisation = "xml"         // one parameter for each key
	JSONInXML Serialisation = "json-in-xml" // JSON text in the parameter "_"
)

// Release is the index of a release.
type Release struct {
	URL         string
	Name        string
	Description string
	// Types are in the index's order, if it has one, else by name.
	Types []Type
	// serialisation is the one for types without their own.
	serialisation any
}

// Type is the index's entry for a software type.
type Type struct {
	// Key is the name in the index, SoftwareType is what to request: an index
	// may list a type twice, for normal and for shared instances.
	Key          string
	SoftwareType string
	Title        string
	Description  string
	Shared       bool
	// Request is the address of the schema of requests, or "".
	Request string

	serialisation any
	release       string
	reach         *reach
	index         float64
}

// Read reads the index of the release at url. If the release has none, which is
// common, the error is or wraps fs.ErrNotExist.
func Read(ctx context.Context, url string) (*Release, error) {
	reach := &reach{}
	data, err := reach.read(ctx, url+".json", patience)
	if err != nil {
		return nil, err
	}
	return parse(url, data, reach)
}

func parse(url string, data []byte, reach *reach) (*Release, error) {
	if err := pyjson.Bounded(data); err != nil {
		return nil, fmt.Errorf("%s.json: %w", url, err)
	}
	var index map[string]any
	if err := json.Unmarshal(data, &index); err != nil || index == nil {
		return nil, fmt.Errorf("%s.json is not a JSON object", url)
	}
	r := &Release{URL: url, Name: text(index, "name"), Description: text(index, "description"), serialisation: index["serialisation"]}
	types, _ := index["software-type"].(map[string]any)
	for key, value := range types {
		about, ok := value.(map[string]any)
		if !ok {
			continue
		}
		t := Type{
			Key: key, SoftwareType: cmp.Or(text(about, "software-type"), key),
			Title: cmp.Or(text(about, "title"), key), Description: text(about, "description"),
			serialisation: r.serialisation, release: url, reach: reach,
		}
		t.Shared, _ = about["shared"].(bool)
		t.index, _ = about["index"].(float64)
		if about["serialisation"] != nil {
			t.serialisation = about["serialisation"]
		}
		if request := text(about, "request"); request != "" {
			t.Request = join(url, request)
		}
		r.Types = append(r.Types, t)
	}
	slices.SortFunc(r.Types, func(a, b Type) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.Key, b.Key))
	})
	return r, nil
}

func text(o map[string]any, key string) string {
	text, _ := o[key].(string)
	return text
}

// Type finds the entry for a software type; "" and its old name stand for the
// default type.
func (r *Release) Type(softwareType string) (Type, bool) {
	if softwareType == "" || softwareType == "RootSoftwareInstance" {
		softwareType = slap.DefaultSoftwareType
	}
	for _, t := range r.Types {
		if t.Key == softwareType {
			return t, true
		}
	}
	return Type{}, false
}

// Serialisation returns the one that the release declares, for types that
// aren't in the index. It fails if none is declared.
func (r *Release) Serialisation() (Serialisation, error) { return declared(r.URL, r.serialisation) }

// Serialisation returns the one that the type declares, or its release.
func (t Type) Serialisation() (Serialisation, error) { return declared(t.release, t.serialisation) }

func declared(url string, value any) (Serialisation, error) {
	switch value {
	case string(XML):
		return XML, nil
	case string(JSONInXML):
		return JSONInXML, nil
	}
	return "", fmt.Errorf("%s.json does not say xml or json-in-xml as its serialisation", url)
}

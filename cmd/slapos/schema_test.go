// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

// schemaServer serves files by their names.
func schemaServer(t *testing.T, files map[string]string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, found := files[r.URL.Path]
		if !found {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

const typedIndex = `{"serialisation": "xml", "software-type": {
	"default": {"request": "default.json"},
	"other": {"request": "other.json", "serialisation": "json-in-xml"},
	"none": {"request": "absent.json"}, "odd": {"request": "odd.json"}}}`

func TestSoftwareSchema(t *testing.T) {
	url := schemaServer(t, map[string]string{
		"/sr.cfg.json":   typedIndex,
		"/default.json":  `{"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"const": "x"}]}, "b": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"maxLength": 1}}}`,
		"/other.json":    `{"$schema": "http://json-schema.org/draft-04/schema#", "required": ["k"]}`,
		"/odd.json":      `{"type": "nonsense"}`,
		"/list.cfg.json": `[1]`,
	})
	for _, test := range []struct {
		name, url, softwareType, parameters string
		serialisation                       schema.Serialisation // "" for undeclared
		mismatch                            schema.Mismatch
		fails                               bool
	}{
		{"fits", "/sr.cfg", "", `{"a": "x", "b": "y"}`, schema.XML, nil, false},
		{"old name of the default type", "/sr.cfg", "RootSoftwareInstance", `{"a": "z"}`, schema.XML,
			schema.Mismatch{{Place: "$.a", Text: "a must be a whole number, or x"}}, false},
		{"reference", "/sr.cfg", "", `{"b": "long"}`, schema.XML, schema.Mismatch{{Place: "$.b", Text: "b must have at most 1 character"}}, false},
		{"other type", "/sr.cfg", "other", `{"_": "{}"}`, schema.JSONInXML, schema.Mismatch{{Place: "$.k", Text: "k is required"}}, false},
		{"under _", "/sr.cfg", "other", `{"_": "{\"k\": 1}"}`, schema.JSONInXML, nil, false},
		{"broken under _", "/sr.cfg", "other", `{"_": "{"}`, schema.JSONInXML, nil, true},
		{"no object under _", "/sr.cfg", "other", `{"_": "1"}`, schema.JSONInXML, schema.Mismatch{{Place: "$", Text: "the parameters must be an object"}}, false},
		{"unknown type", "/sr.cfg", "nonsense", `{"a": "z"}`, schema.XML, nil, false},
		{"no such schema", "/sr.cfg", "none", `{}`, schema.XML, nil, true},
		{"broken schema", "/sr.cfg", "odd", `{}`, schema.XML, nil, true},
		{"no index", "/absent.cfg", "", `{"a": "z"}`, "", nil, false},
		{"broken index", "/list.cfg", "", `{"a": "z"}`, "", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, _, _ := newTestEnvironment(t)
			software := newSoftwareSchema(e, url+test.url, test.softwareType)
			declared, err := software.declared(t.Context())
			if declared != test.serialisation || (err == nil) != (test.serialisation != "") {
				t.Errorf("serialisation %q, %v", declared, err)
			}
			parameters, err := pyjson.Parse([]byte(test.parameters))
			if err != nil {
				t.Fatal(err)
			}
			err = software.validate(t.Context(), parameters.(*pytext.Object))
			var found schema.Mismatch
			if errors.As(err, &found); !slices.Equal(found, test.mismatch) || (err != nil && found == nil) != test.fails {
				t.Errorf("%v, want %v", err, test.mismatch)
			}
		})
	}
}

// A local release has its schema beside it, and "$schema" isn't sent.
func TestLocalSchema(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	directory := t.TempDir()
	for name, text := range map[string]string{
		"sr.cfg.json": `{"serialisation": "xml", "software-type": {"default": {"request": "in.json"}}}`,
		"in.json":     `{"properties": {"a": {"$ref": "part.json#/x"}}, "additionalProperties": false}`,
		"part.json":   `{"x": {"type": "string"}}`,
	} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "file://", "file:"} {
		parameters := pytext.NewObject()
		parameters.Set("a", "b")
		parameters.Set("$schema", "in.json")
		software := newSoftwareSchema(e, prefix+filepath.Join(directory, "sr.cfg"), "")
		if err := software.validate(t.Context(), parameters); err != nil || len(*parameters) != 1 {
			t.Errorf("%v, %v", err, parameters.Keys())
		}
	}
}

func TestStatusOf(t *testing.T) {
	for news, want := range map[string]string{
		`[]`: "none", `[{"text": "#access ok"}]`: "green", `[{"text": "#error no"}]`: "red",
		`[{"text": "#error no"}, {"text": "#access ok"}, {"x": 1}, 2]`: "orange", `[{"text": "other"}]`: "none", `{}`: "none",
	} {
		value, err := pyjson.Parse([]byte(news))
		if err != nil {
			t.Fatal(err)
		}
		if got := statusOf(value); got != want {
			t.Errorf("%s: %s, want %s", news, got, want)
		}
	}
}

// An id that a parameters file gives twice counts once, as in slapos.core.
func TestXMLParameters(t *testing.T) {
	got, err := readXMLParameters([]byte(`<?xml version="1.0"?><instance><parameter id="s">1</parameter>` +
		`<parameter id="empty"/><parameter id="s">2</parameter></instance>`))
	if want := (slap.Dict{"s": "2", "empty": nil}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if _, err := readXMLParameters([]byte("<instance><parameter>")); err == nil {
		t.Error("a broken document was read")
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/slap/testkit"
)

// likeSlapos says what slapos.core thinks of parameters.
const likeSlapos = `
import logging, warnings
from slapos.util import SoftwareReleaseSchema, SoftwareReleaseSchemaValidationError
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
class Nowhere:
  def download(self, url): raise OSError(url)
last = None
for line in sys.stdin:
  c = json.loads(line)
  if last != (c["Release"], c["Type"]):
    last, schema = (c["Release"], c["Type"]), SoftwareReleaseSchema(c["Release"], c["Type"], Nowhere())
  try:
    schema.validateInstanceParameterDict(json.loads(c["Parameters"]))
    verdict = "valid"
  except SoftwareReleaseSchemaValidationError:
    verdict = "invalid"
  except Exception as e:
    verdict = "warning %s: %s" % (type(e).__name__, e)
  answer({"verdict": verdict.encode()})
`

// TestVerdictsOfReleases compares with what the original says of all releases below
// the directory SLAPOS_TEST_SCHEMAS, with parameters made from their schemas: none,
// the defaults, all, each in turn as several kinds of value, and random ones. The
// original's library can't follow a reference to another file from a schema with
// unevaluatedProperties: such verdicts are counted alone.
func TestVerdictsOfReleases(t *testing.T) {
	directory := testkit.Long(t, "SLAPOS_TEST_SCHEMAS", "verdicts")
	random := testkit.NewRandom(t)
	type question struct{ Release, Type, Parameters string }
	var questions []question
	schemas := map[string]*Schema{}
	releases := 0
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		url, isIndex := strings.CutSuffix(path, ".json")
		if err != nil || !isIndex || filepath.Ext(url) != ".cfg" {
			return err
		}
		release, err := Read(t.Context(), url)
		if err != nil {
			t.Logf("%s: %v", url, err)
			return nil
		}
		releases++
		for _, of := range release.Types {
			s, err := of.Compile(t.Context())
			if err != nil {
				t.Logf("%s, %s: %v", url, of.Key, err)
				continue
			}
			schemas[url+" "+of.Key] = s
			for _, parameters := range (&generator{random, 0}).parameters(s.Schema) {
				questions = append(questions, question{url, of.Key, parameters})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	verdicts, differing, unresolved := map[string]int{}, 0, 0
	testkit.Original(t, likeSlapos, questions, func(q question, theirs map[string][]byte) {
		want, got := string(theirs["verdict"]), "valid"
		switch err := schemas[q.Release+" "+q.Type].Check(t.Context(), []byte(q.Parameters)); {
		case errors.As(err, new(Mismatch)):
			got = "invalid"
		case err != nil:
			got = "warning " + err.Error()
		}
		name := func(verdict string) string { name, _, _ := strings.Cut(verdict, " "); return name }
		verdicts[name(want)]++
		if name(got) != name(want) && strings.HasPrefix(want, "warning Unresolvable: ") {
			unresolved++
		} else if name(got) != name(want) {
			differing++
			t.Errorf("%s, %s: %.400s\nslapos.core %.200s\nwe          %.200s", q.Release, q.Type, q.Parameters, want, got)
		}
	})
	t.Logf("%d releases, %d types, %d parameters: %v; %d differ, %d the original can't give", releases, len(schemas), len(questions), verdicts, differing, unresolved)
}

// A generator makes parameters from schemas.
type generator struct {
	testkit.Random
	depth int
}

var anything = []any{"", "text", "8080", 0, 1, -1, 2.5, 70000, true, nil, []any{}, []any{"a", "a"}, []any{1}, map[string]any{}, map[string]any{"a": 1}}

func (g *generator) parameters(s *jsonschema.Schema) (texts []string) {
	add := func(value any) {
		if _, isObject := value.(map[string]any); !isObject {
			return // parameters always are one
		}
		if text, err := json.Marshal(value); err == nil {
			texts = append(texts, string(text))
		}
	}
	add(map[string]any{})
	defaults, full := map[string]any{}, map[string]any{}
	properties := g.properties(s, 0)
	for name, property := range properties {
		if property.Default != nil {
			defaults[name] = *property.Default
		}
		full[name] = g.value(property, 0)
	}
	add(defaults)
	add(full)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		for _, value := range []any{g.value(properties[name], 0), anything[g.IntN(len(anything))], anything[g.IntN(len(anything))], nil} {
			one := maps.Clone(full)
			one[name] = value
			add(one)
		}
		one := maps.Clone(full)
		delete(one, name)
		add(one)
	}
	for range 15 {
		add(g.value(s, 0))
		some := map[string]any{}
		for name, property := range properties {
			if g.IntN(3) == 0 {
				some[name] = g.value(property, 0)
			}
		}
		add(some)
	}
	unknown := maps.Clone(full)
	unknown["no such parameter"] = 1
	add(unknown)
	return texts
}

// properties are those of an object, wherever its schema says them.
func (g *generator) properties(s *jsonschema.Schema, depth int) map[string]*jsonschema.Schema {
	all := map[string]*jsonschema.Schema{}
	if s == nil || depth > 6 {
		return all
	}
	for _, part := range slices.Concat([]*jsonschema.Schema{s.Ref, s.If, s.Then, s.Else}, s.AllOf, s.OneOf, s.AnyOf) {
		maps.Copy(all, g.properties(part, depth+1))
	}
	maps.Copy(all, s.Properties)
	return all
}

// value is one that a schema perhaps admits.
func (g *generator) value(s *jsonschema.Schema, depth int) any {
	if s == nil || depth > 8 || g.IntN(25) == 0 {
		return anything[g.IntN(len(anything))]
	}
	switch {
	case s.Const != nil:
		return *s.Const
	case s.Enum != nil && len(s.Enum.Values) > 0:
		return s.Enum.Values[g.IntN(len(s.Enum.Values))]
	case s.Default != nil && g.IntN(2) == 0:
		return *s.Default
	case s.Ref != nil:
		return g.value(s.Ref, depth+1)
	}
	if alternatives := slices.Concat(s.OneOf, s.AnyOf, s.AllOf); len(alternatives) > 0 && g.IntN(4) > 0 {
		value := g.value(alternatives[g.IntN(len(alternatives))], depth+1)
		if members, isObject := value.(map[string]any); isObject {
			for name, property := range s.Properties {
				if _, given := members[name]; !given && g.IntN(3) > 0 {
					members[name] = g.value(property, depth+1)
				}
			}
		}
		return value
	}
	kind := "object"
	if s.Types != nil {
		kind = g.One(s.Types.ToStrings()...)
	} else if len(s.Properties) == 0 && s.AdditionalProperties == nil {
		kind = g.One("string", "integer", "boolean", "array", "object")
	}
	switch kind {
	case "string":
		return g.One("", "text", "1", "a.example.com", "http://a/b?c", "2001:db8::1/64", "10.0.0.1", "me@example.com", "é", "a b", "0 3 * * *", "2026-01-01")
	case "integer", "number":
		number := float64(g.IntN(100000))
		if s.Minimum != nil && g.IntN(3) > 0 {
			number, _ = s.Minimum.Float64()
			number += float64(g.IntN(3) - 1)
		} else if s.Maximum != nil && g.IntN(3) > 0 {
			number, _ = s.Maximum.Float64()
			number += float64(g.IntN(3) - 1)
		}
		if kind == "number" && g.IntN(3) == 0 {
			number += 0.5
		}
		return number
	case "boolean":
		return g.IntN(2) == 0
	case "null":
		return nil
	case "array":
		items := s.Items2020
		if of, is := s.Items.(*jsonschema.Schema); is {
			items = of
		}
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(items, depth+1))
		}
		return list
	}
	members := map[string]any{}
	for name, property := range s.Properties {
		if slices.Contains(s.Required, name) && g.IntN(8) > 0 || g.IntN(2) == 0 {
			members[name] = g.value(property, depth+1)
		}
	}
	if of, is := s.AdditionalProperties.(*jsonschema.Schema); is {
		members[fmt.Sprint("more", g.IntN(3))] = g.value(of, depth+1)
	}
	for pattern, of := range s.PatternProperties {
		for _, name := range []string{"a", "name-1", "1", "A_b", "_", "a.b"} {
			if pattern.MatchString(name) && g.IntN(2) == 0 {
				members[name] = g.value(of, depth+1)
			}
		}
	}
	return members
}

// SPDX-License-Identifier: GPL-3.0-or-later

// Package pytext reads and writes text as Python does, where files, scripts and
// people of the original count on it:
//
//   - [ParseConfiguration] is ConfigParser: slapos.cfg and its kin (CLI-22);
//   - [DecodeJSON], [EncodeJSON] and [EncodeJSONLine] are json.loads and
//     json.dumps;
//   - [DecodeYAML] is yaml.safe_load of PyYAML;
//   - [PPrint] is pprint.pformat (CLI-53).
//
// Each is tested against Python itself. Values are nil, bool, int64, *big.Int,
// float64, string, []any and [*Object], which keeps its keys in order; [Plain]
// makes dictionaries of the slap protocol of them. Errors name the line, and
// quote nothing of a value that may be a password.
package pytext

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"slapos/slap/wholefile"
)

// A Configuration is a file in the dialect of Python's ConfigParser (CLI-22).
// Its values stay raw until they are asked for.
type Configuration struct {
	path     string
	order    []string
	sections map[string]map[string]string
	defaults map[string]string
}

// Path is the name of the file.
func (c *Configuration) Path() string { return c.path }

// Sections lists the names of the sections in the order of the file, without
// DEFAULT.
func (c *Configuration) Sections() []string { return c.order }

// Has reports whether there is a section with that name.
func (c *Configuration) Has(section string) bool {
	_, found := c.sections[section]
	return found
}

// Own lists the keys that a section has itself, without those of DEFAULT, sorted.
func (c *Configuration) Own(section string) []string {
	return slices.Sorted(maps.Keys(c.sections[section]))
}

// Raw returns a copy of a section with DEFAULT merged, without interpolation;
// nil if there is no such section.
func (c *Configuration) Raw(section string) map[string]string {
	values, found := c.sections[section]
	if !found {
		return nil
	}
	merged := maps.Clone(c.defaults)
	maps.Copy(merged, values)
	return merged
}

// Rewrite changes the raw value of a key that a section itself has.
func (c *Configuration) Rewrite(section, key string, change func(string) string) {
	if value, found := c.sections[section][key]; found {
		c.sections[section][key] = change(value)
	}
}

// Section returns a section with DEFAULT merged and % references resolved. Keys
// are in lower case. A missing section is nil, without error.
func (c *Configuration) Section(name string) (map[string]string, error) {
	raw := c.Raw(name)
	resolved := make(map[string]string, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) { // of several errors always report the same one
		value, err := interpolate(raw, key)
		if err != nil {
			return nil, fmt.Errorf("%s: section [%s], key %s: %w", filepath.Clean(c.path), name, key, err)
		}
		resolved[key] = value
	}
	if raw == nil {
		return nil, nil
	}
	return resolved, nil
}

// Shortened cuts a text that goes into a message.
func Shortened(text string) string {
	if runes := []rune(text); len(runes) > 40 {
		return string(slices.Concat(runes[:40], []rune("...")))
	}
	return text
}

// WriteExample writes an example configuration with its values filled in.
// Percent signs are doubled, which reading undoes.
func WriteExample(path, example string, values any, mode os.FileMode) error {
	filled, err := template.New(filepath.Base(path)).Parse(example)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := filled.Execute(&text, values); err != nil {
		return err
	}
	if strings.ContainsAny(fmt.Sprint(values), "\r\n") {
		return fmt.Errorf("%s: a value contains a line break", path)
	}
	doubled := strings.ReplaceAll(text.String(), "%", "%%")
	if _, err := ParseConfiguration(path, []byte(doubled)); err != nil {
		return err
	}
	return wholefile.Write(path, []byte(doubled), mode)
}

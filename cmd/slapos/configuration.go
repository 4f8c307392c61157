// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Where configurations are found without --cfg and without environment (CLI-20).
const (
	nodeConfigurationFile   = "/etc/opt/slapos/slapos.cfg"
	clientConfigurationFile = "~/.slapos/slapos-client.cfg"
)

// nodeConfigurationPath is the file that node and proxy commands read: path, as
// given by --cfg, $SLAPOS_CONFIGURATION, or the usual place.
func (e *environment) nodeConfigurationPath(path string) string {
	return e.configurationPath(path, "SLAPOS_CONFIGURATION", nodeConfigurationFile)
}

// clientConfigurationPath is the same for client commands.
func (e *environment) clientConfigurationPath(path string) string {
	return e.configurationPath(path, "SLAPOS_CLIENT_CONFIGURATION", clientConfigurationFile)
}

func (e *environment) configurationPath(path, variable, usual string) string {
	if path == "" {
		path = e.getenv(variable)
	}
	if path == "" {
		path = usual
	}
	return e.expandUser(path)
}

// nodeConfiguration reads the file of nodeConfigurationPath.
func (e *environment) nodeConfiguration(path string) (*configuration, error) {
	return e.readConfiguration(e.nodeConfigurationPath(path))
}

// clientConfiguration reads the file of clientConfigurationPath.
func (e *environment) clientConfiguration(path string) (*configuration, error) {
	return e.readConfiguration(e.clientConfigurationPath(path))
}

// wayToConfiguration says, of a usual place that is empty, what may be done.
func (e *environment) wayToConfiguration(path string) string {
	switch path {
	case nodeConfigurationFile:
		return " (slapos configure local makes one; --cfg or $SLAPOS_CONFIGURATION names another)"
	case e.expandUser(clientConfigurationFile):
		return " (slapos configure client makes one; --cfg or $SLAPOS_CLIENT_CONFIGURATION names another)"
	}
	return ""
}

func (e *environment) readConfiguration(path string) (*configuration, error) {
	e.log.Debug("Loading config: " + path)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sentencef("Configuration file does not exist: %s%s", path, e.wayToConfiguration(path)) // CLI-21
	}
	if err != nil {
		return nil, sentencef("Cannot parse configuration file: %w", err)
	}
	c, err := parseConfiguration(path, data)
	if err != nil {
		return nil, sentencef("Cannot parse configuration file: %w", err)
	}
	return c, nil
}

// A configuration is a file in the dialect of Python's ConfigParser (CLI-22).
// Its values stay raw until they are asked for.
type configuration struct {
	path     string
	order    []string
	sections map[string]map[string]string
	defaults map[string]string
}

// Path is the name of the file.
func (c *configuration) Path() string { return c.path }

// Sections lists the names of the sections in the order of the file, without
// DEFAULT.
func (c *configuration) Sections() []string { return c.order }

// Has tells whether there is a section of that name.
func (c *configuration) Has(section string) bool {
	_, found := c.sections[section]
	return found
}

// Raw returns a copy of a section with DEFAULT merged, without interpolation;
// nil when there is no such section.
func (c *configuration) Raw(section string) map[string]string {
	values, found := c.sections[section]
	if !found {
		return nil
	}
	merged := maps.Clone(c.defaults)
	maps.Copy(merged, values)
	return merged
}

// Section returns a section with DEFAULT merged and % references resolved. Keys
// are in lower case. A missing section is nil, without error.
func (c *configuration) Section(name string) (map[string]string, error) {
	raw := c.Raw(name)
	resolved := make(map[string]string, len(raw))
	for _, key := range slices.Sorted(maps.Keys(raw)) { // of several errors the same one is told always
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

// lines returns the non-empty lines of a value, trimmed.
func lines(value string) []string {
	var found []string
	for text := range strings.Lines(value) {
		if text = strings.TrimSpace(text); text != "" {
			found = append(found, text)
		}
	}
	return found
}

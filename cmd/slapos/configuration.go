// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/pass"
)

// The usual places of configurations, without --cfg and environment (CLI-20).
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
func (e *environment) nodeConfiguration(path string) (*pytext.Configuration, error) {
	return e.readConfiguration(e.nodeConfigurationPath(path))
}

// clientConfiguration reads the file of clientConfigurationPath.
func (e *environment) clientConfiguration(path string) (*pytext.Configuration, error) {
	return e.readConfiguration(e.clientConfigurationPath(path))
}

// wayToConfiguration explains what to do if there is no file at the usual
// place, or which variable names another that isn't there.
func (e *environment) wayToConfiguration(path string) string {
	switch path {
	case nodeConfigurationFile:
		return " (slapos configure local makes one; --cfg or $SLAPOS_CONFIGURATION names another)"
	case e.expandUser(clientConfigurationFile):
		return " (slapos configure client makes one; --cfg or $SLAPOS_CLIENT_CONFIGURATION names another)"
	}
	var named []string
	for _, variable := range []string{"SLAPOS_CONFIGURATION", "SLAPOS_CLIENT_CONFIGURATION"} {
		if value := e.getenv(variable); value != "" && e.expandUser(value) == path {
			named = append(named, "$"+variable)
		}
	}
	if len(named) == 0 {
		return ""
	}
	return " (named by " + strings.Join(named, " and ") + ")"
}

func (e *environment) readConfiguration(path string) (*pytext.Configuration, error) {
	e.log.Debug("Loading config: " + path)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sentencef("Configuration file does not exist: %s%s", path, e.wayToConfiguration(path)) // CLI-21
	}
	if err != nil {
		return nil, sentencef("Cannot parse configuration file: %w", err)
	}
	c, err := pytext.ParseConfiguration(path, data)
	if err != nil {
		return nil, sentencef("Cannot parse configuration file: %w", err)
	}
	for _, key := range []string{"master_url", "master_rest_url"} {
		c.Rewrite("slapos", key, unquoted)
	}
	return c, nil
}

// unquoted takes the quotes away that some people put around an address.
func unquoted(value string) string {
	for _, quote := range []string{`"`, "'"} {
		if inner, found := strings.CutPrefix(value, quote); found {
			if inner, found = strings.CutSuffix(inner, quote); found {
				return inner
			}
		}
	}
	return value
}

// lines returns the non-empty lines of a value, trimmed.
func lines(value string) []string { return pass.Lines(value).List() }

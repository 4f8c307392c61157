// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Client is the configuration of supervisorctl.
type Client struct {
	ServerURL          string
	Username, Password string
	Prompt             string
	HistoryFile        string // "" for none
}

// LoadClient reads the section [supervisorctl] of a main configuration file.
func LoadClient(path string, environ []string) (Client, error) {
	l, err := newLoader(path, environ)
	if err != nil {
		return Client{}, err
	}
	if !l.has("supervisorctl") {
		return Client{}, fmt.Errorf("%s does not include a [supervisorctl] section", path)
	}
	s := l.section("supervisorctl", nil)
	c := Client{
		ServerURL:   s.text("serverurl", "http://localhost:9001"),
		Username:    s.text("username", ""),
		Password:    s.text("password", ""),
		Prompt:      s.text("prompt", "supervisor"),
		HistoryFile: expandUser(s.text("history_file", "")),
	}
	if socket, found := strings.CutPrefix(c.ServerURL, "unix://"); found && s.err == nil {
		socket, s.err = filepath.Abs(expandUser(socket))
		c.ServerURL = "unix://" + socket
	}
	return c, s.err
}

// newLoader reads the main file alone.
func newLoader(path string, environ []string) (*loader, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	l := &loader{ini: newINI(), Config: &Config{User: -1}, environment: names{}, here: filepath.Dir(path)}
	l.host, _ = os.Hostname()
	for _, variable := range environ {
		if name, value, found := strings.Cut(variable, "="); found {
			l.environment["ENV_"+name] = value
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("could not read config file: %w", err)
	}
	return l, l.parse(path, data)
}

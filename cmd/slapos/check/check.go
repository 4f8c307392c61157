// SPDX-License-Identifier: GPL-3.0-or-later

// Package check looks at the configuration of a node, of a client or of a
// master, at the files that it names, and at the machine and the master behind
// it, and says what is wrong and the way out. It changes nothing.
//
//	subject := &check.Subject{Configuration: file, Value: value, ...}
//	report, err := check.Run(ctx, subject)
//
// A check is a line in [checks] and a small function that returns what it found,
// nothing if all is well. It must not fail because of what another one finds: a
// configuration without a master still has its files looked at.
package check

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
)

// A Severity says what a finding means.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // something doesn't work
	Warning Severity = "warning" // something is odd, dangerous, or soon won't work
)

// A Finding is one thing that is wrong.
type Finding struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`   // names the thing
	Remedy   string   `json:"remedy"` // the way out
}

// A Report is what [Run] found.
type Report struct {
	Configuration string    `json:"configuration"`
	Checks        []string  `json:"checks"` // that were made
	Findings      []Finding `json:"findings"`
	Master        *Master   `json:"master"` // nil if none was asked
}

// Failed reports whether something doesn't work.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Severity == Error {
			return true
		}
	}
	return false
}

// A Subject is what is checked.
type Subject struct {
	Configuration *pytext.Configuration
	// Value tries a key's value as the commands read it; nil if they can.
	Value func(section, key string, values map[string]string) error
	// Expand replaces a leading ~.
	Expand func(path string) string
	// Client makes the client that the commands ask the master with.
	Client func() (*slap.Client, error)
	// Missing lists programs that formatting needs and the machine lacks.
	Missing func() []string
	// Python finds the interpreter that builds releases, and tries it.
	Python func(ctx context.Context) error
	// HasGlobalIPv6 and CGroups look at the machine.
	HasGlobalIPv6 func(ctx context.Context, name string) (bool, error)
	CGroups       func() error
	Now           func() time.Time
	UID           int

	slapos, format, proxy map[string]string
	master                *Master
}

// A check is one thing that is looked at.
type check struct {
	name string
	// of says which files it is for.
	of   func(*Subject) bool
	look func(context.Context, *Subject) []Finding
}

// checks are made in this order.
var checks = []check{
	{"keys", always, keys},
	{"values", always, values},
	{"required", always, required},
	{"files", always, files},
	{"directories", (*Subject).isNode, directories},
	{"partitions", (*Subject).isNode, partitions},
	{"certificates", always, certificates},
	{"master", (*Subject).asksMaster, askMaster},
	{"clock", (*Subject).asksMaster, clockOf},
	{"python", (*Subject).isNode, python},
	{"programs", (*Subject).isNode, programs},
	{"space", (*Subject).isNode, space},
	{"ipv6", (*Subject).isNode, ipv6},
	{"cgroups", (*Subject).isNode, cgroups},
}

func always(*Subject) bool { return true }

// isMaster reports whether the file is that of a master.
func (s *Subject) isMaster() bool { return s.Configuration.Has("slapproxy") }

// isNode reports whether the file is that of a node. A master's has the roots, too.
func (s *Subject) isNode() bool {
	return s.Configuration.Has("slapformat") || s.slapos["instance_root"] != "" && !s.isMaster()
}

func (s *Subject) asksMaster() bool { return s.slapos["master_url"] != "" }

// Run makes all checks.
func Run(ctx context.Context, s *Subject) (*Report, error) {
	report := &Report{Configuration: s.Configuration.Path(), Findings: []Finding{}}
	for name, section := range map[string]*map[string]string{"slapos": &s.slapos, "slapformat": &s.format, "slapproxy": &s.proxy} {
		var err error
		if *section, err = s.Configuration.Section(name); err != nil {
			return nil, err
		}
	}
	for _, c := range checks {
		if !c.of(s) {
			continue
		}
		report.Checks = append(report.Checks, c.name)
		for _, f := range c.look(ctx, s) {
			f.Check = c.name
			report.Findings = append(report.Findings, f)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	report.Master = s.master
	return report, nil
}

func fault(text, remedy string) Finding { return Finding{Severity: Error, Text: text, Remedy: remedy} }
func warning(text, remedy string) Finding {
	return Finding{Severity: Warning, Text: text, Remedy: remedy}
}

// unread says why a file can't be looked at.
func unread(what, path string, err error) Finding {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault(what+" "+path+" doesn't exist", "make it, or name another one")
	case errors.Is(err, fs.ErrPermission):
		return warning(what+" "+path+" can't be read by this user", "run this as root, or as the user whose file it is")
	}
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err
	}
	return fault(what+" "+path+": "+err.Error(), "see what is there")
}

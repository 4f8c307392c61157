// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/bundle"
	"slapos/cmd/slapos/check"
	"slapos/cmd/slapos/pytext"
	"slapos/grid/agent"
	"slapos/slap"
)

type doctorOptions struct {
	configuration string
	logs          bool
}

func (o *doctorOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.BoolFlag{Name: "logs", Destination: &o.logs, Usage: "pack logs even when the master doesn't tell the parameters that are to be masked in them"},
	}
}

func newDoctorCommand(e *environment) *cli.Command {
	options := new(doctorOptions)
	return &cli.Command{
		Name:      "doctor",
		Usage:     "pack what somebody needs to help with this node, without secrets",
		ArgsUsage: "[FILE]",
		Category:  "other",
		Description: `Writes FILE, a tar.gz that its owner alone can read (default: slapos-doctor-HOST-
TIME.tar.gz here): versions, the configuration, what slapos configure check says,
the state of agent, services, releases, partitions and pid files, mounts, disks
and interfaces, and the ends of the node's own logs. Passwords, tokens, private
keys, and parameters and connection parameters of instances are masked, nothing
of the inside of partitions is read. Look through it before you send it.

Exit codes: 0 written; 1 failed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runDoctor(c.Context, e, c.Args().First(), *options)
		},
	}
}

func runDoctor(ctx context.Context, e *environment, path string, options doctorOptions) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("slapos-doctor-%s-%s", host, e.now().UTC().Format("20060102T150405Z"))
	if path == "" {
		path = name + ".tar.gz"
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: remove it, or name another file", path)
	}
	if err != nil {
		return err
	}
	d := &diagnosis{e: e, path: e.nodeConfigurationPath(options.configuration)}
	d.configuration, d.unread = e.nodeConfiguration(options.configuration)
	secrets, err := d.secrets(ctx)
	if d.quoting = err == nil || options.logs; !d.quoting {
		e.log.Warn("Logs are left out, since nobody tells the parameters that are to be masked in them: " + check.LineOf(err) + " (--logs packs them all the same)")
	}
	d.Bundle = bundle.New(file, name, bundle.Masks{Hide: hideSecrets, Secrets: secrets}, e.now())
	d.pack(ctx)
	err = errors.Join(d.Close(), file.Close(), ctx.Err())
	if err != nil {
		return errors.Join(err, os.Remove(path)) // half of it helps nobody
	}
	_, err = fmt.Fprintln(e.stdout, path)
	return err
}

// diagnosis is what is packed. Whatever can't be looked at says so in its place.
type diagnosis struct {
	*bundle.Bundle
	e             *environment
	path          string
	configuration *pytext.Configuration // nil if it can't be read
	unread        error
	quoting       bool // pack what may quote parameters of instances
}

// section is a section with its references resolved, or as it stands.
func (d *diagnosis) section(name string) map[string]string {
	if resolved, err := d.configuration.Section(name); err == nil {
		return resolved
	}
	return d.configuration.Raw(name)
}

func (d *diagnosis) pack(ctx context.Context) {
	d.Text("version", versionText()+"\n")
	d.configurations()
	if report, err := d.e.checkConfiguration(ctx, d.path); err == nil {
		d.JSON("check.json", report)
	} else {
		d.Text("check.json", err.Error()+"\n")
	}
	roots := []string{}
	if d.configuration != nil {
		slapos := d.section("slapos")
		for _, key := range []string{"instance_root", "software_root"} {
			if root := slapos[key]; root != "" {
				roots = append(roots, root)
			}
		}
		d.status(ctx)
		d.Listing("partitions", slapos["instance_root"], ".timestamp", ".slapos-resource")
		d.Listing("releases", slapos["software_root"], ".completed", "buildout.cfg")
		d.pidFiles(slapos)
		if d.quoting {
			d.logs(slapos)
			d.Journal(ctx)
		}
	}
	d.Machine(ctx, roots...)
}

// configurations packs the node's and, from the same directory, that of its master.
func (d *diagnosis) configurations() {
	if d.configuration == nil {
		d.Text("slapos.cfg", d.unread.Error()+"\n")
		return
	}
	d.Text("slapos.cfg", plainConfiguration(d.configuration))
	beside := filepath.Join(filepath.Dir(d.path), "slapos-proxy.cfg")
	if master, err := d.e.readConfiguration(beside); err == nil && beside != d.path {
		d.Text("slapos-proxy.cfg", plainConfiguration(master))
	}
}

// plainConfiguration writes a configuration without comments, and without values
// of keys that this program doesn't know: nobody knows what they are.
func plainConfiguration(c *pytext.Configuration) string {
	var text strings.Builder
	for _, section := range c.Sections() {
		fmt.Fprintf(&text, "[%s]\n", section)
		known, _ := check.Known(section)
		raw := c.Raw(section)
		for _, key := range c.Own(section) {
			value := raw[key]
			switch {
			case !slices.Contains(known, key) || key == "webhook_urls":
				value = "***"
			default:
				value = hideSecrets(withoutQueries(value))
			}
			fmt.Fprintf(&text, "%s = %s\n", key, strings.ReplaceAll(value, "\n", "\n  "))
		}
	}
	return text.String()
}

// withoutQueries masks what follows the question mark of URLs, where signatures are.
func withoutQueries(value string) string {
	words := strings.SplitAfter(value, "\n")
	for i, word := range words {
		if before, query, found := strings.Cut(word, "?"); found && strings.Contains(before, "://") && strings.TrimSpace(query) != "" {
			words[i] = before + "?***"
			if strings.HasSuffix(word, "\n") {
				words[i] += "\n"
			}
		}
	}
	return strings.Join(words, "")
}

func (d *diagnosis) status(ctx context.Context) {
	layout, err := d.e.supervisorLayout(d.configuration)
	if err != nil {
		d.Text("status.json", err.Error()+"\n")
		return
	}
	status, err := agent.Ask(ctx, layout.InstanceRoot)
	if err != nil {
		d.Text("agent", err.Error()+"\n")
	}
	told, _ := nodeStatusOf(ctx, layout, status) // its error is in there
	if told.Agent != nil && !d.quoting {
		for i := range told.Agent.Tasks {
			if told.Agent.Tasks[i].Error != "" {
				told.Agent.Tasks[i].Error = "***"
			}
		}
	}
	d.JSON("status.json", told)
	d.Text("supervisor", bundle.PIDFile(filepath.Join(layout.InstanceRoot, "var/run/supervisord.pid")))
}

func (d *diagnosis) pidFiles(slapos map[string]string) {
	var text strings.Builder
	for key, usual := range map[string]string{softwarePIDKey: softwarePIDFile, instancePIDKey: instancePIDFile, reportPIDKey: reportPIDFile} {
		text.WriteString(bundle.PIDFile(pidFileOf(slapos, key, usual)))
	}
	d.Text("pid-files", text.String())
}

// logs packs those of the node itself, and none of what runs in partitions.
func (d *diagnosis) logs(slapos map[string]string) {
	paths := []string{filepath.Join(slapos["instance_root"], "var/log/supervisord.log")}
	for _, section := range []string{"slapos", "slapformat", "slapproxy"} {
		if path := d.section(section)["log_file"]; path != "" {
			paths = append(paths, d.e.expandUser(path))
		}
	}
	if home := d.section("slapformat")["computer_xml"]; home != "" {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(home), "log", "*.log")) // the pattern is right
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		d.Tail("logs/"+strings.ReplaceAll(strings.Trim(path, "/"), "/", "-"), path)
	}
}

// secretPatience is how long the master may take to tell what is to be masked.
const secretPatience = 20 * time.Second

// secrets are what this machine knows of them: what is in the files that the
// configuration names, and the parameters of its instances. Logs may quote them.
func (d *diagnosis) secrets(ctx context.Context) (found []string, err error) {
	if d.configuration == nil {
		return nil, d.unread
	}
	for _, path := range check.SecretFiles(d.configuration) {
		content, err := os.ReadFile(d.e.expandUser(path))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			line, _, _ = strings.Cut(line, " # ")
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
				found = append(found, line)
			}
		}
	}
	slapos := d.section("slapos")
	if address, err := url.Parse(slapos["master_url"]); err == nil && address.User != nil {
		password, _ := address.User.Password()
		found = append(found, password)
	}
	ctx, cancel := context.WithTimeout(ctx, secretPatience)
	defer cancel()
	client, err := d.e.openNodeMaster(slapos, "")
	if err != nil {
		return found, err
	}
	defer func() { _ = client.Close() }()
	computer, err := client.FullComputerInformation(ctx, slapos["computer_id"])
	if err != nil {
		return found, err
	}
	for _, partition := range computer.Partitions {
		for _, values := range []slap.Dict{partition.Parameters, partition.ConnectionParameters} {
			for key, value := range values {
				if !slices.Contains(ownParameters, key) {
					found = append(found, leaves(value)...)
				}
			}
		}
	}
	return found, nil
}

// ownParameters are those that the master adds: they help, and are no secrets.
var ownParameters = []string{
	"slap_software_type", "slap_software_release_url", "slap_computer_id", "slap_computer_partition_id",
	"instance_title", "root_instance_title", "root_instance_short_title", "ip_list", "full_ip_list", "timestamp",
}

// leaves are the texts in a value. One that is JSON has its own.
func leaves(value any) (found []string) {
	switch v := value.(type) {
	case string:
		found = append(found, v)
		var inner any
		if (strings.HasPrefix(v, "{") || strings.HasPrefix(v, "[")) && json.Unmarshal([]byte(v), &inner) == nil {
			found = append(found, leaves(inner)...)
		}
	case map[string]any:
		for _, member := range v {
			found = append(found, leaves(member)...)
		}
	case []any:
		for _, member := range v {
			found = append(found, leaves(member)...)
		}
	}
	return found
}

// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/wholefile"
)

const configuration = `[slapos]
software_root = {{.Root}}/soft
instance_root = {{.Root}}/inst
shared_part_list = {{.Root}}/shared
master_url = {{.MasterURL}}
master_rest_url = {{.MasterURL}}/hateoas
{{- if .TokenFile}}
master_token_file = {{.TokenFile}}
{{- end}}
computer_id = {{.Computer}}
root_check = False
python = {{.Python}}
pidfile_software = {{.Root}}/var/run/slapos-node-software.pid
pidfile_instance = {{.Root}}/var/run/slapos-node-instance.pid
pidfile_report = {{.Root}}/var/run/slapos-node-report.pid
forbid_supervisord_automatic_launch = true
software_min_free_space = 100M
instance_min_free_space = 10M

[slapformat]
input_definition_file = {{.Root}}/etc/slapformat-definition.cfg
partition_amount = {{.Partitions}}
alter_user = false
alter_network = false
create_tap = false
create_tun = false
computer_xml = {{.Root}}/etc/slapos.xml
partition_has_ipv6_range = false

[slapproxy]
host = {{.Host}}
port = {{.Port}}
database_uri = {{.Root}}/var/proxy.db
{{- if .TokenFile}}
listen_token_file = {{.TokenFile}}
listen_instance_root = {{.Root}}/inst
{{- end}}
local_software_release_root = /
`

// WriteFiles makes the directory of the cloud and its files.
func (c *Cloud) WriteFiles() error {
	for _, name := range []string{"bin", "etc", "var/log", "var/run", "soft", "shared", "inst/etc/supervisord.conf.d"} {
		if err := os.MkdirAll(c.Path(name), 0o750); err != nil {
			return err
		}
	}
	definition, err := c.definition()
	if err != nil {
		return err
	}
	if c.Settings.TokenFile != "" {
		if err := slap.MakeToken(c.Settings.TokenFile); err != nil {
			return fmt.Errorf("token of the master: %w", err)
		}
	}
	wrapper := fmt.Sprintf("#!/bin/sh\nexport SLAPOS_CONFIGURATION=%[1]s SLAPOS_CLIENT_CONFIGURATION=%[1]s\nexec %[2]s \"$@\"\n",
		ShellQuote(c.ConfigurationFile()), ShellQuote(c.options.Executable)) // CLI-109
	for _, file := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"etc/slapformat-definition.cfg", definition, 0o644},
		{"etc/supervisord.conf", c.supervisorConfiguration(), 0o600},
		{"bin/slapos", wrapper, 0o755},
	} {
		if err := writeChanged(c.Path(file.name), []byte(file.text), file.mode); err != nil {
			return err
		}
	}
	return pytext.WriteExample(c.ConfigurationFile(), configuration, struct {
		Root, MasterURL, Computer, Python, Host, TokenFile string
		Port, Partitions                                   int
	}{c.options.Root, c.MasterURL(), Computer, c.Settings.Python, c.Settings.Host, c.Settings.TokenFile, c.Settings.Port, c.Settings.Partitions}, 0o644)
}

func writeChanged(path string, text []byte, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return wholefile.Write(path, text, mode)
}

// definition describes the partitions (CLI-102). Each has its own IPv4 address,
// so services may use the same port: all of 127.0.0.0/8 is this machine. IPv6
// has only one such address.
func (c *Cloud) definition() (string, error) {
	account := strconv.Itoa(c.options.User)
	if known, err := user.LookupId(account); err == nil {
		account = known.Username
	}
	var b strings.Builder
	b.WriteString("[computer]\naddress = 127.0.0.1/255.255.255.255\n")
	for i := range c.Settings.Partitions {
		fmt.Fprintf(&b, "\n[partition_%d]\naddress = 127.1.0.%d/255.255.255.255 ::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\n"+
			"pathname = "+partitionName+"%d\nuser = %s\nnetwork_interface =\n", i, i+1, i, account)
	}
	return b.String(), nil
}

// supervisorConfiguration lists the programs of the cloud, by the names that the
// library gives them (CLI-104).
func (c *Cloud) supervisorConfiguration() string {
	escape := strings.NewReplacer("%", "%%").Replace
	var b strings.Builder
	fmt.Fprintf(&b, `[unix_http_server]
file = %[1]s/var/run/sv.sock

[supervisorctl]
serverurl = unix://%[1]s/var/run/sv.sock

[supervisord]
logfile = %[1]s/var/log/supervisord.log
pidfile = %[1]s/var/run/supervisord.pid
childlogdir = %[1]s/var/log
strip_ansi = true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
`, escape(c.options.Root))
	for _, p := range c.programs() {
		fmt.Fprintf(&b, "\n[program:%s]\ncommand = %s\nautostart = %[3]t\nautorestart = %[3]t\nstartsecs = 0\nstopwaitsecs = 60\n"+
			"redirect_stderr = true\nstdout_logfile = %[4]s/var/log/%[5]s.log\nstdout_logfile_maxbytes = 5MB\nstdout_logfile_backups = 1\n",
			p.name, escape(p.command), p.lasting, escape(c.options.Root), p.log)
		if !p.lasting {
			b.WriteString("startretries = 0\n")
		}
	}
	return b.String()
}

// A program of the cloud keeps running (lasting), or runs once each time it is
// started.
type program struct {
	name, command string
	log           string // name of its log
	lasting       bool
}

// passPrefix begins the names of the programs that are passes.
const passPrefix = "slapos-node-"

func (c *Cloud) programs() []program {
	slapos, configuration := ShellQuote(c.options.Executable), ShellQuote(c.ConfigurationFile())
	programs := []program{
		{name: "slapos-proxy", command: slapos + " proxy start --cfg " + configuration + " --verbose"},
		{name: "slapos-instance-supervisord", command: slapos + " supervisord --nodaemon --configuration " + ShellQuote(c.services().ConfigFile())},
		{name: "slapos-agent", command: slapos + " node agent --cfg " + configuration},
	}
	for i := range programs {
		programs[i].log, programs[i].lasting = programs[i].name, true
	}
	for _, pass := range []struct{ name, words string }{
		{"software", "software"},
		{"software-all", "software --force"},
		{"instance", "instance"},
		{"instance-all", "instance --force"},
		{"report", "report"},
	} {
		log, _, _ := strings.Cut(pass.words, " ")
		programs = append(programs, program{
			name: passPrefix + pass.name, command: slapos + " node " + pass.words + " --cfg " + configuration, log: "slapos-node-" + log,
		})
	}
	return programs
}

// ShellQuote quotes a text as one word, for shells and for the supervisor.
func ShellQuote(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@") == "" && text != "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

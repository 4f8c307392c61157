// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

var oddValues = []string{"0", "", "-1", "1e30", "99999999999999999999", "-99999999999999999999", "abc", "nan", "inf", "1_000", "+5", "5.0", "2.5", "0x10", "010", "0o17", "8",
	"yes", "TRUE", "On", "1", "off", "No", "FALSE", "maybe", "y", "5KB", "-5MB", "1gb", "5 mb", "99999999999999999999GB", "unexpected", "9", "KILL", "sigusr1", "0,2", "0,256", "info", "DEBUG"}

// An optionTable says where the value of an option ends up.
type optionTable struct {
	section string
	read    func(c *Config) any
}

// optionTables has the options that aren't plain text, by name.
func optionTables() map[string]optionTable {
	program := func(read func(p *Program) any) optionTable {
		return optionTable{section: "program:x", read: func(c *Config) any { return read(c.Groups[0].Programs[0]) }}
	}
	daemon := func(read func(c *Config) any) optionTable { return optionTable{section: "supervisord", read: read} }
	return map[string]optionTable{
		"supervisord minfds":           daemon(func(c *Config) any { return c.MinFDs }),
		"supervisord umask":            daemon(func(c *Config) any { return c.Umask }),
		"supervisord logfile_maxbytes": daemon(func(c *Config) any { return c.LogFileMaxBytes }),
		"supervisord logfile_backups":  daemon(func(c *Config) any { return c.LogFileBackups }),
		"supervisord loglevel":         daemon(func(c *Config) any { return map[Level]int{LevelInfo: 20, LevelDebug: 10}[c.LogLevel] }),
		"supervisord nodaemon":         daemon(func(c *Config) any { return c.NoDaemon }),
		"supervisord silent":           daemon(func(c *Config) any { return c.Silent }),
		"supervisord nocleanup":        daemon(func(c *Config) any { return c.NoCleanup }),
		"supervisord strip_ansi":       daemon(func(c *Config) any { return c.StripANSI }),
		"priority":                     program(func(p *Program) any { return p.Priority }),
		"autostart":                    program(func(p *Program) any { return p.AutoStart }),
		"autorestart":                  program(func(p *Program) any { return int(p.AutoRestart) }),
		"startsecs":                    program(func(p *Program) any { return p.StartSecs }),
		"startretries":                 program(func(p *Program) any { return p.StartRetries }),
		"stopsignal":                   program(func(p *Program) any { return int(p.StopSignal) }),
		"stopwaitsecs":                 program(func(p *Program) any { return p.StopWaitSecs }),
		"stopasgroup":                  program(func(p *Program) any { return p.StopAsGroup }),
		"killasgroup":                  program(func(p *Program) any { return p.KillAsGroup }),
		"exitcodes":                    program(func(p *Program) any { return fmt.Sprint(p.ExitCodes) }),
		"redirect_stderr":              program(func(p *Program) any { return p.RedirectError }),
		"umask":                        program(func(p *Program) any { return p.Umask }),
		"numprocs":                     {section: "program:x", read: func(c *Config) any { return len(c.Groups[0].Programs) }},
		"numprocs_start":               {section: "program:x", read: func(c *Config) any { return c.Groups[0].Programs[0].Name }},
		"stdout_logfile_maxbytes":      program(func(p *Program) any { return p.Stdout.MaxBytes }),
		"stdout_logfile_backups":       program(func(p *Program) any { return p.Stdout.Backups }),
		"stdout_capture_maxbytes":      program(func(p *Program) any { return p.Stdout.CaptureMaxBytes }),
		"stdout_events_enabled":        program(func(p *Program) any { return p.Stdout.Events }),
		"buffer_size":                  {section: "eventlistener:x", read: func(c *Config) any { return c.Groups[0].Listener.BufferSize }},
		"chmod":                        {section: "unix_http_server", read: func(c *Config) any { return int(c.Servers[0].Mode) }},
	}
}

// withoutTable are options of a program or the daemon that hold no number, or
// whose rules are tested elsewhere.
var withoutTable = strings.Fields("directory user group pidfile childlogdir environment port stdout_syslog")

// originalValues prints what Python's supervisor makes of options: a value, or
// none where it refuses the option.
const originalValues = `
import io, json, signal, sys
from supervisor.options import ServerOptions
from supervisor import datatypes
def load(path):
    options = ServerOptions()
    options.stderr = options.stdout = io.StringIO()
    try:
        options.realize(['-c', path, '-n'])
    except SystemExit:
        return None
    return options
def whole(value, least=-2**31, most=2**31-1):
    return min(max(value, least), most)
def read(options, option, section):
    if section == 'supervisord':
        value = getattr(options.configroot.supervisord, option.split()[-1])
        return value if isinstance(value, bool) else whole(value, -2**63, 2**63-1) if option.endswith('maxbytes') else whole(value)
    if section == 'unix_http_server':
        return options.server_configs[0]['chmod']
    group = options.process_group_configs[0]
    if option == 'buffer_size':
        return whole(group.buffer_size)
    if option == 'numprocs':
        return len(group.process_configs)
    program = group.process_configs[0]
    if option == 'numprocs_start':
        return program.name
    value = getattr(program, option)
    if option == 'autorestart':
        return {False: 0, datatypes.RestartWhenExitUnexpected: 1, datatypes.RestartUnconditionally: 2}[value]
    if option == 'exitcodes':
        return '[' + ' '.join(map(str, value)) + ']'
    if option.endswith('maxbytes'):
        return whole(value, -2**63, 2**63-1)
    return value if value is None or isinstance(value, bool) else whole(int(value))
answers = []
for path, option, section in json.load(sys.stdin):
    options = load(path)
    try:
        answers.append(options and {'value': read(options, option, section)})
    except IndexError:
        answers.append({'value': 0})
json.dump(answers, sys.stdout)
`

// Every option that isn't plain text, absent or with an odd value, gets the
// value that Python's supervisor gives it. The error of a refused value names
// the option, the section and the file. GRID-70 and D-26: only an absent option
// gets its default.
func TestOptionValues(t *testing.T) {
	directory := t.TempDir()
	sections := map[string]string{
		"program:x":        "[program:x]\ncommand = /bin/cat\nprocess_name = x%%(process_num)s\n",
		"eventlistener:x":  "[eventlistener:x]\ncommand = /bin/cat\nevents = TICK_5\n",
		"unix_http_server": "[unix_http_server]\nfile = " + directory + "/s\n",
		"supervisord":      fmt.Sprintf("[supervisord]\nchildlogdir = %[1]s\nlogfile = %[1]s/log\npidfile = %[1]s/pid\n", directory),
	}
	sections["program:x"] = strings.ReplaceAll(sections["program:x"], "%%", "%")
	type question struct{ path, option, section, value string }
	var questions []question
	var asked [][]string
	for option, table := range optionTables() {
		tried := append([]string{"absent"}, oddValues...)
		if option == "stopsignal" {
			tried = append(tried, strings.Fields("1 31 32 33 34 35 63 64 65 KILL RTMIN sigrtmax RTMIN+1 CLD POLL IOT STKFLT PWR INFO")...)
		}
		for i, value := range tried {
			if option == "numprocs" && len(value) > 4 {
				continue // nobody runs that many processes
			}
			_, name, _ := strings.Cut(" "+option, " ")
			name = name[strings.LastIndexByte(name, ' ')+1:]
			text := sections["supervisord"]
			if table.section != "supervisord" {
				text += sections[table.section]
			}
			if i > 0 {
				text += name + " = " + value + "\n"
			}
			path := filepath.Join(directory, strconv.Itoa(len(questions))+".conf")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			questions = append(questions, question{path: path, option: option, section: table.section, value: value})
			asked = append(asked, []string{path, option, table.section})
		}
	}
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(testkit.Python(t), "-W", "ignore", "-c", originalValues)
	var stderr bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(input), &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v %s", err, stderr.String())
	}
	var answers []*struct{ Value any }
	decoder := json.NewDecoder(bytes.NewReader(output))
	decoder.UseNumber()
	if err := decoder.Decode(&answers); err != nil || len(answers) != len(questions) {
		t.Fatal(len(answers), err)
	}
	values := 0
	for i, q := range questions {
		config, err := Load(q.path, nil)
		want := answers[i]
		// A umask or a mode of -1 makes no sense, nor does the signal 0, nor a
		// process number that no other program can hold.
		if q.option == "stopsignal" && q.value == "0" || q.option == "numprocs_start" && len(q.value) > 10 {
			want = nil
		}
		if (strings.HasSuffix(q.option, "umask") || q.option == "chmod") && strings.HasPrefix(q.value, "-") {
			want = nil
		}
		switch {
		case err != nil && want == nil:
			_, option, _ := strings.Cut(" "+q.option, " ")
			option = option[strings.LastIndexByte(option, ' ')+1:]
			for _, word := range []string{option, q.section, q.path} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s = %q: no %s in the error: %v", q.option, q.value, word, err)
				}
			}
		case err != nil:
			t.Errorf("%s = %q: %v, Python says %v", q.option, q.value, err, want.Value)
		case want == nil:
			t.Errorf("%s = %q: %v, and Python refuses it", q.option, q.value, optionTables()[q.option].read(config))
		default:
			values++
			got := any(0)
			if len(config.Groups) == 0 || len(config.Groups[0].Programs) > 0 {
				got = optionTables()[q.option].read(config)
			}
			if q.option == "umask" && got == -1 {
				got = nil
			}
			if want := fmt.Sprint(want.Value); fmt.Sprint(got) != want {
				t.Errorf("%s = %q: %v, Python says %v", q.option, q.value, got, want)
			}
		}
	}
	if values < 100 {
		t.Errorf("only %d values were compared", values)
	}
}

// Every option that has a reading function of its own has a table.
func TestEveryOptionHasATable(t *testing.T) {
	tables := optionTables()
	found := map[string]bool{}
	for _, name := range []string{"config.go", "program.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) < 4 {
				return true
			}
			reader, _ := call.Fun.(*ast.Ident)
			if reader == nil || reader.Name != "read" && reader.Name != "readOptional" {
				return true
			}
			option, prefix := call.Args[1], ""
			if sum, ok := option.(*ast.BinaryExpr); ok {
				option, prefix = sum.Y, "stdout"
			}
			if literal, ok := option.(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(literal.Value)
				found[prefix+text] = true
			}
			return true
		})
	}
	if len(found) < 25 {
		t.Fatalf("only %d options were found", len(found))
	}
	for option := range found {
		_, own := tables[option]
		_, daemon := tables["supervisord "+option]
		if !own && !daemon && !slices.Contains(withoutTable, option) {
			t.Errorf("%s has no table here", option)
		}
	}
}

// Numbers that Python accepts but no clock reaches stay large.
func TestLargeValues(t *testing.T) {
	for text, want := range map[string]int{"99999999999999999999": math.MaxInt32, "-99999999999999999999": math.MinInt32, "4294967296": math.MaxInt32} {
		if got, err := integer(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for text, want := range map[string]int64{"99999999999999999999": math.MaxInt64, "9223372036854775807kb": math.MaxInt64, "-99999999999999999999GB": math.MinInt64, "4gb": 4 << 30} {
		if got, err := byteSize(text); err != nil || got != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
}

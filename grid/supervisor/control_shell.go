// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/peterh/liner"
	"golang.org/x/term"
)

// controlCommands are the commands of supervisorctl; filled by init, since help
// is one of them.
var controlCommands map[string]controlCommand

func init() {
	controlCommands = map[string]controlCommand{
		"add":      {run: (*control).add, help: "add NAME...\t\tactivate groups of the configuration"},
		"avail":    {run: withoutArguments("avail", (*control).avail), help: "avail\t\t\tlist all configured processes"},
		"clear":    {run: whenUp(clearAction.command), help: "clear NAME...\t\tempty the logs of processes\nclear all\t\tempty all logs"},
		"exit":     {run: (*control).leave, help: "exit\tleave this prompt"},
		"fg":       {run: whenUp((*control).foreground), help: "fg NAME\tsee the output of a process and type its input, until Ctrl-C"},
		"help":     {run: (*control).help, help: "help\t\tlist the commands\nhelp COMMAND\texplain a command"},
		"maintail": {run: whenUp((*control).mainTail), help: "maintail\tthe last 1600 bytes of the supervisor's log\nmaintail -100\tthe last 100 bytes\nmaintail -f\tfollow the log, until Ctrl-C"},
		"open":     {run: (*control).openServer, help: "open URL\tswitch to another supervisor (http://HOST:PORT or unix:///PATH)"},
		"pid":      {run: whenUp((*control).pid), help: "pid\t\t\tprocess number of the supervisor\npid NAME...\t\tprocess numbers of processes\npid all\t\t\tof all processes, one a line"},
		"quit":     {run: (*control).leave, help: "quit\tleave this prompt"},
		"reload":   {run: withoutArguments("reload", (*control).reload), help: "reload\t\tstop everything and start again"},
		"remove":   {run: (*control).remove, help: "remove NAME...\tforget groups that are stopped"},
		"reread":   {run: withoutArguments("reread", (*control).reread), help: "reread\t\t\tread the configuration again and show the difference"},
		"restart":  {run: (*control).restart, help: "restart NAME...\t\tstop and start processes; the configuration is not read again\nrestart GROUP:*\t\tall of a group\nrestart all\t\tall processes"},
		"shutdown": {run: withoutArguments("shutdown", (*control).shutdown), help: "shutdown\tstop everything and end the supervisor"},
		"signal":   {run: whenUp((*control).signal), help: "signal SIGNAL NAME...\t\tsend a signal to processes\nsignal SIGNAL GROUP:*\t\tto all of a group\nsignal SIGNAL all\t\tto all processes"},
		"start":    {run: whenUp(startAction.command), help: "start NAME...\t\tstart processes\nstart GROUP:*\t\tall of a group\nstart all\t\tall processes"},
		"status":   {run: (*control).status, help: "status\t\t\tthe state of all processes\nstatus NAME...\t\tof some\nstatus GROUP:*\t\tof a group"},
		"stop":     {run: whenUp(stopAction.command), help: "stop NAME...\t\tstop processes\nstop GROUP:*\t\tall of a group\nstop all\t\tall processes"},
		"tail":     {run: whenUp((*control).tail), help: "tail [-f] NAME [stdout|stderr]\tthe last 1600 bytes of a log; -f: follow it, until Ctrl-C\ntail -100 NAME\t\t\tthe last 100 bytes"},
		"update":   {run: (*control).update, help: "update\t\t\tread the configuration again and follow it: changed groups are restarted\nupdate GROUP...\t\tfor some groups"},
		"upgrade":  {run: withoutArguments("upgrade", (*control).upgrade), ours: true, help: "upgrade\t\t\tgo on as the program that is installed now; services keep running"},
		"version":  {run: withoutArguments("version", (*control).versionWhenUp), help: "version\t\t\tversion of the supervisor"},
	}
}

func (c *control) versionWhenUp() error {
	return whenUp(func(c *control, _ string) error { return c.version() })(c, "")
}

func (c *control) leave(string) error {
	c.printf("")
	c.quit = true
	return nil
}

func (c *control) help(arg string) error {
	if arg != "" {
		if command, found := controlCommands[arg]; found {
			c.printf("%s", command.help)
		} else {
			c.printf("*** No help on %s", arg)
		}
		return nil
	}
	var names []string
	for name, command := range controlCommands {
		if name != "help" && !command.ours {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	header := "default commands (type help <topic>):"
	c.printf("\n%s\n%s\n%s", header, strings.Repeat("=", len(header)), columns(names, 79))
	return nil
}

// columns arranges words as Python's cmd does: column by column, in as few
// lines as possible.
func columns(words []string, width int) string {
	for rows := 1; ; rows++ {
		var widths []int
		total := -2
		for start := 0; start < len(words); start += rows {
			longest := 0
			for _, word := range words[start:min(start+rows, len(words))] {
				longest = max(longest, len(word))
			}
			widths = append(widths, longest)
			total += longest + 2
		}
		if total > width && rows < len(words) {
			continue
		}
		var b strings.Builder
		for row := range rows {
			var line []string
			for column, longest := range widths {
				if at := column*rows + row; at < len(words) {
					line = append(line, fmt.Sprintf("%-*s", longest, words[at]))
				}
			}
			b.WriteString(strings.Join(line, "  ") + "\n")
		}
		return b.String()
	}
}

// interact reads commands until the end of the input or quit.
func (c *control) interact(stdin io.Reader) error {
	c.interactive = true
	if file, ok := stdin.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		line := liner.NewLiner()
		defer func() { _ = line.Close() }()
		line.SetCtrlCAborts(true)
		line.SetWordCompleter(c.complete)
		c.readHistory(line)
		defer c.writeHistory(line)
		c.ask = func(prompt string) (string, error) {
			text, err := line.Prompt(prompt)
			if err == nil && text != "" {
				line.AppendHistory(text)
			}
			return text, err
		}
	} else {
		c.input = bufio.NewReader(stdin)
		c.ask = c.askPlain
	}
	c.line("status")
	for !c.quit && c.ctx.Err() == nil {
		text, err := c.next(c.settings.Prompt + "> ")
		if err != nil {
			c.printf("")
			if err == io.EOF || errors.Is(err, liner.ErrPromptAborted) {
				return nil
			}
			return err
		}
		c.line(text)
	}
	return nil
}

// askPlain reads a line without editing.
func (c *control) askPlain(prompt string) (string, error) {
	if prompt != "" {
		fmt.Fprint(c.out, prompt)
	}
	text, err := c.input.ReadString('\n')
	if err == io.EOF && text != "" {
		err = nil
	}
	return strings.TrimSuffix(text, "\n"), err
}

func (c *control) readHistory(line *liner.State) {
	if c.settings.HistoryFile == "" {
		return
	}
	if file, err := os.Open(c.settings.HistoryFile); err == nil {
		_, _ = line.ReadHistory(file)
		file.Close()
	}
}

func (c *control) writeHistory(line *liner.State) {
	if c.settings.HistoryFile == "" {
		return
	}
	if file, err := os.OpenFile(c.settings.HistoryFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
		_, _ = line.WriteHistory(file)
		file.Close()
	}
}

// complete offers commands, groups or processes.
func (c *control) complete(line string, position int) (head string, words []string, tail string) {
	before := line[:min(position, len(line))]
	start := strings.LastIndexByte(before, ' ') + 1
	head, tail = before[:start], line[len(before):]
	for _, candidate := range c.candidates(strings.Fields(head), before[start:]) {
		if strings.HasPrefix(candidate, before[start:]) {
			words = append(words, candidate+" ")
		}
	}
	slices.Sort(words)
	return head, slices.Compact(words), tail
}

func (c *control) candidates(before []string, text string) (names []string) {
	if len(before) == 0 || before[0] == "help" {
		for name := range controlCommands {
			names = append(names, name)
		}
		return names
	}
	if c.known == nil {
		c.known, _ = c.client.AllProcessInfo(c.ctx)
	}
	groupsOnly := slices.Contains([]string{"add", "remove", "update"}, before[0])
	for _, info := range c.known {
		switch {
		case groupsOnly:
			names = append(names, info.Group)
		case info.Name == info.Group && !strings.Contains(text, ":"):
			names = append(names, info.Name)
		default:
			names = append(names, info.Group+":"+info.Name, info.Group+":*")
		}
	}
	return names
}

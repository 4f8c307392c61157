// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
)

// ControlOptions are the options of supervisorctl.
type ControlOptions struct {
	// ConfigFile has the section [supervisorctl] with the address, the prompt
	// and the history file. It may be empty if ServerURL is set.
	ConfigFile string
	// These win over the file.
	ServerURL, Username, Password, HistoryFile string
	Environ                                    []string
	// Args is one command. If it is empty, commands are read from Stdin: with a
	// prompt and line editing if that is a terminal.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
}

// Exit codes of supervisorctl, those of LSB init scripts.
const (
	exitGeneric     = 1
	exitInvalidArgs = 2
	exitStopped     = 3 // of status
	exitNoFeature   = 3
	exitUnknown     = 4 // of status
	exitRefused     = 4
	exitOtherAPI    = 5
	exitNotRunning  = 7
)

// Control is the program supervisorctl 4.3: it has the same commands, answers
// and exit codes. It returns errors of the options; all others go to Stdout.
func Control(ctx context.Context, options ControlOptions) (exit int, err error) {
	settings := config.Client{Prompt: "supervisor"}
	if options.ConfigFile != "" {
		if settings, err = config.LoadClient(options.ConfigFile, options.Environ); err != nil {
			return exitInvalidArgs, err
		}
	}
	override(&settings.ServerURL, options.ServerURL)
	override(&settings.Username, options.Username)
	override(&settings.Password, options.Password)
	override(&settings.HistoryFile, options.HistoryFile)
	c := &control{ctx: ctx, out: options.Stdout, settings: settings}
	if err := c.open(settings.ServerURL); err != nil {
		return exitInvalidArgs, err
	}
	defer func() { c.client.Close() }()
	if len(options.Args) > 0 {
		c.input, c.ask = bufio.NewReader(options.Stdin), c.askPlain
		c.line(strings.Join(options.Args, " "))
		return c.exit, nil
	}
	return 0, c.interact(options.Stdin)
}

func override(value *string, by string) {
	if by != "" {
		*value = by
	}
}

// control runs commands against one supervisor.
type control struct {
	ctx         context.Context
	out         io.Writer
	input       *bufio.Reader
	settings    config.Client
	client      *Client
	url         string
	exit        int
	interactive bool
	ask         func(prompt string) (string, error) // reads a line; see next
	awaited     chan typed                          // a line that is being read
	known       []ProcessInfo                       // for completion, since the last command
	quit        bool
}

// controlCommand is a command.
type controlCommand struct {
	run  func(c *control, arg string) error
	help string
	ours bool // the list of help is the original's
}

func (c *control) open(serverURL string) error {
	client, err := newClient(serverURL, c.settings.Username, c.settings.Password)
	if err != nil {
		return err
	}
	if c.client != nil {
		c.client.Close()
	}
	c.client, c.url = client, serverURL
	return nil
}

func (c *control) printf(format string, args ...any) { fmt.Fprintf(c.out, format+"\n", args...) }

// fail reports a misuse of a command.
func (c *control) fail(command, format string, args ...any) error {
	c.printf(format, args...)
	c.exit = exitGeneric
	if command != "" {
		c.printf("%s", controlCommands[command].help)
	}
	return nil
}

// line runs one command. The command's name ends at the first character that no
// name contains, as in the original: "tail-f x" is "tail -f x".
func (c *control) line(line string) {
	line = strings.TrimSpace(line)
	if line == "" {
		return
	}
	if rest, found := strings.CutPrefix(line, "?"); found {
		line = "help " + rest
	}
	end := strings.IndexFunc(line+" ", func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	command, found := controlCommands[line[:end]]
	if !found {
		c.exit = exitGeneric
		c.printf("*** Unknown syntax: %s", line)
		return
	}
	c.known = nil
	err := command.run(c, strings.TrimSpace(line[end:]))
	var status *statusError
	switch {
	case err == nil:
	case errors.As(err, &status) && status.code == 401:
		c.exit = exitGeneric
		c.printf("Server requires authentication")
	default:
		c.exit = exitGeneric
		c.printf("error: %v", err)
	}
}

// upCheck reports whether a supervisor answers.
func (c *control) upCheck() (bool, error) {
	version, err := c.client.Call(c.ctx, "supervisor.getVersion")
	switch {
	case err == nil && version == "3.0":
		return true, nil
	case err == nil:
		c.printf("Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the remote version is %v.", version)
		c.exit = exitOtherAPI
	case isFault(err, FaultUnknownMethod):
		c.printf("%s answers, but knows no supervisor methods: enable [rpcinterface:supervisor] in its configuration", c.url)
		c.exit = exitNoFeature
	case errors.Is(err, unix.ECONNREFUSED):
		c.printf("%s refused connection", c.url)
		c.exit = exitRefused
	case errors.Is(err, unix.ENOENT):
		c.printf("%s no such file", c.url)
		c.exit = exitNotRunning
	default:
		return false, err
	}
	return false, nil
}

// whenUp runs a command only if a supervisor answers.
func whenUp(run func(c *control, arg string) error) func(c *control, arg string) error {
	return func(c *control, arg string) error {
		up, err := c.upCheck()
		if err != nil || !up {
			return err
		}
		return run(c, arg)
	}
}

// withoutArguments refuses arguments.
func withoutArguments(name string, run func(c *control) error) func(c *control, arg string) error {
	return func(c *control, arg string) error {
		if arg != "" {
			return c.fail(name, "Error: %s accepts no arguments", name)
		}
		return run(c)
	}
}

// exitFor sets the exit code for a fault; the fault forgiven is no failure of
// the current command.
func (c *control) exitFor(code, forgiven int) {
	switch code {
	case FaultSuccess, forgiven:
	case FaultSpawnError, FaultAbnormalTermination, FaultNotRunning:
		c.exit = exitNotRunning
	default:
		c.exit = exitGeneric
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/peterh/liner"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"slapos/slap/clock"
	"slapos/slap/wholefile"
)

// Interact reads and runs statements from the terminal until the end of input.
// It logs an error and goes on.
func (s *Session) Interact() error {
	terminal := liner.NewLiner()
	defer func() { _ = terminal.Close() }()
	terminal.SetCtrlCAborts(true)
	terminal.SetTabCompletionStyle(liner.TabPrints)
	terminal.SetWordCompleter(func(line string, position int) (head string, completions []string, tail string) {
		return s.complete(line[:position], line[position:])
	})
	if file, err := os.Open(s.options.History); err == nil {
		_, _ = terminal.ReadHistory(file) // as far as it can be read
		file.Close()
	}
	defer s.saveHistory(terminal)
	return s.interact(terminal)
}

// A prompter asks for a line, and remembers those that were worth it.
type prompter interface {
	Prompt(prompt string) (string, error)
	AppendHistory(line string)
}

func (s *Session) interact(terminal prompter) error {
	s.setArguments("", []string{""})
	fmt.Fprintln(s.options.Stdout, `request(URL, "name"), supply(URL, "COMP-1"), computer("COMP-1"), product.NAME; dir(slap); Ctrl-D ends`)
	for {
		done, err := s.statement(terminal)
		var exit *ExitError
		switch {
		case errors.As(err, &exit) && exit.Code == 0:
			return nil
		case exit != nil:
			return exit
		case s.ctx.Err() != nil:
			return s.ctx.Err()
		}
		if err != nil {
			s.options.Logger.Error(err.Error())
		}
		if done {
			return nil
		}
	}
}

func (s *Session) saveHistory(terminal *liner.State) {
	file, err := wholefile.Create(s.options.History, wholefile.Mode(0o600))
	if err != nil {
		return // without a writable home there is no history
	}
	if _, err = terminal.WriteHistory(file); err == nil {
		err = file.CloseAtomicallyReplace()
	}
	if err != nil {
		s.options.Logger.Debug("history: " + err.Error())
		_ = file.Cleanup()
	}
}

// statement reads and runs one statement; done is true at the end of input.
func (s *Session) statement(terminal prompter) (done bool, err error) {
	prompt := ">>> "
	var ended error // of the input; the parser hides it
	first := true
	readLine := func() ([]byte, error) {
		text, err := clock.Await(s.ctx, func() (string, error) { return terminal.Prompt(prompt) })
		if err != nil {
			ended = err
			return nil, err
		}
		prompt = "... "
		if strings.TrimSpace(text) != "" {
			terminal.AppendHistory(text)
		}
		if other, _ := inOtherWords(strings.TrimLeft(text, " \t")); other != "" {
			text = text[:len(text)-len(strings.TrimLeft(text, " \t"))] + other
		}
		first = false
		return []byte(text + "\n"), nil
	}
	file, err := dialect.ParseCompoundStmt("<stdin>", readLine)
	switch {
	case ended == io.EOF && first:
		fmt.Fprintln(s.options.Stdout)
		return true, nil
	case ended == io.EOF, ended == liner.ErrPromptAborted:
		return false, nil
	case ended != nil:
		return true, ended
	case err != nil:
		return false, s.withWayOut(explain(err))
	}
	iterateText(file)
	return false, s.run(file)
}

// run executes a statement; the value of an expression is shown.
func (s *Session) run(file *syntax.File) error {
	if len(file.Stmts) == 1 {
		if statement, ok := file.Stmts[0].(*syntax.ExprStmt); ok {
			value, err := starlark.EvalExprOptions(dialect, s.thread, statement.X, s.globals)
			if err != nil {
				return s.located(err)
			}
			if value != starlark.None {
				s.globals["_"] = value
				fmt.Fprintln(s.options.Stdout, pythonLiteral(value, 0))
			}
			return nil
		}
	}
	return s.located(starlark.ExecREPLChunk(file, s.thread, s.globals))
}

// complete finds completions of the word before the cursor: names, or
// attributes of a name.
func (s *Session) complete(before, after string) (head string, completions []string, tail string) {
	begin := strings.LastIndexFunc(before, func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) + 1
	head, word := before[:begin], before[begin:]
	path := strings.Split(word, ".")
	names := slices.Concat(slices.Collect(maps.Keys(s.globals)), slices.Collect(maps.Keys(starlark.Universe)))
	prefix := ""
	if len(path) > 1 {
		names = nil
		prefix = strings.Join(path[:len(path)-1], ".") + "."
		if value := s.attribute(path[:len(path)-1]); value != nil {
			names = value.AttrNames()
		}
	}
	last := path[len(path)-1]
	for _, name := range names {
		if strings.HasPrefix(name, last) && (last != "" || name[0] != '_') {
			completions = append(completions, prefix+name)
		}
	}
	slices.Sort(completions)
	return head, slices.Compact(completions), after
}

// attribute follows a path of names to a value with attributes, nil for none.
// Only tables are looked at: completion calls nothing.
func (s *Session) attribute(path []string) starlark.HasAttrs {
	value := s.globals[path[0]]
	for _, name := range path[1:] {
		e, ok := value.(*entity)
		if !ok {
			return nil
		}
		value = e.attributes[name]
	}
	found, _ := value.(starlark.HasAttrs)
	return found
}

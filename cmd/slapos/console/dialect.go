// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"errors"
	"fmt"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// dialect is Starlark with all that makes it more like Python.
var dialect = &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}

// parsePython parses Starlark. Where the parser stumbles over a statement that
// only Python has (raise, or import of a module that the console has anyway),
// it is translated.
func parsePython(name, source string) (*syntax.File, error) {
	lines := strings.Split(source, "\n")
	for range len(lines) + 1 {
		file, err := dialect.Parse(name, strings.Join(lines, "\n"), 0)
		if err == nil {
			iterateText(file)
			return file, nil
		}
		var invalid syntax.Error
		if !errors.As(err, &invalid) {
			return nil, err
		}
		number := int(invalid.Pos.Line) - 1
		if number < 0 || number >= len(lines) {
			return nil, err
		}
		begin := stumblingWord(lines[number], invalid)
		if begin < 0 {
			return nil, explain(invalid)
		}
		other, err := inOtherWords(lines[number][begin:])
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", invalid.Pos, err)
		case other == "":
			return nil, explain(invalid)
		}
		lines[number] = lines[number][:begin] + other
	}
	return nil, fmt.Errorf("%s: too many statements that only Python has", name)
}

// explain adds to an error what Python has and Starlark hasn't, where the parser
// stumbled over that.
func explain(err error) error {
	var invalid syntax.Error
	if !errors.As(err, &invalid) {
		return err
	}
	word, _ := strings.CutPrefix(invalid.Msg, "got ")
	word, _, _ = strings.Cut(word, ",")
	switch word {
	case "class", "try", "except", "finally", "with", "del", "global", "nonlocal", "yield", "assert", "async", "await", "raise", "is", "import", "from":
		return fmt.Errorf("%w: the console's language is Starlark, which has no %s", err, word)
	case "string literal":
		return fmt.Errorf("%w: the console's language is Starlark, which has no f-strings: use format() or %%", err)
	}
	return err
}

// stumblingWord finds the reserved word that the parser stumbled over, -1 for
// none. The parser's position is that of the word, or just after.
func stumblingWord(line string, invalid syntax.Error) int {
	word, found := strings.CutPrefix(invalid.Msg, "got ")
	word, _, _ = strings.Cut(word, ",")
	if !found || !strings.Contains(" is raise import from ", " "+word+" ") {
		return -1
	}
	runes := []rune(line)
	end := min(len(runes), int(invalid.Pos.Col)-1+len(word))
	return strings.LastIndex(string(runes[:max(end, 0)]), word)
}

// iterateText makes for statements and comprehensions iterate over the
// characters of a string, as in Python.
func iterateText(file *syntax.File) {
	wrap := func(x syntax.Expr) syntax.Expr {
		begin, end := x.Span()
		return &syntax.CallExpr{Fn: &syntax.Ident{NamePos: begin, Name: "__iterate__"}, Lparen: begin, Args: []syntax.Expr{x}, Rparen: end}
	}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.ForStmt:
			n.X = wrap(n.X)
		case *syntax.ForClause:
			n.X = wrap(n.X)
		}
		return true
	})
}

// iterate is the function that iterateText wraps around what is iterated over.
func iterate(a arguments) (any, error) {
	var value starlark.Value
	err := a.unpack("value", &value)
	if text, ok := starlark.AsString(value); ok {
		return strings.Split(text, ""), nil
	}
	return value, err
}

// consoleModules can be imported.
const consoleModules = " sys os os.path json math time "

// inOtherWords translates a Python statement, up to the end of its line, into
// Starlark; "" if it can't.
func inOtherWords(statement string) (string, error) {
	statement = strings.TrimRight(statement, " \t\r;")
	keyword, rest, _ := strings.Cut(statement, " ")
	rest = strings.TrimSpace(rest)
	next := "" // statement on the same line
	if keyword == "import" || keyword == "from" {
		rest, next, _ = strings.Cut(rest, ";")
		next = strings.TrimSuffix("; "+strings.TrimSpace(next), "; ")
	}
	switch {
	case keyword == "is" && strings.HasPrefix(rest, "not "):
		return "!= " + rest[4:], nil
	case keyword == "is":
		return "== " + rest, nil
	case keyword == "raise" && rest != "":
		return "__raise__(" + rest + ")", nil
	case keyword == "import":
		var said []string
		for _, module := range strings.Split(rest, ",") {
			name, as, renamed := strings.Cut(strings.TrimSpace(module), " as ")
			if name = strings.TrimSpace(name); !strings.Contains(consoleModules, " "+name+" ") {
				return "", fmt.Errorf("the console has no module %s: its language is Starlark, see slapos console --help", name)
			}
			if renamed {
				said = append(said, strings.TrimSpace(as)+" = "+name)
			}
		}
		return strings.Join(append(said, "pass"), "; ") + next, nil
	case keyword == "from":
		module, names, _ := strings.Cut(rest, " import ")
		if module = strings.TrimSpace(module); module == "__future__" {
			return "pass" + next, nil
		}
		if !strings.Contains(consoleModules, " "+module+" ") {
			return "", fmt.Errorf("the console has no module %s: its language is Starlark, see slapos console --help", module)
		}
		var said []string
		for _, name := range strings.Split(strings.Trim(names, "()"), ",") {
			name, as, renamed := strings.Cut(strings.TrimSpace(name), " as ")
			if !renamed {
				as = name
			}
			said = append(said, strings.TrimSpace(as)+" = "+module+"."+strings.TrimSpace(name))
		}
		return strings.Join(said, "; ") + next, nil
	}
	return "", nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	starlarkmath "go.starlark.net/lib/math"
	"go.starlark.net/starlark"

	"slapos/cmd/slapos/pytext"
	"slapos/slap/clock"
	"slapos/slap/pyjson"
)

// names are what every script starts with (CLI-55).
func (s *Session) names() starlark.StringDict {
	product := s.productNames()
	names := starlark.StringDict{
		"__name__":         starlark.String("slapos.client"),
		"slap":             s.library(),
		"request":          builtin("request", s.request),
		"supply":           builtin("supply", s.supply),
		"getInformation":   builtin("getInformation", s.information),
		"computer":         builtin("computer", s.registerComputer),
		"product":          product,
		"software_product": product,
		"json":             &entity{name: "module json", attributes: methods(map[string]function{"loads": jsonLoads, "dumps": jsonDumps})},
		"math":             starlarkmath.Module,
		"os":               s.osModule(),
		"time":             &entity{name: "module time", attributes: methods(map[string]function{"time": s.now, "sleep": s.sleep})},
		"print":            builtin("print", s.print),
		"str":              builtin("str", convert("", pythonText)),
		"repr":             builtin("repr", convert("", func(v starlark.Value) string { return pythonLiteral(v, 0) })),
		"exit":             builtin("exit", s.exit),
		"quit":             builtin("quit", s.exit),
		"__iterate__":      builtin("iterate", iterate),
		"__raise__":        builtin("raise", raise),
	}
	for _, kind := range []string{
		"Exception", "AssertionError", "AttributeError", "KeyError", "IOError", "OSError", "RuntimeError", "SystemExit",
		"TypeError", "ValueError", "NotFoundError", "ResourceNotReady", "ServerError",
	} {
		names[kind] = builtin(kind, exception(kind))
	}
	return names
}

func convert(none string, text func(starlark.Value) string) function {
	return func(a arguments) (any, error) {
		var value starlark.Value = starlark.String(none)
		err := a.unpack("value?", &value)
		return text(value), err
	}
}

func (s *Session) print(a arguments) (any, error) {
	separator, end := " ", "\n"
	var file starlark.Value
	var flush bool
	options := arguments{name: a.name, args: nil, keyword: a.keyword}
	if err := options.unpack("sep?", &separator, "end?", &end, "file?", &file, "flush?", &flush); err != nil {
		return nil, err
	}
	texts := make([]string, len(a.args))
	for i, value := range a.args {
		texts[i] = pythonText(value)
	}
	w := s.options.Stdout
	if file != nil && file.Type() == "stderr" {
		w = s.options.Stderr
	}
	_, err := io.WriteString(w, strings.Join(texts, separator)+end)
	return nil, err
}

// productNames resolves product.NAME to the best release (CLI-48).
func (s *Session) productNames() *entity {
	return &entity{name: "SoftwareProductCollection", lookup: func(name string) (starlark.Value, error) {
		url, err := s.options.Product(s.ctx, name)
		return starlark.String(url), err
	}}
}

func (s *Session) sysModule(argv *starlark.List) *entity {
	return &entity{name: "module sys", attributes: starlark.StringDict{
		"argv":   argv,
		"exit":   builtin("exit", s.exit),
		"stdin":  &entity{name: "stdin", attributes: fileMethods(s.options.Stdin)},
		"stdout": &entity{name: "stdout", attributes: methods(map[string]function{"write": writer(s.options.Stdout)})},
		"stderr": &entity{name: "stderr", attributes: methods(map[string]function{"write": writer(s.options.Stderr)})},
	}}
}

func writer(w io.Writer) function {
	return func(a arguments) (any, error) {
		var text string
		if err := a.unpack("text", &text); err != nil {
			return nil, err
		}
		_, err := io.WriteString(w, text)
		return nil, err
	}
}

func fileMethods(r io.Reader) starlark.StringDict {
	return methods(map[string]function{
		"read": noArguments(func() (any, error) {
			data, err := io.ReadAll(r)
			return string(data), err
		}),
	})
}

// exit is sys.exit: a number is the exit code, another value the error message.
func (s *Session) exit(a arguments) (any, error) {
	var status starlark.Value = starlark.None
	if err := a.unpack("status?", &status); err != nil {
		return nil, err
	}
	return nil, exitWith(status)
}

func exitWith(status starlark.Value) error {
	switch status := status.(type) {
	case starlark.NoneType:
		return &ExitError{Code: 0}
	case starlark.Int:
		code, _ := status.Int64()
		return &ExitError{Code: int(code & 0xff)}
	}
	return &ExitError{Code: 1, Err: errors.New(pythonText(status))}
}

// exception makes a value for raise.
func exception(kind string) function {
	return func(a arguments) (any, error) {
		var detail starlark.Value = starlark.None
		if err := a.unpack("detail?", &detail); err != nil {
			return nil, err
		}
		return &entity{name: kind, attributes: starlark.StringDict{"args": starlark.Tuple{detail}}}, nil
	}
}

// raise ends the script with an exception.
func raise(a arguments) (any, error) {
	var value starlark.Value
	if err := a.unpack("exception", &value); err != nil {
		return nil, err
	}
	kind, detail := "", value
	if e, ok := value.(*entity); ok {
		args, _ := e.attributes["args"].(starlark.Tuple)
		kind, detail = e.name, append(args, starlark.None)[0]
	} else if b, ok := value.(*starlark.Builtin); ok {
		kind, detail = b.Name(), starlark.None
	}
	switch {
	case kind == "SystemExit":
		return nil, exitWith(detail)
	case detail == starlark.None:
		return nil, errors.New(kind)
	case kind == "":
		return nil, errors.New(pythonText(detail))
	}
	return nil, fmt.Errorf("%s: %s", kind, pythonText(detail))
}

func (s *Session) osModule() *entity {
	environ := pytext.NewObject()
	for _, variable := range s.options.Environ {
		name, value, _ := strings.Cut(variable, "=")
		environ.Set(name, value)
	}
	table, _ := toStarlark(environ)
	path := methods(map[string]function{
		"basename": onPath(func(path string) any { return filepath.Base(path) }),
		"dirname":  onPath(func(path string) any { return filepath.Dir(path) }),
		"abspath":  onPath(func(path string) any { absolute, _ := filepath.Abs(path); return absolute }),
		"exists":   onPath(func(path string) any { _, err := os.Stat(path); return err == nil }),
		"expanduser": onPath(func(path string) any {
			return s.options.ExpandUser(path)
		}),
		"join": func(a arguments) (any, error) {
			joined := ""
			for _, part := range a.args {
				text, ok := starlark.AsString(part)
				if !ok {
					return nil, fmt.Errorf("join: a path must be text, not a %s", part.Type())
				}
				if joined == "" || filepath.IsAbs(text) {
					joined = text
				} else {
					joined = strings.TrimSuffix(joined, "/") + "/" + text
				}
			}
			return joined, nil
		},
	})
	return &entity{name: "module os", attributes: starlark.StringDict{
		"environ": table,
		"path":    &entity{name: "module os.path", attributes: path},
		"getcwd":  builtin("getcwd", noArguments(func() (any, error) { return os.Getwd() })),
		"getenv": builtin("getenv", func(a arguments) (any, error) {
			var name string
			var otherwise starlark.Value = starlark.None
			if err := a.unpack("key", &name, "default?", &otherwise); err != nil {
				return nil, err
			}
			if value, found := environ.Get(name); found {
				return value, nil
			}
			return otherwise, nil
		}),
	}}
}

func onPath(call func(path string) any) function {
	return func(a arguments) (any, error) {
		var path string
		err := a.unpack("path", &path)
		return call(path), err
	}
}

func (s *Session) now(a arguments) (any, error) {
	return float64(s.options.Now().UnixMicro()) / 1e6, a.unpack()
}

func (s *Session) sleep(a arguments) (any, error) {
	var value starlark.Value
	if err := a.unpack("seconds", &value); err != nil {
		return nil, err
	}
	seconds, ok := starlark.AsFloat(value)
	if !ok {
		return nil, fmt.Errorf("sleep: seconds must be a number, not a %s", value.Type())
	}
	return nil, clock.Pause(s.ctx, time.Duration(seconds*float64(time.Second)))
}

func jsonLoads(a arguments) (any, error) {
	var text string
	if err := a.unpack("s", &text); err != nil {
		return nil, err
	}
	return pyjson.Parse([]byte(text))
}

func jsonDumps(a arguments) (any, error) {
	var value starlark.Value
	var indent starlark.Value = starlark.None
	var sortKeys bool
	if err := a.unpack("obj", &value, "indent?", &indent, "sort_keys?", &sortKeys); err != nil {
		return nil, err
	}
	sent, err := fromStarlark(value)
	if err != nil {
		return nil, err
	}
	if sortKeys {
		sent = pyjson.Plain(sent)
	}
	if indent == starlark.None {
		return pytext.EncodeJSONLine(sent), nil
	}
	return pytext.EncodeJSON(sent), nil
}

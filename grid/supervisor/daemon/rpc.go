// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/ochinchina/supervisord/faults"

	"slapos/grid/supervisor/xmlrpc"
)

// method is a method that clients can call. Its signature is the type of its
// result, then those of its parameters; the last optional ones may be left out.
type method struct {
	signature string
	optional  int
	help      string
	call      func(d *daemon, ctx context.Context, args arguments) (any, error)
}

// methods has all methods. Those of the supervisor's own namespace run with the
// lock held, and are refused during shutdown, except those in [anytime].
var methods map[string]method

// anytime has the methods that work during shutdown, too.
var anytime = map[string]bool{
	"supervisor.sendRemoteCommEvent": true,
	"system.listMethods":             true, "system.methodHelp": true,
	"system.methodSignature": true, "system.multicall": true,
}

// aliases are older names.
var aliases = map[string]string{
	"supervisor.getVersion":      "supervisor.getAPIVersion",
	"supervisor.readMainLog":     "supervisor.readLog",
	"supervisor.readProcessLog":  "supervisor.readProcessStdoutLog",
	"supervisor.tailProcessLog":  "supervisor.tailProcessStdoutLog",
	"supervisor.clearProcessLog": "supervisor.clearProcessLogs",
}

func init() {
	methods = map[string]method{
		"system.listMethods": {signature: "array", optional: 0, help: "The names of all methods.", call: func(*daemon, context.Context, arguments) (any, error) {
			return slices.Sorted(maps.Keys(methods)), nil
		}},
		"system.methodHelp": {signature: "string string", optional: 0, help: "What a method does.", call: func(_ *daemon, _ context.Context, args arguments) (any, error) {
			m, err := known(args.text(0))
			return m.help, err
		}},
		"system.methodSignature": {signature: "array string", optional: 0, help: "The types of a method: of its value, then of its parameters.",
			call: func(_ *daemon, _ context.Context, args arguments) (any, error) {
				m, err := known(args.text(0))
				return strings.Fields(m.signature), err
			}},
		"system.multicall": {signature: "array array", optional: 0, help: "Calls several methods, one after the other. Each call is a struct of methodName and params; " +
			"each result is a value, or a struct of faultCode and faultString.", call: (*daemon).multicall},
	}
	maps.Copy(methods, supervisorMethods)
	maps.Copy(methods, processMethods)
	maps.Copy(methods, logMethods)
	for alias, name := range aliases {
		methods[alias] = methods[name]
	}
}

// known finds a method for the system namespace.
func known(name string) (method, error) {
	m, found := methods[name]
	if !found {
		return m, xmlrpc.NewFault(faults.SignatureUnsupported, "")
	}
	return m, nil
}

// arguments are the parameters of a call, already of the right types.
type arguments []any

func (a arguments) text(i int) string { s, _ := a[i].(string); return s }
func (a arguments) number(i int) int  { n, _ := a[i].(int); return n }

// flag is a parameter that is true if left out.
func (a arguments) flag(i int) bool {
	if i >= len(a) {
		return true
	}
	b, _ := a[i].(bool)
	return b
}

// waiting is what [daemon.each] waits for: until, or nothing if parameter i forbids
// that.
func (a arguments) waiting(i int, until string) string {
	if !a.flag(i) {
		return ""
	}
	return until
}

// call calls a method by its name.
func (d *daemon) call(ctx context.Context, name string, params []any) (any, error) {
	m, found := methods[name]
	if !found {
		return nil, xmlrpc.NewFault(faults.UnknownMethod, "")
	}
	types := strings.Fields(m.signature)[1:]
	if len(params) > len(types) || len(params) < len(types)-m.optional {
		return nil, xmlrpc.NewFault(faults.IncorrectParameters, "")
	}
	args := make(arguments, len(params))
	for i, param := range params {
		if args[i], found = convert(param, types[i]); !found {
			return nil, xmlrpc.NewFault(faults.IncorrectParameters, "")
		}
	}
	if strings.HasPrefix(name, "system.") {
		return m.call(d, ctx, args)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != supervisorRunning && !anytime[name] {
		return nil, xmlrpc.NewFault(faults.ShutdownState, "")
	}
	return m.call(d, ctx, args)
}

// convert accepts values that come close enough to a type: anything for
// booleans, as Python does; booleans for integers; base64 for strings.
func convert(value any, wanted string) (any, bool) {
	if wanted == "boolean" {
		return isTrue(value), true
	}
	switch v := value.(type) {
	case string:
		return v, wanted == "string"
	case []byte:
		return string(v), wanted == "string"
	case bool:
		return number(v), wanted == "int"
	case int:
		return v, wanted == "int"
	case []any:
		return v, wanted == "array"
	}
	return nil, false
}

// isTrue returns the truth of a value in Python.
func isTrue(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	case []byte:
		return len(v) > 0
	}
	return !reflect.ValueOf(value).IsZero()
}

func (d *daemon) multicall(ctx context.Context, args arguments) (any, error) {
	calls, _ := args[0].([]any)
	results := make([]any, 0, len(calls))
	for _, item := range calls {
		call, _ := item.(map[string]any)
		name, _ := call["methodName"].(string)
		params, _ := call["params"].([]any)
		var value any
		var err error
		switch name {
		case "":
			err = xmlrpc.NewFault(faults.IncorrectParameters, "No methodName")
		case "system.multicall":
			err = xmlrpc.NewFault(faults.IncorrectParameters, "Recursive system.multicall forbidden")
		default:
			// What is left of several calls can't be handed over: ctx has no connection.
			value, err = d.call((*connection)(nil).with(ctx), name, params)
		}
		if err != nil {
			fault := asFault(err)
			value = map[string]any{"faultCode": fault.Code, "faultString": fault.Text}
		}
		results = append(results, value)
	}
	return results, nil
}

// asFault turns an error into the answer to its call.
func asFault(err error) *xmlrpc.Fault {
	var fault *xmlrpc.Fault
	if errors.As(err, &fault) {
		return fault
	}
	return xmlrpc.NewFault(faults.Failed, err.Error())
}

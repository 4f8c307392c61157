// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/pyjson"
	"slapos/slap/schema"
)

type requestOptions struct {
	clientOptions
	reference, url string
	node           cli.StringSlice
	softwareType   string
	state          string
	shared         bool
	serialisation  string
	parameters     cli.StringSlice
	parametersFile string
	json           bool
	wait           string
	timeout        int
}

func (o *requestOptions) flags() []cli.Flag {
	return []cli.Flag{
		clientConfigFlag(&o.configuration),
		argv.Words(&o.node, "node", "where the instance may run, as `KEY=VALUE`: computer_guid=COMP-1234"),
		&cli.StringFlag{Name: "type", Destination: &o.softwareType, Usage: "software type (default: default)"},
		&cli.StringFlag{Name: "state", Destination: &o.state, Usage: "requested state: started, stopped or destroyed (default: as it is, started when new)"},
		&cli.BoolFlag{Name: "slave", Destination: &o.shared, Usage: "ask for a shared instance of one that runs already"},
		argv.ChoiceFlag(&o.serialisation, "force-serialisation", "how the parameters of a file are sent (default: as the release declares)",
			"", string(schema.XML), string(schema.JSONInXML)),
		argv.Words(&o.parameters, "parameters", "instance parameters, as `KEY=VALUE`"),
		&cli.StringFlag{Name: "parameters-file", Destination: &o.parametersFile, Usage: "read the instance parameters from `FILE`"},
		argv.Optional(&o.wait, "wait", "wait until the instance is as requested, or, with --wait=STATE, until it is running, stopped or destroyed",
			"started", string(slap.ConditionRunning), string(slap.ConditionStopped), string(conditionDestroyed)),
		waitTimeoutFlag(&o.timeout),
		jsonFlag(&o.json, "print the instance as JSON on standard output"),
	}
}

func newRequestCommand(e *environment) *cli.Command {
	options := new(requestOptions)
	return &cli.Command{
		Name:      "request",
		Usage:     "request or change an instance, and show what it published",
		Category:  "client",
		ArgsUsage: "REFERENCE SOFTWARE_URL",
		Description: `Asks the master for the instance REFERENCE of the software release at
SOFTWARE_URL, or changes it if it exists, and prints what it published.
product.NAME stands for the best release of a software product.

A parameters file is read as YAML if its name ends in .yaml or .yml, as XML if
it ends in .xml, otherwise as JSON; - is standard input. Parameters are
compared with the schema that the release names in SOFTWARE_URL.json;
parameters that don't fit cause a warning, and are requested all the same.

With --json, prints a ready instance as an object with the keys reference,
software-url, software-type, requested-state, connection-parameters.

Options that take several values take all words up to the next option: put
REFERENCE and SOFTWARE_URL before them.

With --wait, goes on until the node has done what is requested, and ends at once
with the end of the log if the instance or its release failed. Only a local
master of this program can tell.

Exit codes: 0 the instance is there; 1 failed; 2 it isn't ready yet: run the
command again in a few minutes or with --wait, or wrong usage; 124 --timeout
passed.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			if err := argv.Exclusive(c, "parameters", "parameters-file"); err != nil {
				return err
			}
			options.reference, options.url = c.Args().Get(0), c.Args().Get(1)
			if options.reference == "" || options.url == "" {
				return argv.UsageErrorf("REFERENCE and SOFTWARE_URL are not empty: slapos request my-instance URL")
			}
			return runRequest(c.Context, e, *options)
		},
	}
}

// noSchema is an address that stands for a release without schema (CLI-52).
const noSchema = "http://git.erp5.org/gitweb/slapos.git/blob_plain/HEAD:/software/apache-frontend/software.cfg"

func runRequest(ctx context.Context, e *environment, options requestOptions) error {
	file, err := e.openParameters(ctx, options.parametersFile)
	if err != nil {
		return err
	}
	node, err := keyValues("--node", options.node.Value())
	if err != nil {
		return err
	}
	parameters, err := keyValues("--parameters", options.parameters.Value())
	if err != nil {
		return err
	}
	client, err := e.openClient(options.clientOptions)
	if err != nil {
		return err
	}
	defer client.Close()
	fill(&options.softwareType, client.defaults["type"])
	fill(&options.state, client.defaults["state"])
	if !slices.Contains([]string{"", string(slap.StateStarted), string(slap.StateStopped), string(slap.StateDestroyed)}, options.state) {
		e.log.Warn("No node knows the state " + options.state + ": use started, stopped or destroyed")
	}
	e.log.Info(fmt.Sprintf("Validating request parameters for %s as an instance of %s ...", options.reference, options.url))
	url, err := e.softwareURL(ctx, client, options.url)
	if err != nil {
		return err
	}
	software := newSoftwareSchema(e, url, options.softwareType)
	if file != nil {
		if parameters, err = readParameters(ctx, options.parametersFile, file, schema.Serialisation(options.serialisation), software); err != nil {
			return err
		}
	}
	if url != noSchema {
		e.warnMismatch(software.validate(ctx, parameters))
	}
	e.log.Info(fmt.Sprintf("Requesting %s as an instance of %s ...", options.reference, url))
	request := slap.Request{
		SoftwareRelease: url,
		SoftwareType:    options.softwareType,
		Reference:       options.reference,
		Shared:          options.shared,
		Parameters:      pyjson.Plain(parameters).(slap.Dict),
		Filter:          pyjson.Plain(node).(slap.Dict),
		State:           slap.State(options.state),
	}
	fill(&request.SoftwareType, slap.DefaultSoftwareType)
	if computer, named := request.Filter["computer_guid"].(string); named {
		e.tellUnknownNode(ctx, client, computer)
	}
	var instance *slap.Instance
	if options.wait == "" {
		if instance, err = e.request(ctx, client, request); err == nil {
			e.tellUnsupplied(ctx, client, request)
		}
	} else {
		instance, err = e.requestDone(ctx, client, options, request)
	}
	if err != nil {
		return err
	}
	connection, err := e.logInstance(ctx, instance, software)
	if err != nil || !options.json {
		return err
	}
	described := pytext.NewObject()
	described.Set("reference", request.Reference)
	described.Set("software-url", request.SoftwareRelease)
	described.Set("software-type", request.SoftwareType)
	described.Set("requested-state", string(instance.RequestedState))
	described.Set("connection-parameters", connection)
	return e.printJSON(described)
}

// request sends the request, and returns a ready instance (CLI-54).
func (e *environment) request(ctx context.Context, client *client, request slap.Request) (*slap.Instance, error) {
	instance, err := client.requested(ctx, request)
	if errors.Is(err, slap.ErrNotReady) {
		e.log.Warn("Instance requested. Master is provisioning it. Please rerun in a couple of minutes to get connection information.")
		return nil, &exitError{code: 2}
	}
	return instance, err
}

// requested sends the request; the error matches [slap.ErrNotReady] as long as the
// master provides the instance.
func (c *client) requested(ctx context.Context, request slap.Request) (*slap.Instance, error) {
	instance, err := c.Request(ctx, request)
	if err == nil {
		err = c.Complete(ctx, instance)
	}
	if errors.Is(err, slap.ErrNotFound) {
		return nil, fmt.Errorf("the master found no free partition for %s: supply its software to a node that has one (%w)", request.Reference, err)
	}
	return instance, err
}

// request sends a request until the master has the instance. One that is to be
// destroyed some masters never have: they answer "not yet", and take the request.
func (w *waiter) request(ctx context.Context, request slap.Request) (*slap.Instance, error) {
	var instance *slap.Instance
	err := w.until(ctx, func(ctx context.Context) (string, bool, error) {
		var err error
		instance, err = w.client.requested(ctx, request)
		if errors.Is(err, slap.ErrNotReady) && request.State == slap.StateDestroyed {
			instance, err = &slap.Instance{RequestedState: request.State, ConnectionParameters: slap.Dict{}}, nil
		}
		return "", true, err
	})
	return instance, err
}

// requestDone requests, waits for what was requested, and returns the instance as it
// is then.
func (e *environment) requestDone(ctx context.Context, client *client, options requestOptions, request slap.Request) (*slap.Instance, error) {
	wanted := conditionOf(options.wait, request.State)
	w := &waiter{e: e, client: client, subject: request.Reference, timeout: options.timeout}
	instance, err := w.request(ctx, request)
	if err != nil {
		return nil, err
	}
	e.tellUnsupplied(ctx, client, request)
	if err := w.instance(ctx, slap.InstanceGUID(request.Reference, "", request.Shared), request.Reference, wanted); err != nil {
		return nil, err
	}
	if wanted == conditionDestroyed || request.State == slap.StateDestroyed {
		return instance, nil
	}
	return w.request(ctx, request)
}

// tellUnsupplied warns of an instance that waits for a release which nobody supplied
// to its node.
func (e *environment) tellUnsupplied(ctx context.Context, client *client, request slap.Request) {
	if request.Shared || request.State == slap.StateDestroyed {
		return
	}
	status, err := client.InstanceStatus(ctx, slap.InstanceGUID(request.Reference, "", false))
	if err != nil || status.Actual.Condition != slap.ConditionWaiting {
		return // nothing that this master can tell
	}
	if _, err := client.ReleaseStatus(ctx, status.SoftwareRelease, status.Computer); errors.Is(err, slap.ErrNotFound) {
		e.log.Warn(fmt.Sprintf("Nobody supplied %s to %s: slapos supply %s %s", status.SoftwareRelease, status.Computer,
			shellWord(status.SoftwareRelease), shellWord(status.Computer)))
	}
}

// logInstance logs what an instance published (CLI-53), and returns its
// connection parameters decoded.
func (e *environment) logInstance(ctx context.Context, instance *slap.Instance, software *softwareSchema) (any, error) {
	e.log.Info("Instance requested.\nState is : " + string(instance.RequestedState) + ".")
	e.log.Info("Connection parameters of instance are:")
	connection, err := instance.Connection()
	if err != nil {
		return nil, err
	}
	decoded, err := serialised(connection, software.serialisation(ctx))
	if err != nil {
		return nil, fmt.Errorf("connection parameter _: %w", err)
	}
	e.log.InfoContext(asResult(ctx), pytext.PPrint(pyjson.Plain(decoded)))
	e.log.Info("You can rerun the command to get up-to-date information.")
	return decoded, nil
}

// warnMismatch warns of parameters that don't fit the schema (CLI-52), and of
// parts of the schema that they can't be compared with (D-34).
func (e *environment) warnMismatch(err error) {
	var found schema.Mismatch
	var incomplete *schema.Incomplete
	switch {
	case err == nil:
		return
	case errors.As(err, &incomplete):
		found = incomplete.Found
		e.log.Warn("Error validating request parameters against schema definition:\n" + err.Error())
	case !errors.As(err, &found):
		e.log.Warn("Error validating request parameters against schema definition:\n" + err.Error())
	}
	if len(found) > 0 {
		e.log.Warn("Request parameters do not validate against schema definition:\n  " + strings.ReplaceAll(found.Error(), "\n", "\n  "))
	}
}

// keyValues reads the words of an option, of the form key=value (CLI-50).
func keyValues(option string, words []string) (*pytext.Object, error) {
	o := pytext.NewObject()
	for _, word := range words {
		key, value, found := strings.Cut(word, "=")
		if !found {
			return nil, fmt.Errorf("argument %s: %q is not of the form key=value", option, word)
		}
		if slices.Contains(o.Keys(), key) {
			return nil, sentencef("Multiple values provided for the same key '%s'", key)
		}
		o.Set(key, value)
	}
	return o, nil
}

// openParameters reads the file early: a missing file is wrong usage.
func (e *environment) openParameters(ctx context.Context, name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	read := func() ([]byte, error) { return os.ReadFile(name) }
	if name == "-" {
		read = func() ([]byte, error) { return e.readInput(ctx) }
	}
	data, err := read()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		var named *fs.PathError
		if errors.As(err, &named) { // which repeats the name
			err = named.Err
		}
		return nil, argv.UsageErrorf("argument --parameters-file: can't open '%s': %v", name, err)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// readParameters decodes a parameters file, and puts its content under "_" if
// the release expects that (CLI-51).
func readParameters(ctx context.Context, name string, data []byte, s schema.Serialisation, software *softwareSchema) (*pytext.Object, error) {
	if s == "" {
		var err error
		if s, err = software.declared(ctx); err != nil {
			return nil, fmt.Errorf("%w: use --force-serialisation xml or json-in-xml", err)
		}
	}
	var value any
	var err error
	switch kind := filepath.Ext(name); {
	case kind == ".xml": // which may say that it has another encoding
		var parameters slap.Dict
		if parameters, err = readXMLParameters(data); err == nil {
			return pytext.Sorted(parameters), nil
		}
	case !utf8.Valid(data):
		err = slap.ErrNotUTF8
	case kind == ".yaml" || kind == ".yml":
		value, err = pytext.DecodeYAML(data)
	default:
		value, err = pyjson.Parse(data)
	}
	if line := lineOutsideUTF8(data); line > 0 && errors.Is(err, slap.ErrNotUTF8) {
		return nil, fmt.Errorf("%s:%d: not UTF-8: save the file in that encoding", name, line)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	parameters, ok := value.(*pytext.Object)
	if value == nil { // an empty YAML file
		parameters, ok = pytext.NewObject(), true
	}
	if !ok {
		return nil, fmt.Errorf("%s: parameters must be an object", name)
	}
	if s == schema.JSONInXML && !slices.Equal(parameters.Keys(), []string{"_"}) {
		wrapped := pytext.NewObject()
		wrapped.Set("_", pytext.EncodeJSON(parameters))
		return wrapped, nil
	}
	return parameters, nil
}

// readXMLParameters reads an <instance> document. The last of several values of
// an id counts, as for slapos.core's client.
func readXMLParameters(data []byte) (slap.Dict, error) {
	list, err := slap.ListInstance(data)
	if err != nil {
		return nil, err
	}
	parameters := slap.Dict{}
	for _, parameter := range list {
		parameters[parameter.ID] = nil
		if parameter.Text != "" {
			parameters[parameter.ID] = parameter.Text
		}
	}
	return parameters, nil
}

// lineOutsideUTF8 is the number of the first line that is not UTF-8; 0: all are.
func lineOutsideUTF8(data []byte) int {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if !utf8.Valid(line) {
			return number
		}
	}
	return 0
}

// fill gives an option that is empty another value.
func fill(option *string, value string) {
	if *option == "" {
		*option = value
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/schema"
)

// schemaTimeout bounds how long a page waits for the schema of a release.
const schemaTimeout = 10 * time.Second

// fieldsTimeout bounds the choice of fields: after it, choices stay open.
const fieldsTimeout = 3 * time.Second

// requestPage is the form of a request. Without a release it asks for one
// first.
type requestPage struct {
	store.Name
	// Exists is true when the form changes an instance.
	Exists bool

	Release      string
	Releases     []string // known ones, to choose from
	Type         string   // key of the index, or a software type
	Types        []schema.Type
	Description  string
	State        string
	Computer     string
	Computers    []string
	Fields       []field
	Others       string // parameters without field, as JSON
	OthersFit    bool   // whether the schema admits any
	AsJSON       bool   // how they are sent, when the release doesn't say
	Undeclared   bool
	Typed        string // a release that nobody knows, before it is looked at
	SchemaAt     string
	SchemaBroken string
	Problems     []schema.Problem
	Flaws        []schema.Flaw // parts of the schema without fields
	Full         bool          // it describes more than a form can hold
	// Insist is offered when parameters don't fit the schema.
	Insist bool

	chosen schema.Type
	schema *schema.Schema
	sent   schema.Serialisation
}

// requestForm shows the form: empty for a new instance, filled with what is
// known for one that exists.
func (p *Panel) requestForm(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	page, err := p.newRequestPage(r, nameOf(query), query)
	if err != nil {
		return err
	}
	return p.showRequest(w, r, page)
}

func (p *Panel) showRequest(w http.ResponseWriter, r *http.Request, page *requestPage) error {
	a, problem := answers{values: map[string]any{}}, ""
	if page.Exists {
		instance, err := p.store.Instance(r.Context(), page.Name)
		if err != nil {
			return missing(err)
		}
		a.values = page.decode(instance.Parameters)
		if a.problems = page.check(r.Context(), a.values); len(a.problems) > 0 {
			problem = mismatching(len(a.problems), "stored value")
		}
	}
	page.fill(r.Context(), a)
	return p.show(w, r, http.StatusOK, "request.html", page.view(problem))
}

func mismatching(n int, what string) string {
	if n == 1 {
		return "1 " + what + " doesn't match the schema of the release."
	}
	return fmt.Sprintf("%d %ss don't match the schema of the release.", n, what)
}

func (page *requestPage) view(problem string) view {
	title := "Request an instance"
	if page.Exists {
		title = "Change instance " + page.Title
	}
	return view{Title: title, Problem: problem, Page: page}
}

// newRequestPage finds out what the form is about: the instance, its release
// and the release's description of parameters.
func (p *Panel) newRequestPage(r *http.Request, name store.Name, values url.Values) (*requestPage, error) {
	ctx := r.Context()
	page := &requestPage{Name: name, Release: strings.TrimSpace(values.Get("release")), Type: values.Get("type"),
		Computer: values.Get("computer"), State: values.Get("state")}
	if page.Computer == "" {
		page.Computer = p.options.Computer
	}
	if name.Title != "" {
		if err := p.complete(ctx, page); err != nil {
			return nil, err
		}
	}
	if values.Has("serialisation") {
		page.AsJSON = values.Get("serialisation") == string(schema.JSONInXML)
	}
	var err error
	if page.Computers, page.Releases, err = p.choices(ctx); err != nil {
		return nil, err
	}
	if page.State == "" {
		page.State = string(store.DefaultState)
	}
	if page.Release == "" {
		return page, nil
	}
	// Any page of the web can have a browser ask for this one.
	if r.Method != http.MethodPost {
		known, err := p.knows(ctx, page.Release, page.Releases)
		if err != nil {
			return nil, err
		}
		if !known {
			page.Release, page.Typed = "", page.Release
			return page, nil
		}
	}
	if isFile(page.Release) && !isHere(r) {
		page.SchemaBroken = "a release of this machine's files is read for browsers of this machine only"
		page.sent, page.Undeclared = page.chosenSerialisation(), true
		return page, nil
	}
	page.readSchema(ctx)
	return page, nil
}

// complete completes the form of an instance that exists.
func (p *Panel) complete(ctx context.Context, page *requestPage) error {
	instance, err := p.store.Instance(ctx, page.Name)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNoHost):
		return nil
	case err != nil:
		return err
	}
	page.Exists = true
	page.Computer = instance.Partition.ID.Computer
	if page.Release == "" {
		page.Release = instance.Partition.SoftwareRelease
	}
	if page.Type == "" {
		page.Type = instance.SoftwareType
	}
	if page.State == "" {
		page.State = instance.State
	}
	_, underscore := instance.Parameters["_"]
	page.AsJSON = underscore && len(instance.Parameters) == 1
	return nil
}

// maximumChoices bounds the releases that a form lists, and the computers that it has
// a choice of: of more, one is typed.
const maximumChoices = 100

// Listed are the first of the releases to choose from.
func (page *requestPage) Listed() []string {
	return page.Releases[:min(len(page.Releases), maximumChoices)]
}

// choices are the computers and the releases that the master knows.
func (p *Panel) choices(ctx context.Context) (computers, releases []string, err error) {
	o, err := p.store.Overview(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, node := range o.Nodes {
		computers = append(computers, node.Computer)
	}
	for _, release := range o.Releases {
		if release.State == slap.StateAvailable {
			releases = append(releases, release.URL)
		}
	}
	if !slices.Contains(computers, p.options.Computer) {
		computers = append(computers, p.options.Computer)
	}
	slices.Sort(releases)
	return computers, slices.Compact(releases), nil
}

// knows reports whether a release was supplied or requested (PROXY-185).
func (p *Panel) knows(ctx context.Context, release string, supplied []string) (bool, error) {
	if slices.Contains(supplied, release) {
		return true, nil
	}
	instances, err := p.store.List(ctx, store.Running(release))
	return len(instances) > 0, err
}

// isFile reports whether a release is a file on this machine.
func isFile(release string) bool {
	return !strings.HasPrefix(release, "http://") && !strings.HasPrefix(release, "https://")
}

// isHere reports whether a client is on this machine, and not behind a proxy.
func isHere(r *http.Request) bool {
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && client.Addr().Unmap().IsLoopback()
}

// readSchema reads what the release says about its parameters. A release
// without a schema accepts everything.
func (page *requestPage) readSchema(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	release, err := schema.Read(ctx, page.Release)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			page.SchemaBroken = err.Error()
		}
		page.sent, page.Undeclared = page.chosenSerialisation(), true
		return
	}
	page.Types, page.Description = release.Types, release.Description
	if page.Type == "" && len(release.Types) > 0 {
		page.Type = release.Types[0].Key
	}
	found, ok := page.typeIn(release)
	if page.sent, err = release.Serialisation(); ok {
		page.sent, err = found.Serialisation()
	}
	if err != nil {
		page.sent, page.Undeclared = page.chosenSerialisation(), true
	}
	if !ok {
		return
	}
	page.chosen, page.Type = found, found.Key
	if !page.Exists {
		page.Shared = found.Shared
	}
	page.Description = found.Description
	if found.Request == "" {
		return
	}
	page.SchemaAt = found.Request
	if page.schema, err = found.Compile(ctx); err != nil {
		page.SchemaBroken = err.Error()
	}
}

// typeIn finds the type in the index, by its key or, for an instance, by what
// was requested.
func (page *requestPage) typeIn(release *schema.Release) (schema.Type, bool) {
	if page.Exists {
		for _, t := range release.Types {
			if t.SoftwareType == page.Type && t.Shared == page.Shared {
				return t, true
			}
		}
	}
	return release.Type(page.Type)
}

func (page *requestPage) chosenSerialisation() schema.Serialisation {
	if page.AsJSON {
		return schema.JSONInXML
	}
	return schema.XML
}

// fill makes the fields.
func (page *requestPage) fill(ctx context.Context, a answers) {
	page.Problems, page.OthersFit = a.problems, true
	values := a.values
	if page.schema != nil {
		ctx, cancel := context.WithTimeout(ctx, fieldsTimeout)
		defer cancel()
		page.Flaws = page.schema.Flaws
		b := builder{ctx: ctx, schema: page.schema, answers: a}
		page.Fields, values = b.all()
		page.Full = b.full
		all := parts(page.schema.Schema, nil)
		page.OthersFit = !closed(all) && !describesMembers(all) || len(values) > 0 || page.Full
	}
	if len(values) > 0 {
		page.Others = jsonText(values)
	}
}

// decode takes stored parameters apart, as the release has them.
func (page *requestPage) decode(parameters slap.Dict) map[string]any {
	values := map[string]any{}
	if text, ok := parameters["_"].(string); ok && page.sent == schema.JSONInXML {
		if value, err := readJSON(text); err == nil {
			if members, isObject := value.(map[string]any); isObject {
				return members
			}
		}
	}
	for name, value := range parameters {
		values[name] = slap.PythonString(value)
	}
	if page.schema != nil {
		typed(page.schema.Schema, values)
	}
	return values
}

// encode is the opposite of decode.
func (page *requestPage) encode(values map[string]any) (slap.Dict, error) {
	if page.sent == schema.JSONInXML {
		if text, ok := values["_"].(string); ok && len(values) == 1 {
			return slap.Dict{"_": text}, nil
		}
		text, err := json.Marshal(values)
		return slap.Dict{"_": string(text)}, err
	}
	parameters := slap.Dict{}
	for name, value := range values {
		parameters[name] = wire(value)
	}
	return parameters, nil
}

// wire gives a value of JSON the type that it has in the protocol.
func wire(value any) any {
	switch value := value.(type) {
	case json.Number:
		if i, err := value.Int64(); err == nil {
			return i
		}
		if i, ok := new(big.Int).SetString(string(value), 10); ok {
			return i
		}
		f, _ := value.Float64() // too large is infinite
		return f
	case map[string]any:
		d := slap.Dict{}
		for name, member := range value {
			d[name] = wire(member)
		}
		return d
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = wire(item)
		}
		return list
	}
	return value
}

// request handles the form. Mismatches are shown beside the fields, and no
// input is lost.
func (p *Panel) request(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	page, err := p.newRequestPage(r, nameOf(form), form)
	if err != nil {
		return err
	}
	if form.Get("look") != "" {
		return p.showRequest(w, r, page)
	}
	a := answersOf(form)
	again := func(status int, problem string) error {
		page.fill(r.Context(), a)
		if _, err := readJSON(form.Get("j")); err != nil {
			page.Others = form.Get("j")
		}
		return p.show(w, r, status, "request.html", page.view(problem))
	}
	if r.URL.Query().Get("more") != "" { // fields, for what was chosen or added: its name comes later
		a.problems = slices.DeleteFunc(a.problems, func(p schema.Problem) bool { return strings.HasSuffix(p.Text, errNameless.Error()) })
		return again(http.StatusOK, "")
	}
	if page.Exists && form.Get("change") == "" {
		// The form was for a new one: it would overwrite what it doesn't show.
		page.Exists, page.Computer = false, form.Get("computer")
		return again(http.StatusConflict, "An instance with this name exists. Choose another name, or change that instance.")
	}
	switch {
	case page.Title == "" || page.Release == "":
		return again(http.StatusUnprocessableEntity, "An instance needs a name and a software release.")
	case strings.ContainsFunc(page.Title, unicode.IsControl):
		return again(http.StatusUnprocessableEntity, "A name must be a single line.")
	case page.Root != "":
		return again(http.StatusForbidden, "Only its requester can change this instance.")
	case len(a.problems) > 0:
		return again(http.StatusUnprocessableEntity, "Some parameters can't be read.")
	}
	if form.Get("insist") == "" {
		if found := page.check(r.Context(), a.values); len(found) > 0 {
			a.problems, page.Insist = found, true
			return again(http.StatusUnprocessableEntity, mismatching(len(found), "value"))
		}
	}
	order, err := page.order(a.values)
	if err == nil {
		_, err = slap.EncodeInstance(order.Parameters)
	}
	if err != nil {
		return again(http.StatusUnprocessableEntity, "These parameters can't be sent: "+err.Error())
	}
	at, err := p.options.Request(r, order)
	var full *store.AllocationError
	switch {
	case errors.As(err, &full):
		return again(http.StatusConflict, full.Reason+".")
	case err != nil:
		return err
	}
	return p.requested(w, r, page, at)
}

// requested shows the instance; one that another master has isn't here.
func (p *Panel) requested(w http.ResponseWriter, r *http.Request, page *requestPage, at slap.PartitionID) error {
	switch _, err := p.store.Instance(r.Context(), store.At(at)); {
	case errors.Is(err, store.ErrNotFound):
		return goTo(w, "./", url.Values{}, "forwarded")
	case err != nil:
		return err
	}
	return goTo(w, "instance", query(page.Name), "requested")
}

// check says what doesn't match the schema, as far as that can be used.
func (page *requestPage) check(ctx context.Context, values map[string]any) schema.Mismatch {
	text, err := json.Marshal(values)
	if err != nil || page.schema == nil {
		return nil
	}
	var found schema.Mismatch
	var incomplete *schema.Incomplete
	if err := page.schema.Check(ctx, text); errors.As(err, &incomplete) {
		found = incomplete.Found
	} else {
		errors.As(err, &found)
	}
	return found
}

func (page *requestPage) order(values map[string]any) (store.Order, error) {
	parameters, err := page.encode(values)
	if err != nil {
		return store.Order{}, err
	}
	softwareType := page.chosen.SoftwareType
	if softwareType == "" {
		softwareType = page.Type
	}
	if softwareType == "" {
		softwareType = slap.DefaultSoftwareType
	}
	return store.Order{Request: slap.Request{
		Reference: page.Title, SoftwareRelease: page.Release, SoftwareType: softwareType, Shared: page.Shared,
		Parameters: parameters, State: slap.State(page.State), Filter: slap.Dict{"computer_guid": page.Computer},
	}}, nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// rpcMethod is a method of the JSON-RPC face: the schemas of its input and of
// its answer, and what it does. An answer is an object, or []byte when it is
// encoded and checked already.
type rpcMethod struct {
	input, output string
	call          func(r *http.Request, input slap.Dict) (any, error)
}

//go:embed schemas.json
var schemaText []byte

// schemas are compiled once, all of them (D-18).
var schemas = sync.OnceValue(func() func(name string) *jsonschema.Schema {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaText))
	if err != nil {
		panic(err) // it is part of the program
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	if err := compiler.AddResource("slapos.json", document); err != nil {
		panic(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for name := range document.(map[string]any)["definitions"].(map[string]any) {
		compiled[name] = compiler.MustCompile("slapos.json#/definitions/" + name)
	}
	return func(name string) *jsonschema.Schema { return compiled[name] }
})

// rpc answers a method: input and answer are checked against its schemas
// (PROXY-90).
func (p *Proxy) rpc(method rpcMethod) handler {
	input, output := schemas()(method.input), schemas()(method.output)
	return func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, maximumInput)
		value, err := rpcInput(r)
		if err != nil {
			return err
		}
		if err := input.Validate(value); err != nil {
			return refuse(http.StatusBadRequest, "%s", violation(value, err))
		}
		document := numbers(value).(slap.Dict)
		if err := p.mayCall(r, document); err != nil {
			return err
		}
		answer, err := method.call(r, document)
		if err != nil {
			return rpcError(err)
		}
		body, done := answer.([]byte)
		if !done {
			if body, err = rpcEncode(output, answer.(object)); err != nil {
				return err
			}
		}
		if !acceptsJSON(r) {
			return errNotAcceptable
		}
		writeBytes(w, contentJSON, body)
		return nil
	}
}

// rpcEncode checks and encodes an answer.
func rpcEncode(output *jsonschema.Schema, answer object) ([]byte, error) {
	value := plain(answer)
	if err := output.Validate(value); err != nil {
		return nil, refuse(http.StatusInternalServerError, "%s", violation(value, err))
	}
	return pyjson.Spaced.Append(nil, answer)
}

// maximumInput bounds the body of a call (PROXY-180).
const maximumInput = 4 << 20

// rpcInput reads the body (PROXY-180).
func rpcInput(r *http.Request) (any, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	isJSON := kind == contentJSON || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")
	if !isJSON {
		return nil, refuse(http.StatusUnsupportedMediaType,
			"Did not attempt to load JSON data because the request Content-Type was not 'application/json'.")
	}
	value, err := readJSON(r.Body)
	var tooMuch *pyjson.BoundsError
	var unread *bodyError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooMuch):
		return nil, refuse(http.StatusBadRequest, "%s", tooMuch.Error())
	case errors.As(err, &unread), errors.As(err, &tooLong):
		return nil, err
	case err != nil:
		return nil, errBad
	}
	return value, nil
}

// numbers replaces the numbers of a document by those of SLAP.
func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		return pyjson.Number(v.String())
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = numbers(v[key])
		}
	}
	return value
}

// rpcError gives the errors of operations their status (PROXY-118).
func rpcError(err error) error {
	var full *store.AllocationError
	switch {
	case errors.As(err, &full):
		return refuse(http.StatusForbidden, "%s", err.Error())
	case errors.Is(err, store.ErrShared):
		return refuse(http.StatusForbidden, "NotImplemented")
	case errors.Is(err, slap.ErrConnection):
		return refuse(statusUnreachable, "%s", err.Error())
	}
	return err
}

var errNotAcceptable = &statusError{http.StatusNotAcceptable, "The resource identified by the request is only capable of " +
	"generating response entities which have content characteristics not acceptable according to the accept headers sent in the request."}

// failRPC answers an error in JSON (PROXY-91).
func (p *Proxy) failRPC(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errMethod) {
		p.failPage(w, r, err)
		return
	}
	status, expected := asStatus(err)
	if !expected {
		p.complain(r, err)
	}
	if status == errOurs {
		status = &statusError{http.StatusInternalServerError, "Internal server error"}
	}
	if !acceptsJSON(r) {
		status = errNotAcceptable
	}
	body, err := pyjson.Spaced.Append(nil, pyjson.Of(
		"status", status.status, "type", reason(status.status, "Unknown Error"), "title", status.message,
	))
	if err != nil {
		p.log.Error("an error can't be encoded", "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", contentJSON)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status.status)
	_, _ = w.Write(body)
}

// acceptsJSON reports whether the client accepts JSON, which is true if it
// doesn't say. A rule for JSON itself wins over one for all types.
func acceptsJSON(r *http.Request) bool {
	best, quality, silent := -1, 0.0, true
	for item := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		silent = false
		kind, parameters, _ := mime.ParseMediaType(item)
		precise := slices.Index([]string{"*/*", "application/*", contentJSON}, kind)
		if precise < 0 || precise < best {
			continue
		}
		q, err := strconv.ParseFloat(parameters["q"], 64)
		if err != nil {
			q = 1
		}
		if precise > best || q > quality {
			best, quality = precise, q
		}
	}
	return silent || quality > 0
}

func success(format string, args ...any) object {
	return pyjson.Of("type", "success", "title", fmt.Sprintf(format, args...))
}

// always is a method that answers the same to everybody.
func always(answer object) func(*http.Request, slap.Dict) (any, error) {
	return func(*http.Request, slap.Dict) (any, error) { return answer, nil }
}

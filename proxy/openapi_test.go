// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap/serve"
	"slapos/slap/testkit"
)

// TestOpenAPI has a validator of others read the description, and holds requests and
// answers of ours against its schemas (PROXY-200).
func TestOpenAPI(t *testing.T) {
	l := newLab(t, proxy.Options{Version: proxy.Version{Version: "1.2.3", Commit: "abc"}, Guard: serve.Guard{Names: []string{"cdn.example.com"}}})
	l.load(2)
	got := l.get("/openapi.json")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %s", got)
	}
	if said, err := validateOpenAPI(t, got.body); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if said, err := validateOpenAPI(t, strings.Replace(got.body, `"operationId"`, `"operationID"`, 1)); err == nil || !strings.Contains(said, "operationID") {
		t.Errorf("a description with a wrong name is valid: %v\n%s", err, said)
	}
	described := readOpenAPI(t, got.body)
	for _, c := range []struct {
		method, input string
		status        int
	}{
		{"slapos.post.v0.software_installation", `{"software_release_uri": "u", "computer_guid": "local_computer"}`, 200},
		{"slapos.post.v0.software_instance", `{"title": "one", "software_release_uri": "u", "software_type": "default"}`, 200},
		{"slapos.get.v0.software_instance", `{"instance_guid": "one______0"}`, 200},
		{"slapos.get.v0.software_instance", `{"instance_guid": "none______0"}`, 403},
		{"slapos.get.v1.status", `{}`, 200},
		{"slapos.allDocs.v1.event_list", `{"kind": "instance", "limit": 2}`, 200},
		{"slapos.allDocs.v0.compute_node_instance_list", `{"computer_guid": "local_computer"}`, 200},
		{"slapos.get.v1.software_instance_status", `{"instance_guid": "one______0"}`, 200},
		{"slapos.get.v1.software_installation_status", `{"computer_guid": "local_computer", "software_release_uri": "u"}`, 200},
	} {
		answer := l.rpc(c.method, c.input)
		if answer.status != c.status {
			t.Errorf("%s %s: %d", c.method, c.input, answer.status)
		}
		if err := errors.Join(described.input(c.method, c.input), described.answer(c.method, answer)); err != nil {
			t.Errorf("%s %s: %v", c.method, c.input, err)
		}
	}
	// What the schemas refuse, they refuse as others read them.
	if described.input("slapos.get.v0.software_instance", `{"guid": "one______0"}`) == nil {
		t.Error("an input with a wrong name is valid")
	}
	if described.answer("slapos.get.v1.status", answer{status: 200, body: `{"time": "now"}`}) == nil {
		t.Error("an answer with a text for a number is valid")
	}
	l.expect(l.get("/version"), 200, l.get("/version").body)
	var version map[string]string
	if err := json.Unmarshal([]byte(l.get("/version").body), &version); err != nil || version["version"] != "1.2.3" || version["commit"] != "abc" || version["go"] == "" {
		t.Errorf("version %v, %v", version, err)
	}
	l.header = http.Header{"Host": {"cdn.example.com"}, "X-Forwarded-Prefix": {"/sub"}}
	if body := l.get("/openapi.json").body; !strings.Contains(body, `"servers":[{"url":"http://cdn.example.com/sub"}]`) || strings.Contains(body, `"security":[{`) {
		t.Errorf("behind a reverse proxy: %.300s", body)
	}
}

// validateOpenAPI has Python's openapi-spec-validator read a description.
func validateOpenAPI(t *testing.T, description string) (said string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), testkit.Python(t), "-m", "openapi_spec_validator", "--schema", "3.1", "-")
	command.Stdin = strings.NewReader(description)
	output, err := command.CombinedOutput()
	if strings.Contains(string(output), "No module named") {
		testkit.StepAside(t, "openapi-spec-validator", "run make testenv")
	}
	return string(output), err
}

// openAPI is a description whose schemas can be asked.
type openAPI struct {
	*testing.T
	schemas *jsonschema.Compiler
	paths   map[string]struct {
		Post struct {
			Responses map[string]struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

func readOpenAPI(t *testing.T, description string) *openAPI {
	t.Helper()
	o := &openAPI{T: t, schemas: jsonschema.NewCompiler()}
	var document struct{ Paths any }
	document.Paths = &o.paths
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(description))
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(description), &document), o.schemas.AddResource("openapi.json", whole))
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// input holds the input of a method against its schema.
func (o *openAPI) input(method, text string) error {
	return o.holds("/paths/~1"+method+"/post/requestBody", text)
}

// answer holds an answer against the schema for its status, which must be described.
func (o *openAPI) answer(method string, a answer) error {
	status := fmt.Sprint(a.status)
	response, found := o.paths["/"+method].Post.Responses[status]
	if !found {
		return fmt.Errorf("no answer %s is described", status)
	}
	at := "/paths/~1" + method + "/post/responses/" + status
	if response.Ref != "" {
		at = strings.TrimPrefix(response.Ref, "#")
	}
	return o.holds(at, a.body)
}

func (o *openAPI) holds(at, text string) error {
	o.Helper()
	schema, err := o.schemas.Compile("openapi.json#" + at + "/content/application~1json/schema")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// TestOpenAPINamesEachMethod finds each method of the schemas' rules in the
// description, with what it does, and no other.
func TestOpenAPINamesEachMethod(t *testing.T) {
	l := newLab(t, proxy.Options{Allow: func(*http.Request) bool { return true }})
	var document struct {
		Security []any
		Paths    map[string]map[string]struct{ Summary, OperationID string }
	}
	if err := json.Unmarshal([]byte(l.get("/openapi.json").body), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Security) != 3 {
		t.Errorf("security %v", document.Security)
	}
	source, err := os.ReadFile("rpcnodes.go")
	if err != nil {
		t.Fatal(err)
	}
	methods := 0
	for path, operations := range document.Paths {
		if operation, found := operations["post"]; found {
			methods++
			if operation.Summary == "" || "/"+operation.OperationID != path || !strings.Contains(string(source), `"`+operation.OperationID+`":`) {
				t.Errorf("%s: %+v", path, operation)
			}
		}
	}
	if want := strings.Count(string(source), "{input: "); methods != want {
		t.Errorf("%d methods, want %d", methods, want)
	}
	l.expect(l.get("/healthz"), 200, "ok\n")
	l.expect(l.get("/readyz"), 200, "ok\n")
}

// unreadyStore can't be used, for a reason.
type unreadyStore struct {
	store.Store
	err error
}

func (s *unreadyStore) Ready(context.Context) error { return s.err }

// TestReady tells why the master isn't ready, in words that name no file, and to
// everybody (PROXY-200).
func TestReady(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		body   string
	}{
		{nil, 200, "ok\n"},
		{fmt.Errorf("write to the database: %w", store.ErrFull), 503, "not ready: the disk of the database is full\n"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), 503, "not ready: the database is busy, or doesn't answer\n"},
		{errors.New("postgres://user:secret@host: gone"), 503, "not ready: the database can't be used\n"},
	} {
		failing := &unreadyStore{err: c.err}
		server := httptest.NewServer(proxy.New(proxy.Options{Store: failing, Allow: func(*http.Request) bool { return false }}))
		l := &lab{T: t, server: server, header: http.Header{"Host": {"any.example.com"}}}
		got := l.get("/readyz")
		l.expect(got, c.status, c.body)
		failing.err = errors.New("later") // asked again at once, it is the same answer
		l.expect(l.get("/readyz"), c.status, c.body)
		l.header = http.Header{}
		if got := l.get("/version"); got.status != 401 {
			t.Errorf("version: %s", got)
		}
		if got := l.get("/openapi.json"); got.status != 401 {
			t.Errorf("description: %s", got)
		}
		server.Close()
	}
}

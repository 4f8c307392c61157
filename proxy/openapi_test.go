// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap/serve"
)

// TestOpenAPI has a validator of others read the description, and hold requests and
// answers of ours against it (PROXY-200).
func TestOpenAPI(t *testing.T) {
	l := newLab(t, proxy.Options{Version: proxy.Version{Version: "1.2.3", Commit: "abc"}, Guard: serve.Guard{Names: []string{"cdn.example.com"}}})
	l.load(2)
	got := l.get("/openapi.json")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %s", got)
	}
	document, err := libopenapi.NewDocument([]byte(got.body))
	if err != nil {
		t.Fatal(err)
	}
	check, failures := validator.NewValidator(document)
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	if valid, faults := check.ValidateDocument(); !valid {
		for _, fault := range faults {
			t.Errorf("%s: %s", fault.Message, fault.Reason)
		}
	}
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
		request, response := l.exchange(c.method, c.input)
		if response.StatusCode != c.status {
			t.Errorf("%s %s: %d", c.method, c.input, response.StatusCode)
		}
		if valid, faults := check.ValidateHttpRequestResponse(request, response); !valid {
			for _, fault := range faults {
				t.Errorf("%s %s: %s: %s %v", c.method, c.input, fault.Message, fault.Reason, fault.SchemaValidationErrors)
			}
		}
	}
	// What the schemas refuse, it refuses.
	request, _ := l.exchange("slapos.get.v0.software_instance", `{"guid": "one______0"}`)
	if valid, _ := check.ValidateHttpRequest(request); valid {
		t.Error("an input with a wrong name is valid")
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

// exchange is a call, as a validator reads it.
func (l *lab) exchange(method, input string) (*http.Request, *http.Response) {
	l.Helper()
	ask := func() *http.Request {
		r, err := http.NewRequestWithContext(l.Context(), http.MethodPost, l.server.URL+"/"+method, strings.NewReader(input))
		if err != nil {
			l.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	response, err := client.Do(ask())
	if err != nil {
		l.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		l.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return ask(), response
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

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A master that has no such method is told from one that refuses.
func TestMemory(t *testing.T) {
	var asked, sent string
	master := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, sent = r.URL.Path+" "+r.Header.Get("Content-Type"), string(body)
		switch r.URL.Path {
		case "/slapos.get.v1.event_log":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"status": 403, "type": "Forbidden", "title": "No log of event 7 found."}`)
		case "/slapos.allDocs.v1.event_list":
			_, _ = io.WriteString(w, `{"result_list": [{"id": 3, "time": 1700000000, "event": "reported", "has_log": true}]}`)
		case "/slapos.get.v1.status":
			_, _ = io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer master.Close()
	client, err := NewClient(ClientConfig{MasterURL: master.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.EventLog(t.Context(), 7); !errors.Is(err, ErrNotFound) || err.Error() != "No log of event 7 found." {
		t.Errorf("EventLog: %v", err)
	}
	if asked != "/slapos.get.v1.event_log application/json" || sent != `{"event":7}` {
		t.Errorf("asked %s with %s", asked, sent)
	}
	events, err := client.Events(t.Context(), EventFilter{Title: "one"})
	if err != nil || len(events) != 1 || !events[0].Time.Equal(time.Unix(1700000000, 0)) || !events[0].HasLog {
		t.Errorf("Events: %v, %v", events, err)
	}
	if sent != `{"title":"one"}` {
		t.Errorf("asked for events with %s", sent)
	}
	if _, err := client.InstanceStatus(t.Context(), InstanceGUID("one", "", false)); !errors.Is(err, ErrForgetful) {
		t.Errorf("InstanceStatus: %v", err)
	}
	if _, err := client.CloudStatus(t.Context()); !errors.Is(err, ErrForgetful) {
		t.Errorf("CloudStatus: %v", err)
	}
}

func TestMoment(t *testing.T) {
	for text, want := range map[string]string{"0": "null", "1700000000": `"2023-11-14T22:13:20Z"`} {
		var m Moment
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		if written, err := json.Marshal(m); string(written) != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", text, written, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`"soon"`), new(Moment)); err == nil {
		t.Error("soon is a time")
	}
}

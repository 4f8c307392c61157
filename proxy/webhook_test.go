// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/proxy/webhook"
	"slapos/slap"
	"slapos/slap/testkit"
)

// receiver is a program that gets events, and may answer in a strange way.
type receiver struct {
	*testing.T
	*httptest.Server
	mutex  sync.Mutex
	events []json.RawMessage
	ids    []string // of all requests
	// strange answers a request, and returns true if it did.
	strange func(w http.ResponseWriter, r *http.Request, nth int) bool
}

var hookSecret = []byte("0123456789abcdef-secret")

func newReceiver(t *testing.T) *receiver {
	r := &receiver{T: t}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // who sent it went away
	}
	id, at := request.Header.Get("Webhook-Id"), request.Header.Get("Webhook-Timestamp")
	if got, want := request.Header.Get("Webhook-Signature"), webhook.Sign(hookSecret, id, at, body); got != want {
		r.Errorf("signature %q, want %q", got, want)
	}
	r.mutex.Lock()
	r.ids = append(r.ids, id)
	nth, strange := len(r.ids), r.strange
	r.mutex.Unlock()
	if strange != nil && strange(w, request, nth) {
		return
	}
	var message struct {
		Events []json.RawMessage `json:"event_list"`
	}
	if err := json.Unmarshal(body, &message); err != nil || len(message.Events) == 0 || len(message.Events) > 100 {
		r.Errorf("%v: %.200s", err, body)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.events = append(r.events, message.Events...)
}

func (r *receiver) got() []json.RawMessage {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return append([]json.RawMessage(nil), r.events...)
}

// sends starts to send to some URLs, which have time to answer.
func (l *lab) sends(log io.Writer, urls ...string) *webhook.Sender {
	l.Helper()
	return l.sendsFor(testkit.Patience, log, urls...)
}

// sendsFor starts to send to some URLs, whose answers have a limit of time. Nothing is
// looked for unless somebody tells of it.
func (l *lab) sendsFor(patience time.Duration, log io.Writer, urls ...string) *webhook.Sender {
	l.Helper()
	options := webhook.Options{Store: l.Store, Secret: hookSecret, Agent: "test", Logger: slog.New(slog.NewTextHandler(log, nil)),
		Every: time.Hour, Patience: patience, FirstPause: 5 * time.Millisecond, LongestPause: 40 * time.Millisecond}
	for _, text := range urls {
		target, err := webhook.Parse(text)
		if err != nil {
			l.Fatal(err)
		}
		options.Targets = append(options.Targets, target)
	}
	sender := webhook.Start(options)
	l.Cleanup(sender.Close)
	return sender
}

// supplies makes an event for each number.
func (l *lab) supplies(from, to int) {
	l.Helper()
	for i := from; i < to; i++ {
		if err := l.Supply(l.Context(), store.Software{URL: fmt.Sprintf("http://release/%d", i), Computer: "local_computer", State: slap.StateAvailable}); err != nil {
			l.Fatal(err)
		}
	}
}

// expectAll waits until a receiver has the events of those numbers, each once and in
// order, as slapos.allDocs.v1.event_list tells them.
func (l *lab) expectAll(r *receiver, from, to int) {
	l.Helper()
	subjects := func() (list []string) {
		for _, raw := range r.got() {
			var e webhook.Event
			if err := json.Unmarshal(raw, &e); err != nil {
				l.Fatal(err)
			}
			list = append(list, e.Subject)
		}
		return list
	}
	var want []string
	for i := from; i < to; i++ {
		want = append(want, fmt.Sprintf("http://release/%d", i))
	}
	testkit.Eventually(l.T, testkit.Patience, "all events arrive", func() bool { return len(r.got()) >= len(want) })
	got := subjects()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			l.Fatalf("%d events, want %d; from number %d on: got %v, want %v", len(got), len(want), i, got[min(i, len(got)):min(i+3, len(got))], want[min(i, len(want)):min(i+3, len(want))])
		}
	}
}

// until waits for what a receiver gets.
func (r *receiver) until(requests int) {
	r.Helper()
	testkit.Eventually(r.T, testkit.Patience, "requests arrive", func() bool {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		return len(r.ids) >= requests
	})
}

func (l *lab) ready(sender *webhook.Sender, targets int) {
	l.Helper()
	testkit.Eventually(l.T, testkit.Patience, "the sender knows where to begin", func() bool { return len(gathered(l.T, sender, "slapos_proxy_webhook_behind")) == targets })
}

// gathered are the values of a metric by its labels.
func gathered(t *testing.T, collector prometheus.Collector, name string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			values[strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

// TestWebhook sends each event once, in order and signed, as the list of events has it;
// what was before the first start isn't sent (PROXY-202).
func TestWebhook(t *testing.T) {
	t.Parallel()
	l, r := newLab(t, proxy.Options{}), newReceiver(t)
	l.load(1)
	l.supplies(0, 2)
	sender := l.sends(io.Discard, r.URL+"/hook")
	l.ready(sender, 1)
	l.supplies(2, 252)
	l.expectAll(r, 2, 252)
	var list struct {
		Events []json.RawMessage `json:"result_list"`
	}
	if err := json.Unmarshal([]byte(l.rpc("slapos.allDocs.v1.event_list", `{"subject": "http://release/9"}`).body), &list); err != nil || len(list.Events) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	var sent, told map[string]any
	for raw, into := range map[*json.RawMessage]*map[string]any{&r.got()[7]: &sent, &list.Events[0]: &told} {
		if err := json.Unmarshal(*raw, into); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(sent, told) {
		t.Errorf("sent %v, told %v", sent, told)
	}
	if values := gathered(t, sender, "slapos_proxy_webhook_requests_total"); values["delivered 1"] < 3 || values["failed 1"] != 0 {
		t.Errorf("requests %v", values)
	}
}

// TestWebhookFails sends again what a receiver doesn't take, and loses nothing; other
// receivers don't wait for it, and nobody else does.
func TestWebhookFails(t *testing.T) {
	t.Parallel()
	l, bad, good := newLab(t, proxy.Options{}), newReceiver(t), newReceiver(t)
	ended := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(ended) }))
	bad.strange = func(w http.ResponseWriter, request *http.Request, nth int) bool {
		switch nth {
		case 1, 2:
			w.WriteHeader(500)
		case 3: // hangs
			select {
			case <-request.Context().Done():
			case <-ended:
			}
		case 4: // breaks off
			panic(http.ErrAbortHandler)
		case 5:
			http.Redirect(w, request, good.URL+"/stolen", http.StatusTemporaryRedirect)
		case 6:
			w.WriteHeader(410)
		default:
			return false
		}
		return true
	}
	good.strange = func(_ http.ResponseWriter, request *http.Request, _ int) bool {
		if request.URL.Path != "/" {
			t.Errorf("somebody was sent to %s", request.URL)
		}
		return false
	}
	var log strings.Builder
	var mutex sync.Mutex
	sender := l.sendsFor(time.Second, lockedWriter{&mutex, &log}, bad.URL+"/t0ken-in-path?key=t0ken&x", strings.Replace(good.URL, "http://", "http://user:t0ken@", 1))
	l.ready(sender, 2)
	l.supplies(0, 30)
	l.expectAll(good, 0, 30)
	bad.until(3)
	// While it hangs, the master goes on.
	l.supplies(30, 40)
	l.expectAll(good, 0, 40)
	l.expectAll(bad, 0, 40)
	if bad.ids[0] != bad.ids[1] && !strings.HasPrefix(bad.ids[1], "event-1-") {
		t.Errorf("requests %v", bad.ids)
	}
	if values := gathered(t, sender, "slapos_proxy_webhook_requests_total"); values["failed 1"] < 6 || values["failed 2"] != 0 {
		t.Errorf("requests %v", values)
	}
	logged := func() string {
		mutex.Lock()
		defer mutex.Unlock()
		return log.String()
	}
	// It is said after the database has taken the delivery.
	testkit.Eventually(t, testkit.Patience, "the log says that it takes events again", func() bool { return strings.Contains(logged(), "takes events again") })
	if text := logged(); strings.Contains(text, "t0ken") || strings.Contains(text, "secret") || strings.Count(text, "doesn't take events") != 1 ||
		!strings.Contains(text, "it answers with status 500") {
		t.Errorf("log: %s", text)
	}
}

type lockedWriter struct {
	mutex *sync.Mutex
	to    io.Writer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.to.Write(p)
}

// TestWebhookContinues after a restart with the first event that wasn't taken, and of
// two masters with one database only one sends.
func TestWebhookContinues(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	uri := filepath.Join(t.TempDir(), "proxy.db")
	l := newLabOn(t, uri, proxy.Options{}, time.Now)
	sender := l.sends(io.Discard, r.URL)
	l.ready(sender, 1)
	l.supplies(0, 5)
	l.expectAll(r, 0, 5)
	// A request under way would be broken off, and repeated.
	testkit.Eventually(t, testkit.Patience, "the last ones are noted", func() bool { return gathered(t, sender, "slapos_proxy_webhook_behind")["1"] == 0 })
	sender.Close()
	l.supplies(5, 15)
	l.Store.Close()
	l = newLabOn(t, uri, proxy.Options{}, time.Now)
	l.sends(io.Discard, r.URL)
	l.sends(io.Discard, r.URL)
	l.expectAll(r, 0, 15)
	l.supplies(15, 20)
	l.expectAll(r, 0, 20)
}

// TestWebhookBehind leaves out what is too much, and says so.
func TestWebhookBehind(t *testing.T) {
	t.Parallel()
	l, r := newLab(t, proxy.Options{}), newReceiver(t)
	var log strings.Builder
	var mutex sync.Mutex
	target := &url.URL{Scheme: "http", Host: strings.TrimPrefix(r.URL, "http://")}
	sender := l.sends(lockedWriter{&mutex, &log}, target.String())
	l.ready(sender, 1)
	sender.Close()
	database, err := sql.Open("sqlite", l.uri)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	if _, err := database.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050)
		INSERT INTO event18 SELECT i, unixepoch(), 'local_computer', 'release', 'http://release/' || (i - 1), '', '', 'supplied', '', '', '' FROM n`); err != nil {
		t.Fatal(err)
	}
	l.sends(lockedWriter{&mutex, &log}, target.String())
	l.expectAll(r, 50, 10050)
	mutex.Lock()
	defer mutex.Unlock()
	if !strings.Contains(log.String(), "too far behind: the oldest events are left out") || !strings.Contains(log.String(), "events=50") {
		t.Errorf("log: %s", &log)
	}
}

// TestWebhookSettings refuses what can't be used, without repeating it.
func TestWebhookSettings(t *testing.T) {
	for _, text := range []string{"", "ftp://user:t0ken@host/", "host:80/t0ken", "http://", "http://\x7ft0ken", "//t0ken@host"} {
		if _, err := webhook.Parse(text); err == nil || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, good := range map[string]bool{
		"0123456789abcdef\n": true, "whsec_MDEyMzQ1Njc4OWFiY2RlZg==": true,
		"": false, "short": false, "0123456789abcdef\nt0ken": false, "whsec_t0ken!": false, "whsec_dDBrZW4=": false,
	} {
		secret, err := webhook.ParseSecret(text)
		if good != (err == nil) || good && string(secret) != "0123456789abcdef" || err != nil && strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%q: %q, %v", text, secret, err)
		}
	}
	// The example of the Standard Webhooks specification's libraries.
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got := webhook.Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

// Package webhook sends the events of a master to other programs: each URL gets all of
// them, in order, at least once, as JSON over HTTP in the form of the Standard Webhooks
// specification (PROXY-202).
//
// The queue is the history itself: a goroutine for each URL reads what happened after
// the last event that it delivered, whose number the database keeps. So nobody who
// changes something waits for a receiver, a restart loses nothing, and a receiver that
// is away for long costs no memory. What is too old for the history by then, and what
// is more than [Most] events behind, it never gets.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"slapos/proxy/store"
)

const (
	// Most is how many events a receiver may be behind.
	Most = 10_000
	// MostTargets bounds the URLs.
	MostTargets = 16
	// batch is how many events a request has at most.
	batch = 100
	// minimumSecret is the least length of a secret, in bytes.
	minimumSecret = 16
)

// Options say what to send where.
type Options struct {
	Store Source
	// Targets are the URLs, see [Parse].
	Targets []*url.URL
	// Secret signs the requests, see [ParseSecret].
	Secret []byte
	// Agent is the header User-Agent.
	Agent  string
	Logger *slog.Logger

	// How often to look for events that nobody told of, for who delivered them may be
	// gone; how long to wait for an answer, after a first failure and at most; 0 for
	// 30 s, 10 s, 1 s and 5 min.
	Every, Patience, FirstPause, LongestPause time.Duration
}

// Source is what is needed of a [store.Store].
type Source interface {
	store.Deliveries
	Events(ctx context.Context, filter store.EventFilter) ([]store.Event, error)
	LastEvent(ctx context.Context) (int64, error)
	EventBell(ctx context.Context) <-chan struct{}
}

// Parse reads the address of a receiver. The error doesn't repeat it: it may hold a
// password.
func Parse(text string) (*url.URL, error) {
	target, err := url.Parse(text)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Hostname() == "" {
		return nil, errors.New("each must begin with http:// or https:// and name a host")
	}
	return target, nil
}

// ParseSecret reads a secret: a line of text or, after "whsec_", bytes in base64.
func ParseSecret(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	secret := []byte(text)
	if encoded, found := strings.CutPrefix(text, "whsec_"); found {
		var err error
		if secret, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, errors.New("what follows whsec_ isn't base64")
		}
	}
	if strings.ContainsAny(text, "\r\n") || len(secret) < minimumSecret {
		return nil, fmt.Errorf("it must be one line of %d bytes at least: `openssl rand -base64 32` makes one", minimumSecret)
	}
	return secret, nil
}

// Sender sends events until it is closed.
type Sender struct {
	options Options
	client  *http.Client
	owner   string
	targets []*target
	stop    context.CancelFunc
	ended   sync.WaitGroup
	metrics *metrics
}

// target is a receiver.
type target struct {
	url *url.URL
	// key is its name in the database, name that for people: an address may have
	// secrets in its path.
	key, name string
}

// Start begins to send. The store stays the caller's to close, after the sender.
func Start(options Options) *Sender {
	for value, usual := range map[*time.Duration]time.Duration{
		&options.Every: 30 * time.Second, &options.Patience: 10 * time.Second, &options.FirstPause: time.Second, &options.LongestPause: 5 * time.Minute,
	} {
		if *value == 0 {
			*value = usual
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{options: options, owner: rand.Text(), stop: stop, metrics: newMetrics(), client: &http.Client{
		Timeout: options.Patience,
		// What is for one receiver goes to no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for i, address := range options.Targets {
		sum := sha256.Sum256([]byte(address.String()))
		t := &target{url: address, key: hex.EncodeToString(sum[:]), name: fmt.Sprintf("%d (%s)", i+1, address.Host)}
		s.targets = append(s.targets, t)
		s.ended.Go(func() { s.serve(ctx, t) })
	}
	return s
}

// Close ends the sending. A request under way is broken off, and repeated later.
func (s *Sender) Close() {
	s.stop()
	s.ended.Wait()
	s.client.CloseIdleConnections()
}

// lease is how long the right to deliver lasts, longer than one request.
func (s *Sender) lease() float64 { return 3*s.options.Patience.Seconds() + 30 }

// serve delivers to a target until the context ends.
func (s *Sender) serve(ctx context.Context, t *target) {
	failures, said := 0, false
	position, claimed := int64(0), false
	events := s.options.Store.EventBell(ctx)
	for {
		pause, bell := s.options.Every, events
		next, ours, err := s.step(ctx, t, position, claimed)
		position, claimed = next, ours
		switch {
		case ctx.Err() != nil:
			if claimed {
				// Another program needn't wait for the lease.
				_, _ = s.note(ctx, t, position, 0)
			}
			return
		case err != nil && !errors.Is(err, errMore):
			failures++
			pause, bell = s.pauseAfter(failures), nil
			s.metrics.count(t, "failed")
			if !said {
				said = true
				s.options.Logger.Warn("A webhook doesn't take events: they are sent again, at longer and longer intervals", "webhook", t.name, "error", err)
			}
		default:
			if said {
				s.options.Logger.Info("A webhook takes events again", "webhook", t.name)
			}
			failures, said = 0, false
			if err != nil {
				pause = 0
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-bell:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pauseAfter doubles with each failure, and is never the same for two receivers.
func (s *Sender) pauseAfter(failures int) time.Duration {
	pause := min(s.options.FirstPause<<min(failures-1, 20), s.options.LongestPause)
	if more, err := rand.Int(rand.Reader, big.NewInt(int64(pause/4)+1)); err == nil {
		pause += time.Duration(more.Int64())
	}
	return pause
}

// errMore says that there may be more to deliver.
var errMore = errors.New("more")

// step delivers the next events, if there are any, and returns the last one that was
// delivered. Its error is without secrets.
func (s *Sender) step(ctx context.Context, t *target, position int64, claimed bool) (last int64, ours bool, err error) {
	newest, err := s.options.Store.LastEvent(ctx)
	if err != nil {
		return position, claimed, err
	}
	if !claimed || newest > position {
		if position, claimed, err = s.options.Store.Claim(ctx, t.key, s.owner, s.lease()); err != nil {
			return position, claimed, err
		}
	}
	if claimed || newest <= position {
		s.metrics.behind(t, max(newest-position, 0))
	}
	if !claimed || newest <= position {
		return position, claimed, nil
	}
	if newest-position > Most {
		s.options.Logger.Warn("A webhook is too far behind: the oldest events are left out", "webhook", t.name, "events", newest-position-Most)
		position = newest - Most
	}
	after := position
	if after == 0 {
		after = -1 // from the first
	}
	events, err := s.options.Store.Events(ctx, store.EventFilter{After: after, Limit: batch})
	if err != nil || len(events) == 0 {
		return position, true, err
	}
	if err := s.send(ctx, t, events); err != nil {
		return position, true, err
	}
	s.metrics.count(t, "delivered")
	last = events[len(events)-1].ID
	if ours, err = s.note(ctx, t, last, s.lease()); err != nil {
		return position, true, err
	}
	return last, ours, errMore
}

// note keeps how far a target is, also while the sender stops: what was taken isn't
// sent again then.
func (s *Sender) note(ctx context.Context, t *target, event int64, lease float64) (ours bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return s.options.Store.Delivered(ctx, t.key, s.owner, event, lease)
}

// Message is the body of a request.
type Message struct {
	Events []Event `json:"event_list"`
}

// Event is an event as slapos.allDocs.v1.event_list has it.
type Event struct {
	ID       int64  `json:"id"`
	Time     int64  `json:"time"`
	Computer string `json:"computer_guid"`
	Kind     string `json:"kind"`
	Subject  string `json:"subject"`
	Title    string `json:"title"`
	Root     string `json:"root_instance_title"`
	Event    string `json:"event"`
	State    string `json:"state"`
	Message  string `json:"message"`
	Actor    string `json:"actor"`
	HasLog   bool   `json:"has_log"`
}

// send makes one request. Only 2xx means that the receiver has the events.
func (s *Sender) send(ctx context.Context, t *target, events []store.Event) error {
	message := Message{}
	for _, e := range events {
		message.Events = append(message.Events, Event{e.ID, int64(e.Time), e.Computer, e.Kind, e.Subject, e.Title, e.Root, e.Event, e.State, e.Message, e.Actor, e.HasLog})
	}
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url.String(), bytes.NewReader(body))
	if err != nil {
		return errors.New("its address can't be used")
	}
	id := fmt.Sprintf("event-%d-%d", events[0].ID, events[len(events)-1].ID)
	now := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", s.options.Agent)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", now)
	r.Header.Set("Webhook-Signature", Sign(s.options.Secret, id, now, body))
	response, err := s.client.Do(r)
	if err != nil {
		return withoutAddress(err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // so that the connection can be used again
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("it answers with status %d", response.StatusCode)
	}
	return nil
}

// withoutAddress takes the address out of an error, which may have secrets.
func withoutAddress(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		if named.Timeout() {
			return errors.New("it doesn't answer in time")
		}
		return named.Err
	}
	return err
}

// Sign is the signature of a request, over its id, its time and its body.
func Sign(secret []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

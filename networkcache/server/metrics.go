// SPDX-License-Identifier: GPL-3.0-or-later

package server

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the numbers at /metrics.
type counts struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	sent      prometheus.Counter
	received  prometheus.Counter
	collected prometheus.Counter
}

func newCounts(contents Blobs) *counts {
	c := &counts{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "slapos_cache_requests_total", Help: "Requests, by what was asked and the status of the answer.",
		}, []string{"request", "status"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_sent_bytes_total", Help: "Bytes of the bodies of answers.",
		}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_received_bytes_total", Help: "Bytes of the bodies of requests.",
		}),
		collected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "slapos_cache_collected_contents_total", Help: "Contents removed because of their age or the size of all.",
		}),
	}
	c.registry.MustRegister(c.requests, c.sent, c.received, c.collected, &stored{
		contents: contents,
		count:    prometheus.NewDesc("slapos_cache_contents", "Contents that are stored.", nil, nil),
		size:     prometheus.NewDesc("slapos_cache_contents_bytes", "Bytes of the contents that are stored.", nil, nil),
	})
	return c
}

// stored counts the contents when asked. If that takes long, it does so only
// now and then, and remembers.
type stored struct {
	contents    Blobs
	count, size *prometheus.Desc

	mu       sync.Mutex
	next     time.Time
	total    int
	bytes    int64
	problems error
}

func (s *stored) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- s.count
	descriptions <- s.size
}

func (s *stored) Collect(metrics chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if begun := time.Now(); begun.After(s.next) {
		s.look()
		s.next = time.Now().Add(100 * time.Since(begun))
	}
	if s.problems != nil {
		metrics <- prometheus.NewInvalidMetric(s.count, s.problems)
		return
	}
	metrics <- prometheus.MustNewConstMetric(s.count, prometheus.GaugeValue, float64(s.total))
	metrics <- prometheus.MustNewConstMetric(s.size, prometheus.GaugeValue, float64(s.bytes))
}

func (s *stored) look() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all []Blob
	all, s.problems = s.contents.List(ctx)
	s.total, s.bytes = len(all), 0
	for _, b := range all {
		s.bytes += b.Size
	}
}

// A countedAnswer counts the bytes of an answer.
type countedAnswer struct {
	http.ResponseWriter
	counts *counts
	body   *countedBody
	status int
	sent   int64
}

func (c *counts) begin(w http.ResponseWriter, r *http.Request) *countedAnswer {
	body := &countedBody{ReadCloser: r.Body, connection: http.NewResponseController(w)}
	r.Body = body
	return &countedAnswer{ResponseWriter: w, counts: c, body: body, status: http.StatusOK}
}

func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *countedAnswer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.sent += int64(n)
	return n, err
}

// ReadFrom lets the kernel send files.
func (a *countedAnswer) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(a.ResponseWriter, r)
	a.sent += n
	return n, err
}

func (a *countedAnswer) end(pattern string) {
	request := strings.TrimSuffix(strings.Replace(pattern, "/shacache", "", 1), "/{$}")
	a.counts.requests.WithLabelValues(request, strconv.Itoa(a.status)).Inc()
	a.counts.sent.Add(float64(a.sent))
	a.counts.received.Add(float64(a.body.count))
}

// patience is how long a client may pause in the middle of a request.
const patience = time.Minute

// A countedBody counts the bytes of a request, and gives up on clients that stop
// in the middle.
type countedBody struct {
	io.ReadCloser
	connection *http.ResponseController
	count      int64
	failed     error // why it can't be read
}

func (b *countedBody) Read(p []byte) (int, error) {
	_ = b.connection.SetReadDeadline(time.Now().Add(patience)) // not all writers in tests support it
	n, err := b.ReadCloser.Read(p)
	b.count += int64(n)
	if err != nil {
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	if err != nil && err != io.EOF {
		b.failed = err
	}
	return n, err
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// accessTime is the time of the common log format.
const accessTime = "02/Jan/2006:15:04:05 -0700"

// recorder notes the status and the size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	size   int64
	waited time.Duration // for a change, as the client prefers
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.size += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController find the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// logged writes the access log, in the common format plus the duration in
// seconds. It also recovers from a handler that panics, unless that aborts its
// answer on purpose.
func (p *Proxy) logged(next http.Handler) http.Handler {
	var mutex sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		rec, ok := w.(*recorder)
		if !ok {
			rec = &recorder{ResponseWriter: w}
		}
		defer func() {
			failure := recover()
			if failure != nil && failure != http.ErrAbortHandler {
				p.failPage(rec, r, fmt.Errorf("panic: %v", failure))
			}
			if p.options.AccessLog != nil {
				mutex.Lock()
				fmt.Fprintf(p.options.AccessLog, "%s - - [%s] %q %d %d %.6f\n", remoteHost(r), begin.Format(accessTime),
					r.Method+" "+r.URL.RequestURI()+" "+r.Proto, rec.status, rec.size, time.Since(begin).Seconds())
				mutex.Unlock()
			}
			if failure == http.ErrAbortHandler {
				panic(failure) // the client must see that the end is missing
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "-"
	}
	return host
}

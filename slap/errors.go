// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
)

// The kinds of failures of calls, for errors.Is. All match [ErrSlap].
var (
	// ErrSlap is the ancestor of the others.
	ErrSlap = errors.New("slap error")
	// ErrNotFound means that the Master answered 404, or that a requested value
	// doesn't exist.
	ErrNotFound = errors.New("not found")
	// ErrNotReady means that the Master answered 408, "not yet", or that an
	// instance doesn't have a property yet.
	ErrNotReady = errors.New("not ready")
	// ErrServer means that the Master, or a server before it, failed.
	ErrServer = errors.New("server error")
	// ErrConnection means that there was no answer: refused, timed out, TLS failure.
	ErrConnection = errors.New("connection error")
)

// ErrNotUTF8 means that a text is not UTF-8 and declares no other encoding.
var ErrNotUTF8 = errors.New("which is not UTF-8")

// ErrNoHateoas means that an operation needs the HATEOAS interface but the
// Master has none (SLAP-40).
var ErrNoHateoas = errors.New("SlapOS Master Hateoas API required for this operation is not available.") //nolint:staticcheck,revive // the original's text

// HTTPError is an answer with a status of 400 or above. Its text is the
// original's (SLAP-8).
type HTTPError struct {
	Status int
	Reason string // the reason phrase that was sent with the status
	// URL is the address that answered, after redirects, with its query.
	URL string
	// Path and Parameters are the path and the query of the call.
	Path       string
	Parameters Form
	// Body is the beginning of the answer, at most 64 KiB.
	Body []byte

	asked string // the URL of the call, without query
}

func (e *HTTPError) Error() string {
	switch {
	case e.Status == http.StatusNotFound && len(e.Parameters) > 0:
		return cmp.Or(e.asked, e.URL) + " - " + e.Parameters.repr()
	case e.Status == http.StatusNotFound:
		return cmp.Or(e.asked, e.URL)
	case e.Status == http.StatusRequestTimeout:
		return e.Path
	case e.Status < 500:
		return fmt.Sprintf("%d Client Error: %s for url: %s", e.Status, e.Reason, e.URL)
	default:
		return fmt.Sprintf("%d Server Error: %s for url: %s", e.Status, e.Reason, e.URL)
	}
}

// Is matches the kind of failure of the status. A status outside the table of
// SLAP-8 has none.
func (e *HTTPError) Is(kind error) bool {
	switch e.Status {
	case http.StatusNotFound:
		return kind == ErrNotFound || kind == ErrSlap
	case http.StatusRequestTimeout:
		return kind == ErrNotReady || kind == ErrSlap
	case 500, 502, 503, 520, 523, 524, 526:
		return kind == ErrServer || kind == ErrSlap
	}
	return false
}

// ConnectionError is a call without an answer.
type ConnectionError struct {
	Server string // scheme and host, such as https://10.0.0.1:5000
	Origin string // where the address was set, "" if that isn't known
	Err    error
}

func (e *ConnectionError) Error() string {
	text := "Couldn't connect to the server. Please double check given master-url argument, and make " +
		"sure that IPv6 is enabled on your machine and that the server is available. The original " +
		"error was:\n" + e.Server + ": " + e.Err.Error()
	if e.Origin != "" {
		text += " (" + e.Origin + ")"
	}
	return text
}

func (e *ConnectionError) Unwrap() error { return e.Err }

// Is matches ErrConnection and ErrSlap.
func (e *ConnectionError) Is(kind error) bool { return kind == ErrConnection || kind == ErrSlap }

// kindError is an error of some kind that did not come from an answer.
type kindError struct {
	kind error
	text string
}

func (e *kindError) Error() string        { return e.text }
func (e *kindError) Is(target error) bool { return target == e.kind || target == ErrSlap }

func notFound(format string, args ...any) error {
	return &kindError{ErrNotFound, fmt.Sprintf(format, args...)}
}

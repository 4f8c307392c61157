// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"slapos/proxy/store"
)

const (
	contentText = "text/html; charset=utf-8" // PROXY-10: of text and marshalled answers too
	contentJSON = "application/json"
)

// statusError is an answer other than success.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

func refuse(status int, format string, args ...any) error {
	return &statusError{status, fmt.Sprintf(format, args...)}
}

// The texts that clients of the original see (PROXY-12).
var (
	errNoPage = &statusError{http.StatusNotFound, "The requested URL was not found on the server. " +
		"If you entered the URL manually please check your spelling and try again."}
	errMethod = &statusError{http.StatusMethodNotAllowed, "The method is not allowed for the requested URL."}
	errBad    = &statusError{http.StatusBadRequest, "The browser (or proxy) sent a request that this server could not understand."}
	errBody   = &statusError{http.StatusRequestEntityTooLarge, "The data value transmitted exceeds the capacity limit."}
	errOurs   = &statusError{http.StatusInternalServerError, "The server encountered an internal error and was unable to " +
		"complete your request. Either the server is overloaded or there is an error in the application."}
	errFull = &statusError{http.StatusServiceUnavailable, "The disk of the master's database is full. Nothing was changed."}
)

// asStatus finds the answer that an error asks for; false for one that the log of
// the master must have.
func asStatus(err error) (*statusError, bool) {
	var status *statusError
	var requester *store.RequesterError
	var unfit *store.TextError
	var tooLarge *http.MaxBytesError
	var unread *bodyError
	switch {
	case errors.As(err, &status):
		return status, true
	case errors.As(err, &requester):
		return &statusError{http.StatusBadRequest, requester.Error()}, true
	case errors.As(err, &unfit):
		return &statusError{http.StatusBadRequest, unfit.Error()}, true
	case errors.As(err, &tooLarge):
		return errBody, true
	case errors.As(err, &unread):
		return errBad, true
	case errors.Is(err, store.ErrFull):
		return errFull, false
	}
	return errOurs, false
}

// failPage answers an error in HTML (PROXY-12).
func (p *Proxy) failPage(w http.ResponseWriter, r *http.Request, err error) {
	status, expected := asStatus(err)
	if !expected {
		p.complain(r, err)
	}
	message := strings.ReplaceAll(html.EscapeString(status.message), "\n", "<br>")
	writePage(w, status.status, fmt.Sprintf("<!doctype html>\n<html lang=en>\n<title>%[1]d %[2]s</title>\n<h1>%[2]s</h1>\n<p>%[3]s</p>\n",
		status.status, reason(status.status, "Unknown Error"), message))
}

// complain logs a failure that nobody thought of, unless it is only that the
// client went away.
func (p *Proxy) complain(r *http.Request, err error) {
	level := slog.LevelError
	if errors.Is(err, context.Canceled) {
		level = slog.LevelDebug
	}
	p.log.Log(r.Context(), level, "request failed", "path", r.URL.Path, "error", err)
}

// oneLine is a message of the log with the text of a client: it ends no line, and
// so begins none.
func oneLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`, "\u2028", `\u2028`, "\u2029", `\u2029`).Replace(text)
}

// reason is the phrase of a status. Those beyond the standard have none.
func reason(status int, unknown string) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return unknown
}

func writePage(w http.ResponseWriter, status int, page string) {
	h := w.Header()
	h.Set("Content-Type", contentText)
	h.Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(page)) // a client that went away needs no answer
}

func writeText(w http.ResponseWriter, status int, text string) error {
	writePage(w, status, text)
	return nil
}

func writeBytes(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

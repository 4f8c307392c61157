// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

// acceptsHeader, in the answer about a whole computer, says what this master
// takes beyond the protocol (PROXY-195).
const acceptsHeader = "Slapos-Accepts"

// reported keeps what a node tells in a call that the original ignores, and
// answers as that does, whatever the report is worth (PROXY-38, PROXY-190).
func (p *Proxy) reported(kind, state string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		form, err := p.reportOf(r)
		if err != nil {
			p.ignore(r, "unreadable", err)
			return ignored(w, r)
		}
		report := store.Report{Computer: form.get("computer_id"), Kind: kind, State: state, Log: form.get("error_log")}
		if kind == store.KindRelease {
			report.Subject = form.get("url")
		} else if report.Subject = form.get("computer_partition_id"); state == store.ReportError {
			if shared := form.get("slave_reference"); shared != "" && shared != "None" {
				report.Kind, report.Subject = store.KindShared, shared
			}
		}
		p.record(r, report)
		return ignored(w, r)
	}
}

// record keeps a report. It never fails the node's call: the node could do
// nothing about it, and its pass would end.
func (p *Proxy) record(r *http.Request, report store.Report) {
	report.Identity = identity(r)
	if partition := authorization(r); partition != nil && (partition.Computer != report.Computer ||
		report.Kind == store.KindInstance && partition.Partition != report.Subject) {
		p.ignore(r, "another's", fmt.Errorf("%s of %s reports about %s of %s", partition.Partition, partition.Computer, report.Subject, report.Computer))
		return
	}
	p.recorded(r, report.Computer, p.store.Report(r.Context(), report))
}

// recorded ends a report by a node.
func (p *Proxy) recorded(r *http.Request, computer string, err error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.ignore(r, "unknown", fmt.Errorf("%q has nothing like that", computer))
	case err != nil:
		p.complain(r, fmt.Errorf("a report can't be kept: %w", err))
		p.metrics.ignored.WithLabelValues("failed").Inc()
	default:
		p.store.Heard(computer)
	}
}

// ignore counts a report that is worth nothing.
func (p *Proxy) ignore(r *http.Request, reason string, why error) {
	p.metrics.ignored.WithLabelValues(reason).Inc()
	p.log.Info(oneLine(fmt.Sprintf("A report from %s is ignored: %.200s", p.actorOf(r), why.Error())), "path", r.URL.Path)
}

// What is read of a report. Its fields stand at the beginning, and the end of a
// long log says what failed.
const (
	reportHead = 1 << 20
	reportTail = 2 << 20
	reportMost = 256 << 20
	// longReports may be read at a time.
	longReports = 8
)

var errLong = errors.New("it is too long")

// reportOf reads the form of a report, whose log may be longer than any body: of a
// long one, its middle is left out.
func (p *Proxy) reportOf(r *http.Request) (fields, error) {
	if form, read := formRead(r); read {
		return form, nil
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		r.Body = io.NopCloser(io.LimitReader(r.Body, reportHead))
		return formOf(r)
	}
	head, err := io.ReadAll(io.LimitReader(r.Body, smallBody))
	if err != nil || len(head) < smallBody {
		return parseReport(head, nil), err
	}
	ctx, cancel := context.WithTimeout(r.Context(), roomWait)
	defer cancel()
	select {
	case p.longReports <- struct{}{}:
		defer func() { <-p.longReports }()
	case <-ctx.Done():
		return parseReport(head, nil), nil
	}
	more, err := io.ReadAll(io.LimitReader(r.Body, reportHead-smallBody))
	if head = append(head, more...); err != nil || len(head) < reportHead {
		return parseReport(head, nil), err
	}
	tail, err := lastOf(io.LimitReader(r.Body, reportMost), reportTail, time.Now().Add(roomTime))
	return parseReport(head, tail), err
}

// lastOf reads all, and returns the end of it.
func lastOf(from io.Reader, size int, deadline time.Time) ([]byte, error) {
	tail := make([]byte, 0, 2*size)
	for {
		if len(tail) == cap(tail) {
			tail = append(tail[:0], tail[len(tail)-size:]...)
		}
		n, err := from.Read(tail[len(tail):cap(tail)])
		tail = tail[:len(tail)+n]
		switch {
		case err == io.EOF:
			return tail[max(0, len(tail)-size):], nil
		case err != nil:
			return nil, err
		case time.Now().After(deadline):
			return nil, errLong
		}
	}
}

// parseReport reads a form of which the middle of a field may be missing.
func parseReport(head, tail []byte) fields {
	if bytes.Count(head, []byte("&")) >= maximumFields || bytes.Count(tail, []byte("&")) >= maximumFields {
		return fields{}
	}
	form := parseFields(string(head))
	if tail == nil {
		return form
	}
	last := head[bytes.LastIndexByte(head, '&')+1:]
	name, _, _ := bytes.Cut(last, []byte("="))
	if i := bytes.Index(tail, []byte("%0A")); i >= 0 {
		tail = tail[i+3:] // a whole line, and no half of an escape
	}
	for further, values := range parseFields(string(append(append(append([]byte{}, name...), '='), tail...))) {
		if _, known := form[further]; !known {
			form[further] = values
		} else if further == string(name) {
			form[further] = []string{form[further][0] + "\n…\n" + values[0]}
		}
	}
	return form
}

// computerBang is of no effect, as in the original, but an event.
func (p *Proxy) computerBang(w http.ResponseWriter, r *http.Request) error {
	if form, err := p.reportOf(r); err == nil {
		p.recorded(r, form.get("computer_id"), p.store.Banged(r.Context(), form.get("computer_id"), form.get("message")))
	}
	return writeMarshalled(w, "")
}

// identity is the computer that a client certificate names.
func identity(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	return r.TLS.PeerCertificates[0].Subject.CommonName
}

// actorOf names who makes a request, for the events that come of it: what the client
// has proved to be, in whose name it asks, from where, and with what kind of program
// (PROXY-203).
func (p *Proxy) actorOf(r *http.Request) string {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	var names []string
	if who := identityOf(r); who.Name != "" {
		names = append(names, who.Role+" "+who.Name)
	} else if name := identity(r); name != "" {
		names = append(names, "certificate "+name)
	} else if p.options.TokenName != nil {
		if name := p.options.TokenName(r); name != "" {
			names = append(names, "token "+name)
		}
	}
	if partition := authorization(r); partition != nil {
		names = append(names, partition.Partition+" of "+partition.Computer)
	}
	actor := address
	if len(names) > 0 {
		actor = strings.Join(names, ", ") + " from " + address
	}
	if kind := programOf(r.UserAgent()); kind != "" {
		actor += " (" + kind + ")"
	}
	return actor
}

// programs are the beginnings of User-Agent, and what kind of program has them.
var programs = [][2]string{
	{"Mozilla/", "browser"}, {"slapos.core/", "slapos"}, {"slapos-proxy/", "master"}, {"python-", "Python"}, {"Python-", "Python"}, {"curl/", "curl"}, {"Wget/", "wget"},
}

func programOf(agent string) string {
	for _, program := range programs {
		if strings.HasPrefix(agent, program[0]) {
			return program[1]
		}
	}
	return ""
}

// The methods of JSON-RPC in which nodes report.

func (p *Proxy) rpcReleaseError(r *http.Request, input slap.Dict) (any, error) {
	p.record(r, store.Report{Computer: text(input, "computer_guid"), Kind: store.KindRelease, Subject: text(input, "software_release_uri"),
		State: store.ReportError, Log: text(input, "message")})
	return success("Ignored"), nil
}

func (p *Proxy) rpcInstanceError(r *http.Request, input slap.Dict) (any, error) {
	p.recordNamed(r, input, store.ReportError, text(input, "message"))
	return success("Ignored"), nil
}

// recordNamed is record for an instance by its name.
func (p *Proxy) recordNamed(r *http.Request, input slap.Dict, state, log string) {
	name, err := nameOf(input)
	if err != nil {
		p.ignore(r, "unknown", err)
		return
	}
	instance, err := p.store.Instance(r.Context(), name)
	if err != nil || instance.Partition == nil {
		p.recorded(r, "", errors.Join(store.ErrNotFound, err))
		return
	}
	report := store.Report{Computer: instance.Partition.ID.Computer, Kind: store.KindInstance, Subject: instance.Partition.ID.Partition, State: state, Log: log}
	if name.Shared {
		if state != store.ReportError {
			return
		}
		report.Kind, report.Subject = store.KindShared, name.Reference()
	}
	p.record(r, report)
}

func (p *Proxy) rpcComputerBang(r *http.Request, input slap.Dict) (any, error) {
	computer := text(input, "computer_guid")
	p.recorded(r, computer, p.store.Banged(r.Context(), computer, text(input, "message")))
	return success("Ignored"), nil
}

// rpcPromises keeps which promises of an instance fail (PROXY-195).
func (p *Proxy) rpcPromises(r *http.Request, input slap.Dict) (any, error) {
	report := store.PromiseReport{
		PartitionID: slap.PartitionID{Computer: text(input, "computer_guid"), Partition: text(input, "compute_partition_id")},
		Identity:    identity(r),
	}
	if passed, whole := input["passed"].(int64); whole {
		report.Passed = int(min(passed, 1<<30))
	}
	failing, _ := input["failing"].([]any)
	for _, item := range failing {
		promise := item.(slap.Dict)
		report.Failing = append(report.Failing, store.FailingPromise{Name: text(promise, "name"), Message: text(promise, "message")})
	}
	err := p.store.Promises(r.Context(), report)
	p.recorded(r, report.Computer, err)
	if err != nil {
		return success("Ignored"), nil
	}
	return success("Recorded"), nil
}

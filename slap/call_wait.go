// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Look is what [Client.WaitComputer] found.
type Look struct {
	// Computer is nil if nothing has changed since the answer with the given tag.
	Computer *Computer
	// Tag names the answer; "" if the Master gives none.
	Tag string
	// Waits says that the Master waits for a change, as asked. Others answer at once.
	Waits bool
}

// WaitComputer fetches everything that should be on a computer, unless that is still
// what an earlier answer had, whose tag is given. A Master that can waits so long for a
// change (RFC 7240, AGENT-2), in seconds; others answer at once. An answer that breaks
// off is an error, as one of a proxy that waits less.
func (c *Client) WaitComputer(ctx context.Context, computer, tag string, wait time.Duration) (Look, error) {
	if computer == "" {
		return Look{}, notFound("the computer has no name")
	}
	l := &look{tag: tag, wait: wait}
	asked := call{path: fullComputerPath, method: http.MethodGet, query: Form{{"computer_id", computer}}, look: l}
	answer, err := c.do(ctx, asked)
	if errors.Is(err, ErrNotFound) {
		old, err := c.ComputerInformation(ctx, computer)
		return Look{Computer: old}, err
	}
	if err != nil || l.same {
		return Look{Tag: tag, Waits: l.applied}, err
	}
	value, err := Unmarshal(answer)
	if err != nil {
		return Look{}, c.answerError(asked, err)
	}
	full, ok := value.(*Computer)
	if !ok {
		return Look{}, c.answerError(asked, errors.New(kindName(value)+" where a computer belongs"))
	}
	return Look{Computer: full, Tag: l.tag, Waits: l.applied}, nil
}

// look is the conditional part of a call and of its answer.
type look struct {
	tag  string
	wait time.Duration

	same, applied bool
}

func (l *look) ask(h http.Header) {
	if l.tag != "" {
		h.Set("If-None-Match", l.tag)
	}
	if l.wait > 0 {
		h.Set("Prefer", "wait="+strconv.Itoa(int(l.wait/time.Second)))
	}
}

func (l *look) answered(r *http.Response) {
	l.same = r.StatusCode == http.StatusNotModified
	if !l.same {
		l.tag = r.Header.Get("ETag")
	}
	for _, applied := range r.Header.Values("Preference-Applied") {
		l.applied = l.applied || strings.Contains(applied, "wait=")
	}
}

// patient is the client of calls that wait. The kernel asks now and then whether the
// other end is still there: without that, nobody would notice for the whole time.
func (c *Client) patient() *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters == nil {
		transport := c.http.Transport.(*http.Transport).Clone()
		transport.DialContext = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 20 * time.Second, Interval: 5 * time.Second, Count: 3,
		}}).DialContext
		c.waiters = &http.Client{CheckRedirect: c.checkRedirect, Transport: transport}
	}
	return c.waiters
}

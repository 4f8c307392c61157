// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// A MasterKind says which program a Master is.
type MasterKind string

// The kinds.
const (
	KindOurs  MasterKind = "slapos proxy" // this program's
	KindProxy MasterKind = "slapproxy"    // slapos.core's
	KindOther MasterKind = "other"        // a SlapOS Master, or no master at all
)

// An Identity is what a Master shows to everybody.
type Identity struct {
	Kind MasterKind
	Date time.Time // by its clock; zero if it tells none
}

// Identify finds out which program answers. Its error is one of connecting.
func (c *Client) Identify(ctx context.Context) (Identity, error) {
	id := Identity{Kind: KindOther}
	var header http.Header
	_, err := c.do(ctx, call{method: http.MethodGet, path: "getRunId", header: &header})
	if header == nil {
		return id, err
	}
	id.Date, _ = http.ParseTime(header.Get("Date")) // zero
	if err != nil {
		return id, nil
	}
	id.Kind = KindProxy
	if alive, err := c.do(ctx, call{method: http.MethodGet, path: "healthz"}); err == nil && strings.TrimSpace(string(alive)) == "ok" {
		id.Kind = KindOurs
	}
	return id, ctx.Err()
}

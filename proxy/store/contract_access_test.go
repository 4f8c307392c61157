// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

// testAccess: tokens are good for what they say and no longer, and each key has one
// name (JOIN-10, JOIN-11, JOIN-12).
func testAccess(t *testing.T, at place) {
	l := newLab(t, at, 1)
	if tokens, certificates, err := l.Store.Access(l.ctx); err != nil || len(tokens)+len(certificates) > 0 {
		t.Errorf("%v, %v, %v", tokens, certificates, err)
	}
	expires := float64(l.clock.Now().Unix() + 1000)
	add := func(token store.Token) {
		t.Helper()
		if token.Expires == 0 {
			token.Expires = expires
		}
		token.Digest = "digest of " + token.ID
		l.must(l.AddToken(store.As(l.ctx, "somebody"), token))
	}
	serial := 0
	join := func(id, key, name string) (store.Certificate, error) {
		serial++
		return l.Join(l.ctx, store.Joining{ID: id, Digest: "digest of " + id, Key: key, Name: name, Serial: fmt.Sprint("s", serial), Expires: time.Unix(1_800_000_000, 0)})
	}
	expect := func(id, key, name, want string) {
		t.Helper()
		certificate, err := join(id, key, name)
		if got := certificate.Name; err != nil || got != want {
			t.Errorf("join by %s with %s as %q: %q, %v, want %q", id, key, name, got, err, want)
		}
	}
	refuse := func(id, key, name string, want error) {
		t.Helper()
		_, err := join(id, key, name)
		var taken *store.NameError
		if !errors.Is(err, want) && (want != nil || !errors.As(err, &taken)) {
			t.Errorf("join by %s with %s as %q: %v, want %v", id, key, name, err, want)
		}
	}
	l.load("node-4", 1)
	add(store.Token{ID: "many", Role: store.RoleNode, Uses: -1})
	add(store.Token{ID: "one", Role: store.RoleNode, Uses: 1})
	add(store.Token{ID: "named", Role: store.RoleNode, Uses: 1, Name: "node-4"})
	add(store.Token{ID: "short", Role: store.RoleNode, Uses: -1, Expires: expires - 995})
	add(store.Token{ID: "bearer", Role: store.RoleUser, Name: "alice"})
	expect("many", "k1", "", "node-5") // after the one that is there
	expect("many", "k1", "", "node-5") // again
	expect("many", "k2", "", "node-6")
	expect("many", "k3", "rack.7_a", "rack.7_a")
	for _, taken := range []string{"node-5", "node-4", "c", "alice", "a b", "", "-x", "ü"} {
		if taken != "" {
			refuse("many", "k4", taken, nil)
		}
	}
	expect("one", "k5", "", "node-7")
	expect("one", "k5", "", "node-7") // interrupted, and repeated
	refuse("one", "k6", "", store.ErrTokenUsed)
	refuse("named", "k7", "other", nil)
	expect("named", "k7", "", "node-4") // the owner says so
	refuse("bearer", "k8", "", store.ErrTokenUsed)
	refuse("none", "k8", "", store.ErrTokenUnknown)
	_, err := l.Join(l.ctx, store.Joining{ID: "many", Digest: "another", Key: "k8"})
	if !errors.Is(err, store.ErrTokenUnknown) {
		t.Errorf("a wrong secret: %v", err)
	}
	l.clock.pass(20)
	refuse("short", "k9", "", store.ErrTokenExpired)

	// Renewed, revoked.
	renewed, err := l.Renew(l.ctx, "s1", "r1", time.Unix(1_900_000_000, 0))
	if err != nil || renewed.Name != "node-5" || renewed.Key != "k1" || renewed.Expires != 1_900_000_000 {
		t.Errorf("%+v, %v", renewed, err)
	}
	if _, err := l.Renew(l.ctx, "none", "r2", time.Unix(1_900_000_000, 0)); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if count, err := l.Revoke(l.ctx, "node-5"); err != nil || count != 3 {
		t.Errorf("%d certificates, %v", count, err)
	}
	if count, err := l.Revoke(l.ctx, "node-5"); err != nil || count != 0 {
		t.Errorf("again: %d, %v", count, err)
	}
	if _, err := l.Revoke(l.ctx, "nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := l.Renew(l.ctx, "r1", "r3", time.Unix(1_900_000_000, 0)); !errors.Is(err, store.ErrRevoked) {
		t.Error(err)
	}
	refuse("many", "k1", "", store.ErrRevoked)
	l.must(l.RevokeKey(l.ctx, "k2"))
	refuse("many", "k2", "", store.ErrRevoked)
	l.must(l.RevokeToken(l.ctx, "many"))
	refuse("many", "k9", "", store.ErrTokenRevoked)
	if err := l.RevokeToken(l.ctx, "none"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if err := l.AddToken(l.ctx, store.Token{ID: "x", Name: "a/b"}); err == nil {
		t.Error("a name that no certificate can have")
	}
	tokens, certificates, err := l.Store.Access(l.ctx)
	l.must(err)
	l.equal("tokens", len(tokens), 5)
	l.equal("who made it", tokens[0].Actor, "somebody")
	l.equal("certificates", len(certificates), 8)
	l.clock.pass(10 * 365 * 24 * 3600) // what ended long ago is forgotten
	add(store.Token{ID: "later", Role: store.RoleNode, Expires: expires + 20*365*24*3600})
	tokens, certificates, err = l.Store.Access(l.ctx)
	l.must(err)
	l.equal("tokens and certificates", []int{len(tokens), len(certificates)}, []int{1, 0})
}

// testAccessAtOnce: machines that join at once have names of their own, and no more of
// them join than a token is good for, by whichever program (JOIN-13).
func testAccessAtOnce(t *testing.T, at place) {
	l := newLab(t, at, 1)
	other := open(t, store.Options{URI: l.uri})
	l.must(l.AddToken(l.ctx, store.Token{ID: "t", Digest: "d", Role: store.RoleNode, Uses: 5, Expires: 1e12}))
	var joining sync.WaitGroup
	names := make([]string, 12)
	for i := range names {
		joining.Go(func() {
			var by store.Access = l
			if i%2 == 0 {
				by = other
			}
			certificate, err := by.Join(l.ctx, store.Joining{ID: "t", Digest: "d", Key: fmt.Sprint("k", i), Serial: fmt.Sprint("s", i), Expires: time.Unix(1_800_000_000, 0)})
			if err != nil && !errors.Is(err, store.ErrTokenUsed) {
				t.Error(err)
			}
			if err == nil {
				names[i] = certificate.Name
			}
		})
	}
	joining.Wait()
	seen := map[string]bool{}
	for _, name := range names {
		if name != "" && seen[name] {
			t.Errorf("two are %s", name)
		}
		seen[name] = true
	}
	if len(seen) != 6 { // with ""
		t.Errorf("%q joined", names)
	}
	// Another program hears of it.
	changed, leave := other.AwaitAccess()
	defer leave()
	if _, err := l.Revoke(l.ctx, "node-1"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-t.Context().Done():
		t.Error("nothing is told of a revocation")
	}
}

// testOnlyPartition: who may ask in the name of a partition alone is no person when
// there is nobody in it (JOIN-22).
func testOnlyPartition(t *testing.T, at place) {
	l := newLab(t, at, 3)
	l.request(order("root"))
	free := slap.PartitionID{Computer: "c", Partition: "slappart2"}
	for name, o := range map[string]store.Order{
		"a free partition":       {Request: slap.Request{Reference: "root", SoftwareRelease: release, State: "destroyed"}, Authorized: &free},
		"a partition in a form":  {Request: slap.Request{Reference: "root", SoftwareRelease: release, State: "destroyed", Requester: free}},
		"nobody":                 {Request: slap.Request{Reference: "root", SoftwareRelease: release, State: "destroyed"}},
		"a partition of no node": {Request: slap.Request{Reference: "root", SoftwareRelease: release, Requester: slap.PartitionID{Computer: "none", Partition: "slappart0"}}},
	} {
		o.OnlyPartition = true
		var refused *store.RequesterError
		if _, err := l.Request(l.ctx, o); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	busy := slap.PartitionID{Computer: "c", Partition: "slappart0"}
	child := store.Order{Request: slap.Request{Reference: "child", SoftwareRelease: release, State: "started"}, Authorized: &busy, OnlyPartition: true}
	if _, err := l.Request(l.ctx, child); err != nil {
		t.Error(err)
	}
}

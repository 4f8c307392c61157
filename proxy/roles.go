// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap"
)

// roleOwner is whoever may do everything, by no authority of the master's: with a
// certificate or a token that the configuration names, or because nobody is asked.
const roleOwner = "owner"

// Identity is who makes a request. The zero Identity is nobody.
type Identity struct {
	Role, Name string
	// Serial and Key are those of the certificate that was shown, "" for others.
	Serial, Key string
}

// isOwner reports whether it may do everything: the owner's, and by his grant those of
// administrators.
func (i Identity) isOwner() bool { return i.Role == roleOwner || i.Role == store.RoleAdmin }

// scope is what a node or a partition may act for: partition is "" for a node. It is
// nil for others.
func (i Identity) scope() *scope {
	switch i.Role {
	case store.RoleNode:
		return &scope{computer: i.Name}
	case rolePartition:
		computer, partition, _ := strings.Cut(i.Name, "/")
		return &scope{computer: computer, partition: partition}
	}
	return nil
}

type identityKey struct{}

// identityOf is who makes a request that route has let in.
func identityOf(r *http.Request) Identity {
	i, _ := r.Context().Value(identityKey{}).(Identity)
	return i
}

// identify finds out who makes a request. The error says what is wrong with what it
// shows.
func (p *Proxy) identify(r *http.Request) (Identity, error) {
	if p.access == nil {
		if p.options.Allow == nil || p.options.Allow(r) {
			return Identity{Role: roleOwner}, nil
		}
		return Identity{}, nil
	}
	// What the configuration lets in, it lets in: but the certificates of the
	// authority are none of those that listen_client_ca_file names, whatever that is.
	configured, shown := r, (*x509.Certificate)(nil)
	if r.TLS != nil {
		if certificate, ours := p.access.authority.Issuer(r.TLS.VerifiedChains); ours {
			shown, configured = certificate, r.WithContext(r.Context())
			configured.TLS = &tls.ConnectionState{}
		}
	}
	if p.options.Allow != nil && p.options.Allow(configured) {
		return Identity{Role: roleOwner}, nil
	}
	if secret := secretOf(r); authority.IsToken(secret) {
		return p.access.byToken(r.Context(), secret)
	}
	if shown != nil {
		return p.access.byCertificate(r.Context(), shown)
	}
	return Identity{}, nil
}

// rule says who may use a route, beside the owner and administrators.
type rule struct {
	// open is for everybody; member for whoever has an identity.
	open, member bool
	// user is for users; reader says what read-only ones may, nothing if nil.
	user   bool
	reader func(*http.Request) bool
	// form says what a node or a partition may do by the fields of the query or of
	// the body; input by the input of a method. Nothing if both are nil.
	form  func(*scoped, fields) error
	input func(*scoped, slap.Dict) error
}

// scoped is a request by a node or a partition.
type scoped struct {
	*scope
	p *Proxy
	r *http.Request
}

// scope is what a node or a partition may act for.
type scope struct{ computer, partition string }

func (s *scope) String() string {
	if s.partition != "" {
		return "partition " + s.partition + " of " + s.computer
	}
	return "node " + s.computer
}

// refuses is the answer to a node that acts for something else.
func (s *scope) refuses(what string) error {
	return refuse(http.StatusForbidden, "The certificate of %s is for itself alone: it may not %s.", s, what)
}

var errNobody = &statusError{http.StatusUnauthorized, "This master answers those who show a client certificate, or a token as bearer or password."}

// admit lets a request in, or says why not. It returns the request with who makes it.
func (p *Proxy) admit(w http.ResponseWriter, r *http.Request, found route) (*http.Request, error) {
	rule := found.rule
	who, err := p.identify(r)
	if rule != nil && rule.open {
		return asIdentity(r, who), nil // even with a certificate that counts no longer
	}
	if err != nil {
		return nil, err
	}
	if who.Role == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="SlapOS master"`)
		return nil, errNobody
	}
	r = asIdentity(r, who)
	if who.isOwner() || rule != nil && rule.member {
		return r, nil
	}
	if s := who.scope(); s != nil {
		return p.admitNode(w, r, rule, s)
	}
	switch {
	case rule == nil:
	case who.Role == store.RoleUser && rule.user:
		return r, nil
	case who.Role == store.RoleReadOnly && rule.reader != nil && rule.reader(r):
		return r, nil
	}
	return nil, refuse(http.StatusForbidden, "The role %s, which %s has, may not do this.", who.Role, who.Name)
}

// stillAdmitted refuses a request whose certificate or token was revoked while it
// waited.
func (p *Proxy) stillAdmitted(r *http.Request) error {
	before := identityOf(r)
	if p.access == nil || before.Role == roleOwner {
		return nil
	}
	now, err := p.identify(r)
	if err == nil && now != before {
		err = errRevoked
	}
	return err
}

func asIdentity(r *http.Request, who Identity) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, who))
}

type formKey struct{}

// admitNode lets a node or a partition do what its rule says. The fields that are
// checked are those that the handler gets: they are read once.
func (p *Proxy) admitNode(w http.ResponseWriter, r *http.Request, rule *rule, s *scope) (*http.Request, error) {
	if rule == nil || rule.form == nil && rule.input == nil {
		return nil, s.refuses("do this")
	}
	if rule.form == nil {
		return r, nil // rpc asks
	}
	form := queryOf(r)
	if r.Method == http.MethodPost {
		var err error
		if form, err = p.readForm(w, r); err != nil {
			return nil, err
		}
		r = r.WithContext(context.WithValue(r.Context(), formKey{}, form))
	}
	return r, rule.form(&scoped{s, p, r}, form)
}

// readForm reads the form of a node, as its handler would.
func (p *Proxy) readForm(w http.ResponseWriter, r *http.Request) (fields, error) {
	if found, _ := p.find(r.URL.Path); found.anySize {
		return p.reportOf(r)
	}
	body := p.room.body(r, http.MaxBytesReader(w, r.Body, p.options.MaximumBody))
	defer body.leave()
	r.Body = requestBody{body}
	form, err := formOf(r)
	r.Body = http.NoBody
	return form, err
}

// formRead is the form that was read to see whether a node may do this.
func formRead(r *http.Request) (fields, bool) {
	form, found := r.Context().Value(formKey{}).(fields)
	return form, found
}

// mayCall says whether who makes a call may do it with that input.
func (p *Proxy) mayCall(r *http.Request, input slap.Dict) error {
	s := identityOf(r).scope()
	if s == nil {
		return nil
	}
	found, _ := p.find(r.URL.Path)
	if found.rule == nil || found.rule.input == nil {
		return s.refuses("do this")
	}
	return found.rule.input(&scoped{s, p, r}, input)
}

// The checks of rules.

// own refuses another computer, and a partition what is the whole node's.
func (s *scoped) own(computer string) error {
	if s.partition != "" {
		return s.refuses("act for the whole node")
	}
	return s.ownComputer(computer)
}

func (s *scoped) ownComputer(computer string) error {
	if computer != s.computer {
		return s.refuses(fmt.Sprintf("act for %.64q", computer))
	}
	return nil
}

// ownPartition refuses partitions of others.
func (s *scoped) ownPartition(id slap.PartitionID) error {
	if err := s.ownComputer(id.Computer); err != nil {
		return err
	}
	if s.partition != "" && id.Partition != s.partition {
		return s.refuses(fmt.Sprintf("act for %.64q", id.Partition))
	}
	return nil
}

// ownNamed refuses instances that are elsewhere; those that nobody knows too.
func (s *scoped) ownNamed(subject store.Subject) error {
	instance, err := s.p.store.Instance(s.r.Context(), subject)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoHost) || err == nil && instance.Partition == nil {
		return s.refuses("act for an instance that isn't here")
	}
	if err != nil {
		return err
	}
	return s.ownPartition(instance.Partition.ID)
}

// requester refuses a request in the name of anybody but own partitions: the header
// and the form may each name one (PROXY-60).
func (s *scoped) requester(authorized *slap.PartitionID, form slap.PartitionID) error {
	if authorized != nil {
		if err := s.ownPartition(*authorized); err != nil {
			return err
		}
		if form == (slap.PartitionID{}) || form.Partition == "" {
			return nil
		}
	}
	if form.Partition == "" || form.Partition == "None" {
		return s.refuses("request in the name of a person")
	}
	return s.ownPartition(form)
}

// onlyReads reports whether a request can change nothing.
func onlyReads(r *http.Request) bool {
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

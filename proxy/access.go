// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap"
)

// rolePartition is the role of what runs in a partition of a node that has joined: it
// gets a certificate of its own, by the node (JOIN-23).
const rolePartition = "partition"

// access knows whom certificates of the authority and tokens belong to. It has them
// all in memory, and reads them again when they change: a request after a revocation
// is refused.
type access struct {
	authority *authority.Authority
	store     store.Store
	now       func() time.Time

	mutex        sync.Mutex
	changed      <-chan struct{} // nil: they were never read
	tokens       map[string]store.Token
	certificates map[string]store.Certificate
	nodes        map[string]bool // that have a certificate which counts
	partitions   map[slap.PartitionID]partitionCertificate
}

// partitionCertificate is what a partition was last given.
type partitionCertificate struct {
	tenant           string
	certificate, key string
	renew            time.Time
}

func newAccess(options Options) *access {
	if options.Authority == nil {
		return nil
	}
	return &access{authority: options.Authority, store: options.Store, now: time.Now, partitions: map[slap.PartitionID]partitionCertificate{}}
}

// look reads what changed. The mutex is held.
func (a *access) look(ctx context.Context) error {
	if a.changed != nil {
		select {
		case <-a.changed:
		default:
			return nil
		}
	}
	// Whatever changes from here on rings again. The end of the database leaves.
	changed, leave := a.store.AwaitAccess()
	tokens, certificates, err := a.store.Access(ctx)
	if err != nil {
		leave()
		a.changed = nil
		return fmt.Errorf("read who may use this master: %w", err)
	}
	a.changed = changed
	a.tokens, a.certificates, a.nodes = map[string]store.Token{}, map[string]store.Certificate{}, map[string]bool{}
	for _, token := range tokens {
		a.tokens[token.ID] = token
	}
	for _, certificate := range certificates {
		a.certificates[certificate.Serial] = certificate
		if certificate.Role == store.RoleNode && certificate.Revoked == 0 {
			a.nodes[certificate.Name] = true
		}
	}
	return nil
}

func (a *access) seconds() float64 { return float64(a.now().UnixNano()) / 1e9 }

var (
	errRevoked      = &statusError{http.StatusForbidden, "This certificate was revoked. Join again with a new token, after slapos node leave."}
	errUnknown      = &statusError{http.StatusForbidden, "This master doesn't know this certificate, though it is of its authority: join again with a new token, after slapos node leave."}
	errTokenOfNodes = &statusError{http.StatusForbidden, "This token is for slapos node join alone."}
)

// byCertificate says whose a certificate of the authority is.
func (a *access) byCertificate(ctx context.Context, certificate *x509.Certificate) (Identity, error) {
	subject := authority.SubjectOf(certificate)
	if subject.Role == rolePartition {
		return a.partition(ctx, subject)
	}
	row, found, err := a.certificate(ctx, authority.SerialText(certificate.SerialNumber))
	switch {
	case err != nil:
		return Identity{}, err
	case !found || row.Role != subject.Role || row.Name != subject.Name || !a.now().Before(certificate.NotAfter):
		return Identity{}, errUnknown
	case row.Revoked != 0:
		return Identity{}, errRevoked
	}
	return Identity{Role: row.Role, Name: row.Name, Serial: row.Serial, Key: row.Key}, nil
}

func (a *access) certificate(ctx context.Context, serial string) (row store.Certificate, found bool, err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	err = a.look(ctx)
	row, found = a.certificates[serial]
	return row, found, err
}

func (a *access) token(ctx context.Context, id string) (row store.Token, err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	err = a.look(ctx)
	return a.tokens[id], err
}

// isNode reports whether a computer has a certificate that counts.
func (a *access) isNode(ctx context.Context, computer string) (bool, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	err := a.look(ctx)
	return a.nodes[computer], err
}

// partition is the identity of what runs in a partition, as long as its instance is
// the same, and its node may use the master.
func (a *access) partition(ctx context.Context, subject authority.Subject) (Identity, error) {
	computer, name, _ := strings.Cut(subject.Name, "/")
	known, err := a.isNode(ctx, computer)
	if err != nil {
		return Identity{}, err
	}
	tenant, err := a.tenant(ctx, slap.PartitionID{Computer: computer, Partition: name})
	if err != nil {
		return Identity{}, err
	}
	if !known || tenant == "" || tenant != subject.Tenant {
		return Identity{}, errRevoked
	}
	return Identity{Role: rolePartition, Name: subject.Name}, nil
}

// tenant tells the instances apart that a partition has one after the other; "" if it
// has none.
func (a *access) tenant(ctx context.Context, id slap.PartitionID) (string, error) {
	instance, err := a.store.Instance(ctx, store.At(id))
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil || instance.Title == "" || instance.Partition.SoftwareRelease == "" {
		return "", err
	}
	sum := sha256.Sum256([]byte(instance.Title + "\x00" + instance.Partition.RootTitle()))
	return hex.EncodeToString(sum[:12]), nil
}

// certificateOf is the key and the certificate of a partition, the same until they are
// to be renewed or the instance is another; empty for a free one.
func (a *access) certificateOf(ctx context.Context, id slap.PartitionID) (certificate, key string, err error) {
	tenant, err := a.tenant(ctx, id)
	if err != nil || tenant == "" {
		return "", "", err
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	given := a.partitions[id]
	if given.tenant != tenant || !a.now().Before(given.renew) {
		issued, secret, err := a.authority.Make(authority.Subject{Role: rolePartition, Name: id.Computer + "/" + id.Partition, Tenant: tenant})
		if err != nil {
			return "", "", err
		}
		given = partitionCertificate{tenant, string(issued.PEM), string(secret), a.now().Add(issued.Expires.Sub(a.now()) * 2 / 3)}
		a.partitions[id] = given
	}
	return given.certificate, given.key, nil
}

// byToken says whose a token is.
func (a *access) byToken(ctx context.Context, text string) (Identity, error) {
	token, err := authority.ParseToken(text)
	if err != nil {
		return Identity{}, nil
	}
	row, err := a.token(ctx, token.ID)
	if err != nil || !authority.SameDigest(row.Digest, token.Digest()) {
		return Identity{}, err
	}
	if err := row.Refuses(a.seconds()); err != nil {
		return Identity{}, refuse(http.StatusForbidden, "%s", upperFirst(err.Error()))
	}
	if row.Role == store.RoleNode {
		return Identity{}, errTokenOfNodes
	}
	return Identity{Role: row.Role, Name: row.Name}, nil
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// secretOf is the token of a request, as a bearer's or as the password of a browser.
func secretOf(r *http.Request) string {
	for _, header := range r.Header.Values("Authorization") {
		if token, found := strings.CutPrefix(header, "Bearer "); found {
			return strings.TrimSpace(token)
		}
	}
	_, password, _ := r.BasicAuth()
	return password
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// How machines join, renew their certificates and leave (JOIN-14 to JOIN-16).
const (
	joinPath  = "/join"
	renewPath = "/renew"
	leavePath = "/leave"
	// maximumJoin bounds the body, in bytes.
	maximumJoin = 64 << 10
)

func (p *Proxy) joinRoutes() map[string]map[string]handler {
	return map[string]map[string]handler{
		joinPath: post(p.join), renewPath: post(p.renew), leavePath: post(p.leave),
	}
}

var errNoAuthority = &statusError{http.StatusNotFound, "This master has no authority of its own: its owner sets listen_authority = true in section [slapproxy]."}

// join gives a certificate to who has a token, for the key of its request. The answer
// has the name that it was given.
func (p *Proxy) join(w http.ResponseWriter, r *http.Request) error {
	if p.access == nil {
		return errNoAuthority
	}
	token, err := authority.ParseToken(secretOf(r))
	if err != nil {
		return refuse(http.StatusForbidden, "%s", upperFirst(err.Error()))
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maximumJoin))
	if err != nil {
		return err
	}
	var asked struct {
		Request    string `json:"request"`
		ComputerID string `json:"computer_id"`
	}
	if json.Unmarshal(text, &asked) != nil {
		return errBad
	}
	key, err := authority.ParseRequest([]byte(asked.Request))
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", upperFirst(err.Error()))
	}
	id, err := authority.KeyID(key)
	if err != nil {
		return err
	}
	serial, err := authority.NewSerial()
	if err != nil {
		return err
	}
	row, err := p.store.Join(r.Context(), store.Joining{
		ID: token.ID, Digest: token.Digest(), Key: id, Name: asked.ComputerID, Serial: serial, Expires: p.access.authority.Expires(),
	})
	if err != nil {
		return joinError(err)
	}
	issued, err := p.access.authority.Sign(authority.Subject{Role: row.Role, Name: row.Name}, key, serial)
	if err != nil {
		return err
	}
	p.log.Info("A certificate was made for "+row.Role+" "+row.Name, "token", row.Token, "by", p.actorOf(r))
	return p.writeIssued(w, row, issued)
}

func (p *Proxy) writeIssued(w http.ResponseWriter, row store.Certificate, issued authority.Issued) error {
	body, err := pyjson.Spaced.Append(nil, pyjson.Of(
		"role", row.Role, "name", row.Name, "certificate", string(issued.PEM),
		"authority", string(p.access.authority.Certificates()), "expires", issued.Expires.Unix(),
	))
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, body)
	return nil
}

// joinError gives the reasons of the store their status.
func joinError(err error) error {
	var taken *store.NameError
	for _, reason := range []error{store.ErrTokenUnknown, store.ErrTokenExpired, store.ErrTokenUsed, store.ErrTokenRevoked, store.ErrRevoked} {
		if errors.Is(err, reason) {
			return refuse(http.StatusForbidden, "%s", upperFirst(reason.Error()))
		}
	}
	if errors.As(err, &taken) {
		return refuse(http.StatusConflict, "%s", upperFirst(taken.Error()))
	}
	return err
}

var errNoCertificate = &statusError{http.StatusForbidden, "Show the certificate that this is about, of this master's authority."}

// renew signs the key of the certificate that the client shows once more.
func (p *Proxy) renew(w http.ResponseWriter, r *http.Request) error {
	who := identityOf(r)
	if who.Serial == "" {
		return errNoCertificate
	}
	serial, err := authority.NewSerial()
	if err != nil {
		return err
	}
	row, err := p.store.Renew(r.Context(), who.Serial, serial, p.access.authority.Expires())
	if err != nil {
		return joinError(err)
	}
	issued, err := p.access.authority.Sign(authority.Subject{Role: row.Role, Name: row.Name}, r.TLS.PeerCertificates[0].PublicKey, serial)
	if err != nil {
		return err
	}
	return p.writeIssued(w, row, issued)
}

// leave revokes all certificates of the key that the client shows one of.
func (p *Proxy) leave(w http.ResponseWriter, r *http.Request) error {
	who := identityOf(r)
	if who.Key == "" {
		return errNoCertificate
	}
	if err := p.store.RevokeKey(r.Context(), who.Key); err != nil {
		return err
	}
	p.log.Info(who.Role + " " + who.Name + " has left")
	writeBytes(w, contentJSON, []byte(`{"type": "success", "title": "Left"}`))
	return nil
}

// partitionCertificate gives a node that has joined the key and the certificate of a
// partition of its own, and anybody else nothing, as the original (PROXY-39).
func (p *Proxy) partitionCertificate(w http.ResponseWriter, r *http.Request) error {
	certificate, key := "", ""
	if s := identityOf(r).scope(); s != nil {
		query := queryOf(r)
		var err error
		if certificate, key, err = p.access.certificateOf(r.Context(), slap.PartitionID{Computer: s.computer, Partition: query.get("computer_partition_id")}); err != nil {
			return err
		}
	}
	return writeMarshalled(w, slap.Dict{"certificate": certificate, "key": key})
}

// rpcPartitionCertificate is the same for an instance by its name.
func (p *Proxy) rpcPartitionCertificate(r *http.Request, input slap.Dict) (any, error) {
	certificate, key := "", ""
	if identityOf(r).scope() != nil {
		name, err := nameOf(input)
		if err != nil {
			return nil, err
		}
		instance, err := p.store.Instance(r.Context(), name)
		if err != nil {
			return nil, noInstance(input)
		}
		if certificate, key, err = p.access.certificateOf(r.Context(), instance.Partition.ID); err != nil {
			return nil, err
		}
	}
	return pyjson.Of("key", key, "certificate", certificate), nil
}

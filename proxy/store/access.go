// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The roles of tokens and certificates.
const (
	RoleNode     = "node"
	RoleUser     = "user"
	RoleAdmin    = "admin"
	RoleReadOnly = "read-only"
)

// Why a token or a certificate gives nothing.
var (
	ErrTokenUnknown = errors.New("the master doesn't know this token: it was made by another one, or removed")
	ErrTokenExpired = errors.New("this token has expired: ask for a new one, slapos proxy token makes it")
	ErrTokenUsed    = errors.New("this token is used up: ask for a new one, slapos proxy token makes it")
	ErrTokenRevoked = errors.New("this token was revoked: ask for a new one, slapos proxy token makes it")
	ErrRevoked      = errors.New("this certificate was revoked: slapos node leave and a new token begin anew")
)

// NameError says that a name can't be given to who asks for it.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("the name %.64q is taken: join by another one; if it is this machine's, the master's owner gives it by slapos proxy token node --name", e.Name)
}

// Token is a row of what somebody may join or use the master with. The secret is
// not in it.
type Token struct {
	ID, Digest    string
	Role, Name    string
	Made, Expires float64 // seconds since 1970
	Uses          int64   // how many certificates it is still good for; -1: any number
	Revoked       float64 // when; 0: it isn't
	Actor         string  // who made it
}

// Refuses says why a token gives nothing at a time, nil if it gives something.
func (t *Token) Refuses(now float64) error {
	switch {
	case t.Revoked != 0:
		return ErrTokenRevoked
	case now >= t.Expires:
		return ErrTokenExpired
	}
	return nil
}

// Certificate is a row of what the authority has signed.
type Certificate struct {
	Serial        string
	Role, Name    string
	Key           string // which names the key
	Token         string // by whose id it was joined
	Made, Expires float64
	Revoked       float64
}

var tokenTable = table[Token]{name: "token18", order: "made, id", late: accessSchema, columns: []column[Token]{
	{name: "id", at: func(r *Token) cell { return text{&r.ID} }},
	{name: "digest", at: func(r *Token) cell { return text{&r.Digest} }},
	{name: "role", at: func(r *Token) cell { return text{&r.Role} }},
	{name: "name", at: func(r *Token) cell { return text{&r.Name} }},
	{name: "made", at: func(r *Token) cell { return number{&r.Made} }},
	{name: "expires", at: func(r *Token) cell { return number{&r.Expires} }},
	{name: "uses", at: func(r *Token) cell { return whole{&r.Uses} }},
	{name: "revoked", at: func(r *Token) cell { return number{&r.Revoked} }},
	{name: "actor", at: func(r *Token) cell { return text{&r.Actor} }},
}}

var certificateTable = table[Certificate]{name: "certificate18", order: "made, serial", late: accessSchema, columns: []column[Certificate]{
	{name: "serial", at: func(r *Certificate) cell { return text{&r.Serial} }},
	{name: "role", at: func(r *Certificate) cell { return text{&r.Role} }},
	{name: "name", at: func(r *Certificate) cell { return text{&r.Name} }},
	{name: "key", at: func(r *Certificate) cell { return text{&r.Key} }},
	{name: "token", at: func(r *Certificate) cell { return text{&r.Token} }},
	{name: "made", at: func(r *Certificate) cell { return number{&r.Made} }},
	{name: "expires", at: func(r *Certificate) cell { return number{&r.Expires} }},
	{name: "revoked", at: func(r *Certificate) cell { return number{&r.Revoked} }},
}}

// accessChanged stands for all tokens and certificates where changes are counted by
// computer: no computer has such a name (see [IsName]).
const accessChanged = "/access"

var nameExpression = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) })

// IsName reports whether a certificate may have a name: letters, digits, ".", "_" and
// "-", 64 at most.
func IsName(name string) bool { return nameExpression().MatchString(name) }

// forgetAfter is how long what has ended is still listed, in seconds.
const forgetAfter = 30 * 24 * 3600

// access is a transaction on tokens and certificates.
func (d *Database) access(ctx context.Context, run func(context.Context, *transaction) error) error {
	return d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
		if d.dialect.file != "" {
			if exists, err := d.hasTable(ctx, t.session, tokenTable.name); err != nil {
				return err
			} else if !exists {
				if err := t.script(ctx, accessSchema); err != nil {
					return err
				}
			}
		}
		return run(ctx, t)
	})
}

// AddToken implements [Access].
func (d *Database) AddToken(ctx context.Context, token Token) error {
	if token.Name != "" && !IsName(token.Name) {
		return &NameError{token.Name}
	}
	return d.access(ctx, func(ctx context.Context, t *transaction) error {
		for _, name := range []string{tokenTable.name, certificateTable.name} {
			if _, err := t.write(ctx, accessChanged, "DELETE FROM "+name+" WHERE expires < $1", t.time-forgetAfter); err != nil {
				return err
			}
		}
		row := token
		row.Made, row.Actor = t.time, t.actor
		_, err := t.write(ctx, accessChanged, tokenTable.insertion(), tokenTable.values(&row)...)
		return err
	})
}

// Access implements [Access].
func (d *Database) Access(ctx context.Context) (tokens []Token, certificates []Certificate, err error) {
	err = d.look(ctx, func(ctx context.Context, s *session) error {
		tokens, certificates = nil, nil
		if exists, err := d.hasTable(ctx, s, tokenTable.name); err != nil || !exists {
			return err
		}
		rows, err := tokenTable.read(ctx, s, "ORDER BY made, id")
		if err != nil {
			return err
		}
		signed, err := certificateTable.read(ctx, s, "ORDER BY made, serial")
		tokens, certificates = valuesOf(rows), valuesOf(signed)
		return err
	})
	return tokens, certificates, err
}

// AwaitAccess implements [Access].
func (d *Database) AwaitAccess() (changed <-chan struct{}, leave func()) {
	return d.awaited.wait(accessChanged)
}

// RevokeToken implements [Access].
func (d *Database) RevokeToken(ctx context.Context, id string) error {
	return d.access(ctx, func(ctx context.Context, t *transaction) error {
		n, err := t.write(ctx, accessChanged, "UPDATE token18 SET revoked = $1 WHERE id = $2 AND revoked = 0", t.time, id)
		if err != nil || n > 0 {
			return err
		}
		var one int
		if found, err := t.row(ctx, "SELECT 1 FROM token18 WHERE id = $1", []any{id}, &one); err != nil || found {
			return err
		}
		return ErrNotFound
	})
}

// Revoke implements [Access].
func (d *Database) Revoke(ctx context.Context, name string) (count int64, err error) {
	err = d.access(ctx, func(ctx context.Context, t *transaction) error {
		count = 0
		known := false
		for _, table := range []string{tokenTable.name, certificateTable.name} {
			var one int
			found, err := t.row(ctx, "SELECT 1 FROM "+table+" WHERE name = $1 LIMIT 1", []any{name}, &one)
			if err != nil {
				return err
			}
			n, err := t.write(ctx, accessChanged, "UPDATE "+table+" SET revoked = $1 WHERE name = $2 AND revoked = 0 AND expires > $1", t.time, name)
			if err != nil {
				return err
			}
			known, count = known || found, count+n
		}
		if !known {
			return ErrNotFound
		}
		return nil
	})
	return count, err
}

// Joining is what a machine asks for.
type Joining struct {
	ID, Digest string    // of the token
	Key        string    // which names the key
	Name       string    // that it wants, "" for a free one
	Serial     string    // of the certificate to be signed
	Expires    time.Time // of it
}

// Join implements [Access].
func (d *Database) Join(ctx context.Context, joining Joining) (certificate Certificate, err error) {
	if joining.Name != "" && !IsName(joining.Name) {
		return certificate, &NameError{joining.Name}
	}
	err = d.access(ctx, func(ctx context.Context, t *transaction) error {
		rows, err := tokenTable.read(ctx, t.session, "WHERE id = $1", joining.ID)
		if err != nil {
			return err
		}
		if len(rows) == 0 || subtle.ConstantTimeCompare([]byte(rows[0].Digest), []byte(joining.Digest)) != 1 {
			return ErrTokenUnknown
		}
		token := rows[0]
		if err := token.Refuses(t.time); err != nil {
			return err
		}
		certificate = Certificate{Serial: joining.Serial, Role: token.Role, Key: joining.Key, Token: token.ID, Made: t.time,
			Expires: float64(joining.Expires.UnixNano()) / 1e9}
		before, err := certificateTable.read(ctx, t.session, "WHERE key = $1 ORDER BY made DESC LIMIT 1", joining.Key)
		if err != nil {
			return err
		}
		repeated := len(before) > 0 && before[0].Role == token.Role && (joining.Name == "" || joining.Name == before[0].Name) &&
			(token.Name == "" || token.Name == before[0].Name)
		if len(before) > 0 && before[0].Revoked != 0 {
			return ErrRevoked
		}
		if !repeated || before[0].Token != token.ID { // an interrupted one that goes on has had its use
			if err := t.use(ctx, token); err != nil {
				return err
			}
		}
		if repeated {
			certificate.Name = before[0].Name
		} else if certificate.Name, err = t.nameFor(ctx, token, joining.Name); err != nil {
			return err
		}
		_, err = t.write(ctx, accessChanged, certificateTable.insertion(), certificateTable.values(&certificate)...)
		return err
	})
	return certificate, err
}

// use takes a certificate from what a token is good for.
func (t *transaction) use(ctx context.Context, token *Token) error {
	if token.Uses < 0 {
		return nil
	}
	if token.Uses == 0 {
		return ErrTokenUsed
	}
	_, err := t.write(ctx, accessChanged, "UPDATE token18 SET uses = uses - 1 WHERE id = $1", token.ID)
	return err
}

// nameFor is the name of who joins: what the token says, or else what is asked for and
// nobody has, or else a free one.
func (t *transaction) nameFor(ctx context.Context, token *Token, asked string) (string, error) {
	if token.Name != "" {
		if asked != "" && asked != token.Name {
			return "", &NameError{asked}
		}
		return token.Name, nil
	}
	if asked == "" {
		return t.freeName(ctx, token.Role)
	}
	taken := asked == t.db.options.Computer
	for _, query := range []string{
		"SELECT 1 FROM computer18 WHERE reference = $1 LIMIT 1", "SELECT 1 FROM certificate18 WHERE name = $1 LIMIT 1", "SELECT 1 FROM token18 WHERE name = $1 LIMIT 1",
	} {
		var one int
		found, err := t.row(ctx, query, []any{asked}, &one)
		if err != nil {
			return "", err
		}
		taken = taken || found
	}
	if taken {
		return "", &NameError{asked}
	}
	return asked, nil
}

// freeName is the role with the next number, which nobody has and had of late.
func (t *transaction) freeName(ctx context.Context, role string) (string, error) {
	last := 0
	note := func(name string) {
		if digits, found := strings.CutPrefix(name, role+"-"); found {
			if n, err := strconv.Atoi(digits); err == nil && n < 1<<40 {
				last = max(last, n)
			}
		}
	}
	note(t.db.options.Computer)
	for _, query := range []string{
		"SELECT reference FROM computer18 WHERE reference LIKE $1", "SELECT name FROM certificate18 WHERE name LIKE $1", "SELECT name FROM token18 WHERE name LIKE $1",
	} {
		err := t.rows(ctx, query, []any{role + "-%"}, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			note(name)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return role + "-" + strconv.Itoa(last+1), nil
}

// Renew implements [Access].
func (d *Database) Renew(ctx context.Context, old, serial string, expires time.Time) (certificate Certificate, err error) {
	err = d.access(ctx, func(ctx context.Context, t *transaction) error {
		rows, err := certificateTable.read(ctx, t.session, "WHERE serial = $1", old)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNotFound
		}
		if rows[0].Revoked != 0 {
			return ErrRevoked
		}
		certificate = *rows[0]
		certificate.Serial, certificate.Made, certificate.Expires = serial, t.time, float64(expires.UnixNano())/1e9
		_, err = t.write(ctx, accessChanged, certificateTable.insertion(), certificateTable.values(&certificate)...)
		return err
	})
	return certificate, err
}

// RevokeKey implements [Access].
func (d *Database) RevokeKey(ctx context.Context, key string) error {
	return d.access(ctx, func(ctx context.Context, t *transaction) error {
		_, err := t.write(ctx, accessChanged, "UPDATE certificate18 SET revoked = $1 WHERE key = $2 AND revoked = 0", t.time, key)
		return err
	})
}

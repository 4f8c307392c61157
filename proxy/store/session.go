// SPDX-License-Identifier: GPL-3.0-or-later

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// session is one connection and its prepared statements. It serves one
// goroutine at a time.
type session struct {
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	trace    func(statement string) // see [Options], or nil
}

func newSession(ctx context.Context, pool *sql.DB) (*session, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, prepared: map[string]*sql.Stmt{}}, nil
}

func (s *session) close() {
	for _, statement := range s.prepared {
		_ = statement.Close()
	}
	_ = s.conn.Close()
}

func (s *session) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s.trace != nil {
		s.trace(text)
	}
	if statement := s.prepared[text]; statement != nil {
		return statement, nil
	}
	statement, err := s.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", firstLine(text), err)
	}
	s.prepared[text] = statement
	return statement, nil
}

// script runs statements that are not worth keeping.
func (s *session) script(ctx context.Context, text string) error {
	if _, err := s.conn.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", firstLine(text), err)
	}
	return nil
}

// exec runs a statement and says how many rows it changed.
func (s *session) exec(ctx context.Context, text string, args ...any) (int64, error) {
	statement, err := s.statement(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := statement.ExecContext(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", firstLine(text), err)
	}
	return result.RowsAffected()
}

// row reads the first row of an answer; found is false without one.
func (s *session) row(ctx context.Context, text string, args []any, into ...any) (found bool, err error) {
	statement, err := s.statement(ctx, text)
	if err != nil {
		return false, err
	}
	err = statement.QueryRowContext(ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", firstLine(text), err)
	}
	return true, nil
}

// rows calls each for every row of an answer.
func (s *session) rows(ctx context.Context, text string, args []any, each func(*sql.Rows) error) error {
	statement, err := s.statement(ctx, text)
	if err != nil {
		return err
	}
	rows, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", firstLine(text), err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return fmt.Errorf("%s: %w", firstLine(text), err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", firstLine(text), err)
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

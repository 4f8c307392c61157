// SPDX-License-Identifier: GPL-3.0-or-later

package store

import "context"

// Ready implements [Store].
func (d *Database) Ready(ctx context.Context) error {
	err := d.look(ctx, func(ctx context.Context, s *session) error {
		var one int
		_, err := s.row(ctx, "SELECT 1 FROM computer18 LIMIT 1", nil, &one)
		return err
	})
	if err != nil {
		return err
	}
	// The turn of a writer is enough, unless the last one failed: only writing shows
	// whether there is room again.
	tries := d.writer.failing.Load()
	done := make(chan error, 1)
	go func() {
		done <- d.writer.do(ctx, func(ctx context.Context, t *transaction) error {
			if !tries {
				return nil
			}
			keep, err := t.keep(ctx)
			if err == nil && !keep {
				err = ErrFull
			}
			if err != nil {
				return err
			}
			return t.note(ctx, "UPDATE heard18 SET time = time WHERE computer_reference = ''")
		})
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

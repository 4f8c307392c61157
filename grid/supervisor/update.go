package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// removeTries and removePause bound the patience with a group that is still
// stopping.
const removeTries = 10

var removePause = time.Second

// Update makes the supervisor follow its configuration files: groups that
// disappeared are stopped and forgotten, groups that changed are stopped and
// read again, new ones are added (GRID-74). Groups that didn't change are not
// touched.
func Update(ctx context.Context, c *Client, logger *slog.Logger) error {
	added, changed, removed, err := c.ReloadConfig(ctx)
	if err != nil {
		return fmt.Errorf("reload the supervisor's configuration: %w", err)
	}
	for _, name := range removed {
		if err := c.StopGroup(ctx, name); err != nil {
			logger.Warn(fmt.Sprintf("Problem while stopping process '%s', will try later", name), "error", err)
		} else {
			logger.Info(fmt.Sprintf("Stopped '%s'", name))
		}
		if err := removeGroup(ctx, c, name); err != nil {
			return err
		}
		logger.Info(fmt.Sprintf("Removed '%s'", name))
	}
	for _, name := range changed {
		if err := c.StopGroup(ctx, name); err != nil {
			logger.Warn(fmt.Sprintf("Problem while stopping process '%s'", name), "error", err)
		}
		logger.Info(fmt.Sprintf("Stopped '%s'", name))
		if err := removeGroup(ctx, c, name); err != nil {
			return err
		}
		if err := addGroup(ctx, c, logger, name); err != nil {
			return err
		}
	}
	for _, name := range added {
		if err := addGroup(ctx, c, logger, name); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup forgives that somebody else removed the group meanwhile.
func removeGroup(ctx context.Context, c *Client, name string) error {
	for try := 1; ; try++ {
		err := c.RemoveGroup(ctx, name)
		if err == nil || isFault(err, FaultBadName) {
			return nil
		}
		if try == removeTries {
			return fmt.Errorf("remove supervisor group %s: %w", name, err)
		}
		if err := sleep(ctx, removePause); err != nil {
			return err
		}
	}
}

// addGroup forgives that somebody else added the group meanwhile.
func addGroup(ctx context.Context, c *Client, logger *slog.Logger, name string) error {
	if err := c.AddGroup(ctx, name); err != nil && !isFault(err, FaultAlreadyAdded) {
		return fmt.Errorf("add supervisor group %s: %w", name, err)
	}
	logger.Info(fmt.Sprintf("Updated '%s'", name))
	return nil
}

func isFault(err error, code int) bool {
	var fault *Fault
	return errors.As(err, &fault) && fault.Code == code
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

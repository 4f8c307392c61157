// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"context"
	"fmt"
	"time"

	"slapos/slap/clock"
)

// stopPatience is how long services may take to end.
const stopPatience = 5 * time.Minute

// Stop ends the supervisor, and with it what it runs.
func (c *Cloud) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	client := c.system()
	defer client.Close()
	// The agent first, so that no pass starts any more.
	if err := client.StopAll(ctx); err != nil {
		return err
	}
	if err := client.Shutdown(ctx); err != nil {
		return err
	}
	for c.Runs(ctx) {
		if clock.Pause(ctx, askPause) != nil {
			return fmt.Errorf("the services of %s do not stop: see %s", c.options.Root, c.Path("var/log/supervisord.log"))
		}
	}
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"slapos/proxy/store"
)

// partitionName begins the reference of each partition; its number follows.
const partitionName = "slappart"

// keepInstances refuses to go on with fewer partitions than instances are in: the
// master would forget them.
func (c *Cloud) keepInstances(ctx context.Context) error {
	database := c.Path("var/proxy.db")
	if info, err := os.Stat(database); err != nil || info.Size() == 0 {
		return nil // it has none yet
	}
	reader, err := store.OpenReader(ctx, database)
	if err != nil {
		return err
	}
	defer reader.Close()
	known, err := reader.Table(ctx, "sqlite_master", "name = 'partition18'")
	if err != nil || len(known.Rows) == 0 { // an older one: the master will copy it
		return err
	}
	busy, err := reader.Table(ctx, "partition18", "slap_state <> 'free'")
	if err != nil {
		return err
	}
	for _, row := range busy.Rows {
		reference := busy.Text(row, "reference")
		number, err := strconv.Atoi(strings.TrimPrefix(reference, partitionName))
		if err == nil && number >= c.Settings.Partitions {
			return fmt.Errorf("%d partitions are too few: %s is in %s: destroy it first, or start with --partitions %d or more",
				c.Settings.Partitions, busy.Text(row, "partition_reference"), reference, number+1)
		}
	}
	return nil
}

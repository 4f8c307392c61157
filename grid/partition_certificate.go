// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/wholefile"
)

// refreshCertificate asks the master for the partition's key and certificate
// and writes what has changed, readable to its user alone (GRID-51).
func (t *partition) refreshCertificate(ctx context.Context) (pass.Outcome, error) {
	if t.keyFile == "" {
		return pass.Skipped, nil
	}
	certificate, key, err := t.node.Master.Certificate(ctx, t.id)
	if errors.Is(err, slap.ErrNotFound) {
		return "", fmt.Errorf("Partition %s is not known by SlapOS Master.", t.id.Partition)
	}
	if err != nil {
		return "", err
	}
	if err := t.writeSecret("certificate", t.certificateFile, certificate); err != nil {
		return "", err
	}
	return pass.Done, t.writeSecret("key", t.keyFile, key)
}

func (t *partition) writeSecret(kind, path, content string) error {
	present, err := os.ReadFile(path)
	switch {
	case err == nil && string(present) == content:
		return nil
	case err == nil:
		t.log.Info(fmt.Sprintf("Changed %s content. Updating '%s'", kind, path))
	case errors.Is(err, fs.ErrNotExist):
		t.log.Info(fmt.Sprintf("Missing %s file. Creating '%s'", kind, path))
	default:
		return err
	}
	file, err := wholefile.Create(path, wholefile.ExactMode(0o400))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer file.Cleanup()
	if os.Geteuid() == 0 {
		if err := file.Chown(t.root.UID, t.root.GID); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	if _, err := file.WriteString(content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

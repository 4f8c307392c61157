// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/wholefile"
)

// CertificateFiles are the files of a partition in the repository, by the paths that
// its profile has: nothing in them is made shorter (GRID-57).
func CertificateFiles(repository, name string) (key, certificate string) {
	if !strings.HasSuffix(repository, "/") {
		repository += "/"
	}
	return repository + name + ".key", repository + name + ".crt"
}

// RefreshCertificate gets the partition's key and certificate from the master
// and writes those that have changed, readable only by the partition's user
// (GRID-51).
func (p *Partition) RefreshCertificate(ctx context.Context) pass.Outcome {
	if p.KeyFile == "" {
		return pass.Skipped
	}
	certificate, key, err := p.Node.Master.Certificate(ctx, p.ID)
	if errors.Is(err, slap.ErrNotFound) {
		return pass.Failed(fmt.Errorf("Partition %s is not known by SlapOS Master.", p.ID.Partition))
	}
	if err != nil {
		return pass.Failed(err)
	}
	if err := p.writeSecret("certificate", p.CertificateFile, certificate); err != nil {
		return pass.Failed(err)
	}
	return pass.Ended(p.writeSecret("key", p.KeyFile, key))
}

func (p *Partition) writeSecret(kind, path, content string) error {
	present, err := os.ReadFile(path)
	switch {
	case err == nil && string(present) == content:
		return nil
	case err == nil:
		p.Log.Info(fmt.Sprintf("Changed %s content. Updating '%s'", kind, path))
	case errors.Is(err, fs.ErrNotExist):
		p.Log.Info(fmt.Sprintf("Missing %s file. Creating '%s'", kind, path))
	default:
		return err
	}
	file, err := wholefile.Create(path, wholefile.ExactMode(0o400))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer file.Cleanup()
	if _, err := file.WriteString(content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if os.Geteuid() == 0 {
		if err := file.Chown(p.Root.UID, p.Root.GID); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

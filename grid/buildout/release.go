// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"crypto/md5"
	"encoding/hex"
	"path/filepath"
)

// ReleaseScript is the buildout of a Software Release, below its directory.
const ReleaseScript = "bin/buildout"

// ReleaseName is the name of a release's directory: the md5 sum of its URL
// (GRID-20).
func ReleaseName(url string) string {
	sum := md5.Sum([]byte(url))
	return hex.EncodeToString(sum[:])
}

// ReleaseDirectory is where the release of a URL is installed, below the
// directory of all releases.
func ReleaseDirectory(softwareRoot, url string) string {
	return filepath.Join(softwareRoot, ReleaseName(url))
}

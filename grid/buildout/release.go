// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"crypto/md5"
	"encoding/hex"
	"path/filepath"
)

// ReleaseScript is the path of a Software Release's buildout in its directory.
const ReleaseScript = "bin/buildout"

// CompletedFile marks a Software Release that is built and reported. It contains the
// time.
const CompletedFile = ".completed"

// ReleaseName returns the name of a release's directory: the md5 sum of its URL
// (GRID-20).
func ReleaseName(url string) string {
	sum := md5.Sum([]byte(url))
	return hex.EncodeToString(sum[:])
}

// ReleaseDirectory returns the directory of a URL's release, below the
// directory of all releases.
func ReleaseDirectory(softwareRoot, url string) string {
	return filepath.Join(softwareRoot, ReleaseName(url))
}

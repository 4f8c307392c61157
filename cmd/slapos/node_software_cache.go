// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"slapos/grid/software"
	"slapos/networkcache"
)

// releaseCache is the cache of built Software Releases that the options of a
// node name, [networkcache] among them (GRID-4); upload says whether what is
// built here goes there (GRID-28). Without URLs cache is nil.
func (e *environment) releaseCache(options map[string]string, reserve int64) (cache software.Cache, upload bool, err error) {
	dated, err := truthOption(options, "signature-date", false)
	if err != nil {
		return nil, false, err
	}
	releases := &networkcache.Releases{
		Download:     e.networkCacheConfig(options, "download-binary", ""),
		SoftwareRoot: options["software_root"],
		SharedRoots:  lines(options["shared_part_list"]),
		Reserve:      reserve,
		Dated:        dated,
		OpenParts:    software.OpenParts(options["software_root"]),
		Open:         software.OpenPacked(options["software_root"], lines(options["shared_part_list"])),
	}
	// What is uploaded is looked up there, too: NC-4, NC-20.
	releases.Upload = e.networkCacheConfig(options, "upload-binary", "upload-binary")
	releases.Upload.SignatureKeyFile = e.signatureKeyFile(options)
	upload = options["upload-binary-cache-url"] != "" && options["upload-binary-dir-url"] != ""
	if !upload && options["download-binary-cache-url"] == "" && options["download-binary-dir-url"] == "" {
		return nil, false, nil
	}
	return releases, upload, nil
}

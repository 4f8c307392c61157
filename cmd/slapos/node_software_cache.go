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
	if releases.Neighbours, err = e.neighbours(options); err != nil {
		return nil, false, err
	}
	// What is uploaded is looked up there, too: NC-4, NC-20.
	releases.Upload = e.networkCacheConfig(options, "upload-binary", "upload-binary")
	releases.Upload.SignatureKeyFile, releases.Upload.PassphraseFile = e.signatureKeyFile(options)
	upload = options["upload-binary-cache-url"] != "" && options["upload-binary-dir-url"] != ""
	if !upload && options["download-binary-cache-url"] == "" && options["download-binary-dir-url"] == "" && len(releases.Neighbours) == 0 {
		return nil, false, nil
	}
	return releases, upload, nil
}

// neighbours are the caches of proximity-url-list, with the authorities and
// certificates of the far one (NC-100).
func (e *environment) neighbours(options map[string]string) (near []networkcache.Config, err error) {
	places, err := proximityPlaces(options["proximity-url-list"])
	for _, place := range places {
		config := e.networkCacheConfig(options, "", "")
		config.Cache.Download, config.Directory.Download = place[0], place[1]
		near = append(near, config)
	}
	return near, err
}

// proximityPlaces are the URLs of shacache and shadir of each line.
func proximityPlaces(text string) (places [][2]string, err error) {
	for _, line := range lines(text) {
		cache, directory, err := networkcache.ParsePlace(line)
		if err != nil {
			return nil, &valueError{key: "proximity-url-list", value: line, want: "must have a cache in each line, http://HOST:PORT or the URLs of shacache and shadir with a blank between"}
		}
		places = append(places, [2]string{cache, directory})
	}
	return places, nil
}

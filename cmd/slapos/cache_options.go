// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"slapos/cmd/slapos/pytext"
	"slapos/networkcache"
)

// networkCacheConfig reads the options of section [networkcache] for downloads
// from the URLs whose names begin with download, and uploads to those that begin
// with upload (NC-1). An empty beginning leaves that out.
func (e *environment) networkCacheConfig(options map[string]string, download, upload string) networkcache.Config {
	service := func(name, files string) networkcache.Service {
		s := networkcache.Service{
			CAFile:          e.expandUser(options[files+"-ca-file"]),
			CertificateFile: e.expandUser(options[files+"-cert-file"]),
			KeyFile:         e.expandUser(options[files+"-key-file"]),
		}
		if download != "" {
			s.Download = options[download+"-"+name+"-url"]
		}
		if upload != "" {
			s.Upload = options[upload+"-"+name+"-url"]
		}
		return s
	}
	return networkcache.Config{
		Cache:           service("cache", "shacache"),
		Directory:       service("dir", "shadir"),
		CertificateList: options["signature-certificate-list"],
		Logger:          e.log,
	}
}

// signatureKeyFile has two spellings (NC-1). The first that is present counts,
// even if it is empty. The passphrase of an encrypted key is in a file of its
// own, or a credential that systemd gives the service (NC-106).
func (e *environment) signatureKeyFile(options map[string]string) (key, passphrase string) {
	for _, name := range []string{"signature-private-key-file", "signature_private_key_file"} {
		if path, given := options[name]; given {
			key = e.expandUser(path)
			break
		}
	}
	if path, given := options["signature-passphrase-file"]; given {
		return key, e.expandUser(path)
	}
	if directory := e.getenv("CREDENTIALS_DIRECTORY"); directory != "" {
		path := filepath.Join(directory, "signature-passphrase")
		if _, err := os.Stat(path); err == nil {
			return key, path
		}
	}
	return key, ""
}

// networkCacheSection is section [networkcache], which must have the keys.
func networkCacheSection(c *pytext.Configuration, keys ...string) (map[string]string, error) {
	section, err := c.Section("networkcache")
	if err != nil {
		return nil, err
	}
	if section == nil {
		return nil, fmt.Errorf("%s has no section [networkcache]", c.Path())
	}
	for _, key := range keys {
		if _, found := section[key]; !found {
			return nil, fmt.Errorf("No option '%s' in section [networkcache] of %s", key, c.Path())
		}
	}
	return maps.Clone(section), nil
}

// sourceKey is shadir's key of a downloaded file.
func sourceKey(url string) string {
	sum := md5.Sum([]byte(url))
	return "file-urlmd5:" + hex.EncodeToString(sum[:])
}

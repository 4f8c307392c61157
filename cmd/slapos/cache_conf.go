// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/networkcache"
	"slapos/slap/wholefile"
)

// What slapcache uses where nothing is said (NC-90 to NC-92).
const (
	slapcacheConfiguration = "/etc/opt/slapcache.cfg"
	slapcacheKey           = "slapos-global-key"
	slapcacheTestingKey    = "slapos-upgrade-testing-key" // without a section [shacache]
	slapcacheFile          = "/etc/opt/slapos/slapos-upgrade"
	slapcacheDestination   = "/etc/opt/slapcache"
)

func slapcacheFlag(path *string) cli.Flag {
	return &cli.StringFlag{Name: "slapos-configuration", Destination: path, Value: slapcacheConfiguration, Usage: "`FILE` with the sections [shacache] and [networkcache]"}
}

// openSlapcache reads a configuration file of slapcache: the key of the files,
// and the cache.
func (e *environment) openSlapcache(path string) (client *networkcache.Client, key string, err error) {
	configuration, err := e.readConfiguration(e.expandUser(path))
	if err != nil {
		return nil, "", err
	}
	config, section, err := e.networkCacheOf(configuration)
	if err != nil {
		return nil, "", err
	}
	key = slapcacheTestingKey
	if configuration.Has("shacache") {
		shacache, err := configuration.Section("shacache")
		if err != nil {
			return nil, "", err
		}
		if key = shacache["key"]; key == "" {
			return nil, "", fmt.Errorf("No option 'key' in section [shacache] of %s", configuration.Path())
		}
	}
	config.SignatureKeyFile, config.PassphraseFile = e.signatureKeyFile(section)
	client, err = networkcache.NewClient(config)
	return client, key, err
}

type cacheConfOptions struct {
	path, key              string
	cacheURL, directoryURL string
	certificates           cli.StringSlice
	force                  bool
}

func (o *cacheConfOptions) flags() []cli.Flag {
	return []cli.Flag{
		slapcacheFlag(&o.path),
		&cli.StringFlag{Name: "key", Destination: &o.key, Value: slapcacheKey, Usage: "`KEY` of the files"},
		&cli.StringFlag{Name: "cache-url", Destination: &o.cacheURL, Usage: "`URL` of shacache"},
		&cli.StringFlag{Name: "dir-url", Destination: &o.directoryURL, Usage: "`URL` of shadir"},
		&cli.StringSliceFlag{Name: "certificate", Destination: &o.certificates, Usage: "`FILE` with certificates of those whose files are trusted; may be repeated"},
		&cli.BoolFlag{Name: "force", Destination: &o.force, Usage: "move an existing file away"},
	}
}

func newCacheConfCommand(e *environment) *cli.Command {
	options := new(cacheConfOptions)
	return &cli.Command{
		Name:  "conf",
		Usage: "write a configuration for files shared by key",
		Description: `Writes what slapos cache share and fetch-shared read. Addresses and certificates
that aren't given are left to fill in. --force moves an existing file to
FILE.old.SECONDS.

Exit codes: 0 done; 1 failed, or the file exists.`,
		Flags:  options.flags(),
		Action: func(*cli.Context) error { return runCacheConf(e, *options) },
	}
}

func runCacheConf(e *environment, options cacheConfOptions) error {
	path := e.expandUser(options.path)
	text, missing, err := e.slapcacheText(options)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil && !options.force {
		return fmt.Errorf("%s already exists! --force moves it away", path)
	} else if err == nil {
		old := fmt.Sprintf("%s.old.%s", path, strconv.FormatFloat(float64(e.now().UnixMicro())/1e6, 'f', -1, 64))
		if err := os.Rename(path, old); err != nil {
			return err
		}
		e.log.Info(path + " was moved to " + old)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := wholefile.Write(path, []byte(text), 0o666); err != nil {
		return err
	}
	if len(missing) > 0 {
		e.log.Warn(fmt.Sprintf("Fill in %s in %s", strings.Join(missing, ", "), path))
	}
	return nil
}

// slapcacheText is the configuration, and what is missing in it.
func (e *environment) slapcacheText(options cacheConfOptions) (text string, missing []string, err error) {
	if strings.ContainsAny(options.key, "\r\n") || strings.TrimSpace(options.key) == "" {
		return "", nil, fmt.Errorf("--key %q: a line of text is needed", options.key)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[shacache]\nkey = %s\n\n[networkcache]\n", options.key)
	set := func(key, value, example string) {
		if value == "" {
			missing = append(missing, key)
			fmt.Fprintf(&b, "# %s = %s\n", key, example)
			return
		}
		fmt.Fprintf(&b, "%s = %s\n", key, strings.ReplaceAll(value, "\n", "\n  "))
	}
	for _, service := range []struct{ name, option, url string }{
		{"cache", "--cache-url", options.cacheURL}, {"dir", "--dir-url", options.directoryURL},
	} {
		if service.url != "" && !strings.HasPrefix(service.url, "http://") && !strings.HasPrefix(service.url, "https://") {
			return "", nil, fmt.Errorf("%s %q: it must begin with http:// or https://", service.option, hideSecrets(service.url))
		}
		for _, kind := range []string{"download-binary-", "download-"} {
			set(kind+service.name+"-url", service.url, "http://cache.example.com/sha"+service.name)
		}
	}
	var certificates strings.Builder
	for _, path := range options.certificates.Value() {
		content, err := os.ReadFile(e.expandUser(path))
		if err != nil {
			return "", nil, err
		}
		if len(networkcache.ParseCertificates(string(content), e.log)) == 0 {
			return "", nil, fmt.Errorf("%s has no certificate of an RSA key", path)
		}
		fmt.Fprintf(&certificates, "\n%s", strings.TrimSpace(string(content)))
	}
	set("signature-certificate-list", certificates.String(), "the certificates of those whose files are trusted")
	return b.String(), missing, nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/networkcache"
	"slapos/slap/wholefile"
)

type cacheFetchOptions struct {
	configuration, url string
	output             string
	sha512, md5        string
	onlyCache          bool
}

func (o *cacheFetchOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Destination: &o.output, Usage: "write to `FILE`, - for standard output (default: the last part of the URL)"},
		&cli.StringFlag{Name: "sha512", Destination: &o.sha512, Usage: "take only what has this `SUM`; it needs no signature then"},
		&cli.StringFlag{Name: "md5", Destination: &o.md5, Usage: "take only what has this `SUM`"},
		&cli.BoolFlag{Name: "only-cache", Destination: &o.onlyCache, Usage: "don't ask the URL itself"},
	}
}

func newCacheFetchCommand(e *environment) *cli.Command {
	options := new(cacheFetchOptions)
	return &cli.Command{
		Name:      "fetch",
		Usage:     "fetch the file of a URL, from the network cache if possible",
		ArgsUsage: "URL",
		Description: `Fetches the file of a URL as builds do: from the network cache, if a trusted
signature or --sha512 tells which content it is, else from the URL itself. The
caches in proximity-url-list are asked first. FILE is replaced only by a whole
file with the right sums.

Exit codes: 0 done; 1 failed, or it is nowhere.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.url = c.Args().First()
			return runCacheFetch(c.Context, e, *options)
		},
	}
}

func runCacheFetch(ctx context.Context, e *environment, options cacheFetchOptions) (err error) {
	if err := options.complete(); err != nil {
		return err
	}
	var places []networkcache.Config
	err = e.withConfiguration(options.configuration, []string{"networkcache"}, func(c *pytext.Configuration) error {
		section, err := networkCacheSection(c, "download-cache-url", "download-dir-url")
		if err != nil {
			return err
		}
		places, err = e.neighbours(section)
		places = append(places, e.networkCacheConfig(section, "download", ""))
		return err
	})
	if err != nil {
		return err
	}
	if options.output == "-" {
		file, err := newScratch("")
		if err != nil {
			return err
		}
		defer file.Close()
		if err := options.fetch(ctx, e, places, file); err != nil {
			return err
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err = io.Copy(e.stdout, file)
		return err
	}
	file, err := wholefile.Create(e.expandUser(options.output))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }()
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if err := options.fetch(ctx, e, places, file.File); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// complete checks the options, and fills in the file.
func (o *cacheFetchOptions) complete() error {
	o.sha512, o.md5 = strings.ToLower(o.sha512), strings.ToLower(o.md5)
	for _, sum := range []struct {
		name, value string
		size        int
	}{{"sha512", o.sha512, sha512.Size}, {"md5", o.md5, md5.Size}} {
		if digits, err := hex.DecodeString(sum.value); sum.value != "" && (err != nil || len(digits) != sum.size) {
			return argv.UsageErrorf("argument --%s: invalid value %q: must be %d hexadecimal digits", sum.name, sum.value, 2*sum.size)
		}
	}
	if o.output != "" {
		return nil
	}
	parsed, err := url.Parse(o.url)
	if err == nil {
		o.output = path.Base(parsed.Path)
	}
	if o.output == "" || o.output == "." || o.output == ".." || o.output == "/" {
		return argv.UsageErrorf("the URL has no name for the file: give --output")
	}
	return nil
}

// fetch fills a file from the first place that has what is wanted.
func (o *cacheFetchOptions) fetch(ctx context.Context, e *environment, places []networkcache.Config, file *os.File) error {
	for _, place := range places {
		err := o.fetchFrom(ctx, place, file)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if !errors.Is(err, networkcache.ErrNotFound) {
			e.log.Info(err.Error())
		}
	}
	if o.onlyCache {
		return fmt.Errorf("no cache has %s", o.url)
	}
	e.log.Info("Not in the network cache: downloading from the URL itself.")
	content, err := fetchToFile(ctx, o.url)
	if err != nil {
		return err
	}
	defer content.Close()
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return o.write(content, file)
}

// fetchFrom tries the contents that a cache has for the URL, the newest first.
func (o *cacheFetchOptions) fetchFrom(ctx context.Context, place networkcache.Config, file *os.File) error {
	client, err := networkcache.NewClient(place)
	if err != nil {
		return err
	}
	sums := []string{o.sha512}
	if o.sha512 == "" {
		if sums, err = client.TrustedSums(ctx, sourceKey(o.url)); err != nil {
			return err
		}
	}
	err = networkcache.ErrNotFound
	for _, sum := range sums {
		if err = o.download(ctx, client, sum, file); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (o *cacheFetchOptions) download(ctx context.Context, client *networkcache.Client, sum string, file *os.File) error {
	content, err := client.Download(ctx, sum)
	if err != nil {
		return err
	}
	defer content.Close()
	return o.write(content, file)
}

// write replaces what is in a file, and checks the sums.
func (o *cacheFetchOptions) write(content io.Reader, file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	strong, weak := sha512.New(), md5.New()
	if _, err := io.Copy(io.MultiWriter(file, strong, weak), content); err != nil {
		return err
	}
	for _, sum := range []struct{ name, want, got string }{
		{"SHA-512", o.sha512, hex.EncodeToString(strong.Sum(nil))}, {"MD5", o.md5, hex.EncodeToString(weak.Sum(nil))},
	} {
		if sum.want != "" && sum.want != sum.got {
			return fmt.Errorf("%s: the %s is %s, not %s", o.url, sum.name, sum.got, sum.want)
		}
	}
	return nil
}

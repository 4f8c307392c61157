// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/pytext"
	"slapos/networkcache/server"
	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/proxy/webhook"
	"slapos/slap/serve"
)

type proxyStartOptions struct {
	configuration          string
	database, port, host   string
	releaseRoot, accessLog string
}

// given are the options of the command line by the names of the keys that they
// replace; an empty one is none.
func (o *proxyStartOptions) given() map[string]string {
	return map[string]string{
		"database_uri": o.database, "port": o.port, "host": o.host, "local_software_release_root": o.releaseRoot,
	}
}

func (o *proxyStartOptions) flags() []cli.Flag {
	return []cli.Flag{
		configFlag(&o.configuration),
		&cli.StringFlag{Name: "database-uri", Destination: &o.database, Aliases: []string{"u"}, Usage: "SQLite `FILE`, or postgres://…"},
		&cli.StringFlag{Name: "port", Destination: &o.port, Usage: "`PORT` to listen on, 0 for a free one"},
		&cli.StringFlag{Name: "host", Destination: &o.host, Usage: "`ADDRESS` to listen on (default: 127.0.0.1)"},
		&cli.StringFlag{Name: "local-software-release-root", Destination: &o.releaseRoot, Usage: "`DIRECTORY` below which local software releases lie"},
		&cli.StringFlag{Name: "access-log", Destination: &o.accessLog, Usage: "append a line for each request to `FILE`"},
	}
}

func newProxyStartCommand(e *environment) *cli.Command {
	options := new(proxyStartOptions)
	return &cli.Command{
		Name:  "start",
		Usage: "minimalist, stand-alone SlapOS Master",
		Description: `Serves as the master of one owner's computers until it is interrupted. Anybody
who reaches the address may do anything, unless the configuration asks for a
client certificate (listen_client_ca_file) or a token (listen_token_file), or the
master has an authority of its own (listen_authority), see slapos proxy token.

Exit codes: 0 stopped; 1 the configuration, the database or the address can't
be used.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			return runProxyStart(c.Context, e, *options)
		},
	}
}

func runProxyStart(ctx context.Context, e *environment, options proxyStartOptions) error {
	return e.withConfiguration(options.configuration, []string{"slapproxy", "slapos"}, func(configuration *pytext.Configuration) error {
		return e.serveProxy(ctx, configuration, options)
	})
}

func (e *environment) serveProxy(ctx context.Context, configuration *pytext.Configuration, options proxyStartOptions) error {
	given := options.given()
	if given["port"] != "" {
		if _, err := wholeOption(given, "port", 0); err != nil {
			return optionError(err, "port")
		}
	}
	settings, err := proxySettings(configuration, given)
	if err != nil {
		return err
	}
	if file := settings["log_file"]; file != "" && e.global.logFile == "" {
		if err := e.addLogFile(file); err != nil {
			return err
		}
	}
	master, err := e.proxyOptions(configuration, settings)
	if err != nil {
		return err
	}
	if options.accessLog != "" {
		file, err := store.OpenPrivate(e.expandUser(options.accessLog), os.O_WRONLY|os.O_APPEND)
		if err != nil {
			return fmt.Errorf("access log: %w", err)
		}
		defer file.Close()
		master.AccessLog = io.Writer(file)
	}
	return e.startProxy(ctx, settings, master)
}

// startProxy opens the database and the address, and serves.
func (e *environment) startProxy(ctx context.Context, settings map[string]string, options proxy.Options) error {
	if settings["port"] == "" {
		return errors.New("no port: set it in section [slapproxy] or with --port, 0 for a free one")
	}
	port, err := wholeOption(settings, "port", 0)
	if err != nil {
		return err
	}
	security, err := e.guardProxy(settings, &options)
	if err != nil {
		return err
	}
	connections := 0
	if settings["listen_connections"] != "" {
		if connections, err = wholeOption(settings, "listen_connections", 0); err != nil {
			return err
		}
	}
	hooks, err := e.webhooks(settings)
	if err != nil {
		return err
	}
	storing := store.Options{
		URI: settings["database_uri"], Computer: options.Computer,
		SoftwareRoot: settings["local_software_release_root"], Logger: e.log, Now: e.now,
	}
	for key, number := range map[string]*int{"history_days": &storing.HistoryDays, "history_events": &storing.HistoryEvents} {
		if settings[key] != "" {
			if *number, err = wholeOption(settings, key, 0); err != nil {
				return err
			}
		}
	}
	// The address first: if it is taken, another proxy may be using the
	// database, which must then not be migrated.
	listeners, err := serve.Listen(ctx, settings["host"], port)
	if err != nil {
		return err
	}
	for _, listener := range listeners {
		defer listener.Close()
	}
	if options.Allow == nil && options.Authority == nil && !onlyLoopback(listeners) {
		e.log.Warn("Anybody who reaches this address may do anything: set listen_client_ca_file or listen_token_file in section [slapproxy], or listen on 127.0.0.1")
	}
	database, err := store.Open(ctx, storing)
	if err != nil {
		return err
	}
	defer database.Close()
	options.Store = database
	// A large cloud's takes a second: whoever looks first needn't wait for it.
	go func() { _, _ = database.Overview(ctx) }()
	if len(hooks.Targets) > 0 {
		hooks.Store = database
		sender := webhook.Start(hooks)
		defer sender.Close()
		options.Collectors = append(options.Collectors, sender)
	}
	closeCache, err := e.openProxyCache(ctx, settings, &options.Shacache.Store)
	if err != nil {
		return err
	}
	defer closeCache()
	return serve.Loop{
		Handler: proxy.New(options), Security: security, Log: e.log, Farewell: "Stopping", Connections: connections,
	}.Serve(ctx, listeners)
}

// guardProxy sets how the proxy listens and whom it answers: everybody, unless
// the settings name authorities of clients or tokens.
func (e *environment) guardProxy(settings map[string]string, options *proxy.Options) (*tls.Config, error) {
	file := func(key string) string { return e.expandUser(settings[key]) }
	listens, err := isAuthority(settings)
	if err != nil {
		return nil, err
	}
	if listens && settings["listen_cert_file"] != "" {
		return nil, errors.New("listen_authority and listen_cert_file exclude each other in section [slapproxy]: nodes that join know the master by its authority")
	}
	for _, key := range []string{"listen_key_file", "listen_client_ca_file"} {
		if settings[key] != "" && settings["listen_cert_file"] == "" && (!listens || key == "listen_key_file") {
			return nil, fmt.Errorf("%s needs listen_cert_file in section [slapproxy]", key)
		}
	}
	security, err := listenSecurity(file("listen_cert_file"), file("listen_key_file"), file("listen_client_ca_file"))
	if err != nil {
		return nil, err
	}
	if listens {
		if security, err = e.authoritySecurity(settings, options); err != nil {
			return nil, err
		}
	}
	openCache, err := isTrue(settings, "listen_open_cache")
	if err != nil {
		return nil, err
	}
	clients := server.Uploaders{NotLoopback: true}
	if settings["listen_token_file"] != "" {
		var names []string
		if clients.Tokens, names, err = readNamedTokens(file("listen_token_file")); err != nil {
			return nil, err
		}
		options.TokenName = func(r *http.Request) string {
			if i := clients.Token(r); i >= 0 {
				return names[i]
			}
			return ""
		}
	}
	if settings["listen_client_ca_file"] != "" || settings["listen_token_file"] != "" {
		options.Allow = func(r *http.Request) bool {
			return clients.Allow(r) || isPartition(r, file("listen_instance_root")) || openCache && isCacheDownload(r)
		}
	}
	return security, nil
}

// isCacheDownload tells whether a request reads from the built-in cache, as builds do
// that no token is for.
func isCacheDownload(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && strings.HasPrefix(r.URL.Path, "/shacache/")
}

// isPartition tells whether a request comes from a process of a user of this machine
// who owns a directory in the instance root: what runs in partitions knows the
// master's address, and no token (PROXY-186). Root is none: its processes may ask for
// others.
func isPartition(r *http.Request, instanceRoot string) bool {
	if instanceRoot == "" {
		return false
	}
	user, found := serve.PeerUser(r)
	if !found || user == 0 {
		return false
	}
	entries, err := os.ReadDir(instanceRoot)
	return err == nil && slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		info, err := entry.Info()
		return err == nil && info.IsDir() && int(info.Sys().(*syscall.Stat_t).Uid) == user
	})
}

// proxySettings merges the sections [slapos] and [slapproxy] in the order of
// the file: the first that has a key wins, the command line over all
// (PROXY-2).
func proxySettings(c *pytext.Configuration, given map[string]string) (map[string]string, error) {
	settings := given
	for _, name := range c.Sections() {
		if name != "slapos" && name != "slapproxy" {
			continue
		}
		section, err := c.Section(name)
		if err != nil {
			return nil, err
		}
		for key, value := range section {
			// The example configuration has hyphens in the keys of the cache.
			if strings.HasPrefix(key, "shacache-") {
				key = strings.ReplaceAll(key, "-", "_")
			}
			if settings[key] == "" {
				settings[key] = value
			}
		}
	}
	if settings["host"] == "" {
		settings["host"] = "127.0.0.1"
	}
	if settings["database_uri"] == "" {
		return nil, fmt.Errorf("database-uri is required: set database_uri in section [slapproxy] of %s, or give --database-uri", c.Path())
	}
	return settings, nil
}

// proxyOptions are the options of the master, except its database.
func (e *environment) proxyOptions(c *pytext.Configuration, settings map[string]string) (proxy.Options, error) {
	products, err := softwareProducts(settings["software_product_list"])
	if err != nil {
		return proxy.Options{}, err
	}
	masters, err := externalMasters(c)
	if err != nil {
		return proxy.Options{}, err
	}
	insecure, err := isTrue(settings, "master_insecure")
	if err != nil {
		return proxy.Options{}, err
	}
	if settings["computer_id"] == "" {
		return proxy.Options{}, fmt.Errorf("%s: computer_id is missing in section [slapos]", c.Path())
	}
	return proxy.Options{
		Computer:        settings["computer_id"],
		Products:        products,
		Masters:         masters,
		Port:            settings["port"],
		PublicDirectory: settings["public_directory_path"],
		Guard:           serve.Guard{Names: strings.Fields(settings["listen_names"])},
		Shacache: proxy.Shacache{
			UpstreamCache:     settings["shacache_upstream_cache_url"],
			UpstreamDirectory: settings["shacache_upstream_dir_url"],
		},
		CAFile:   settings["master_ca_file"],
		Insecure: insecure,
		Home:     e.getenv("HOME"),
		Version:  proxy.Version{Version: version, Commit: commit},
		Logger:   e.log,
	}, nil
}

// softwareProducts reads lines of a name, a blank and a URL.
func softwareProducts(list string) (map[string]string, error) {
	products := map[string]string{}
	for _, line := range lines(list) {
		name, url, found := strings.Cut(line, " ")
		if !found || strings.Contains(url, " ") {
			return nil, fmt.Errorf("software_product_list: each line must be a name, a blank and a URL, not %q", line)
		}
		products[name] = url
	}
	return products, nil
}

// externalMasters reads the sections [multimaster/URL] (PROXY-3).
func externalMasters(c *pytext.Configuration) ([]proxy.Master, error) {
	var masters []proxy.Master
	for _, name := range c.Sections() {
		url, found := strings.CutPrefix(name, "multimaster/")
		if !found {
			continue
		}
		section, err := c.Section(name)
		if err != nil {
			return nil, err
		}
		masters = append(masters, proxy.Master{
			URL: url, Key: section["key"], Certificate: section["cert"],
			Releases: lines(section["software_release_list"]),
			Computer: section["computer"], Partition: section["partition"],
		})
	}
	return masters, nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var serveMutations = []mutation{
	// The master.
	{
		"Pages of other sites are refused", "slap/serve/guard.go", "slap/serve.TestGuard",
		`if crossOrigin.Check(r) != nil || embeds(r) {`,
		`if false {`,
	},
	{
		"Other sites' names are refused", "slap/serve/guard.go", "slap/serve.TestGuard",
		`; net.ParseIP(address) != nil { // with a zone`,
		`; address != "" {`,
	},
	{
		"Browsers must use known names everywhere", "slap/serve/guard.go", "slap/serve.TestGuard",
		`(onLoopback(r) || fromBrowser(r))`,
		`onLoopback(r)`,
	},
	{
		"Everybody on the machine must use known names", "slap/serve/guard.go", "slap/serve.TestGuard",
		`(onLoopback(r) || fromBrowser(r))`,
		`fromBrowser(r)`,
	},
	{
		"The master has a guard", "proxy/route.go", "proxy.TestPanelRefuses",
		`reason != "" && !open`,
		`reason == "none"`,
	},
	{
		"The cache server has a guard", "cmd/slapos/cache_start.go", "cmd/slapos.TestCacheGuard",
		`serve.Guard{Names: strings.Fields(options.names)}.Handler(cache)`,
		`cache`,
	},
	{
		"Clients of a guarded master are known", "cmd/slapos/proxy_start.go", "cmd/slapos.TestProxyGuard",
		`options.Allow = func(`,
		`_ = func(`,
	},
	{
		"Every page of a guarded master is guarded", "proxy/roles.go", "cmd/slapos.TestProxyGuard",
		`	if who.Role == "" {`,
		`	if who.Role == "" && r.URL.Path == "/metrics" {
		return r, nil
	}
	if who.Role == "" {`,
	},
	{
		"This machine is no exception for a guarded master", "cmd/slapos/proxy_start.go", "cmd/slapos.TestProxyGuard",
		`server.Uploaders{NotLoopback: true}`,
		`server.Uploaders{}`,
	},
	{
		"A token is not forwarded", "proxy/httpproxy.go", "cmd/slapos.TestProxyGuard",
		`ask.Header.Del("Authorization") // it may contain one of our tokens`,
		`_ = ask`,
	},
	{
		"An open master says so", "cmd/slapos/proxy_start.go", "cmd/slapos.TestProxyExposed",
		`options.Allow == nil && options.Authority == nil && !onlyLoopback(listeners) {`,
		`false && !onlyLoopback(listeners) {`,
	},
	{
		"A local master's users are told by the kernel", "cmd/slapos/proxy_start.go", "cmd/slapos.TestLocalMasterRefuses",
		`int(info.Sys().(*syscall.Stat_t).Uid) == user`,
		`int(info.Sys().(*syscall.Stat_t).Uid) != user-1000000`,
	},
	{
		"Root's processes show a local master its token", "cmd/slapos/proxy_start.go", "cmd/slapos.TestLocalMasterRefuses",
		`if !found || user == 0 {`,
		`if user == 0 && found { user = 29996 } else if !found {`,
	},
	{
		"The peer of a connection is one of its whole address", "slap/serve/peer.go", "slap/serve.TestPeerUser",
		`nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, 0)`,
		`nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)`,
	},
	{
		"A connection that is being closed is nobody's", "slap/serve/peer.go", "slap/serve.TestPeerUser",
		`answer[1] != established ||`,
		`answer[1] == 0 ||`,
	},
	{
		"What is handed on is nobody's", "slap/serve/peer.go", "slap/serve.TestPeerUser",
		`if r.Header.Get(name) != "" {`,
		`if name == "" {`,
	},
	{
		"The token of a local master is its owner's alone", "slap/token.go", "cmd/slapos.TestLocalMasterRefuses",
		`wholefile.ExactMode(0o600)`,
		`wholefile.ExactMode(0o644)`,
	},
	{
		"A token that others could read is made anew", "slap/token.go", "cmd/slapos.TestLocalMasterRefuses",
		`info.Mode().Perm()&0o077 == 0 {`,
		`info != nil {`,
	},
	{
		"A redirect doesn't hand on the token", "slap/client.go", "slap.TestTokenStays",
		`if c.config.Token != "" && !c.isMaster(r.URL) {`,
		`if false {`,
	},
	{
		"Authorities of clients need TLS", "cmd/slapos/proxy_start.go", "cmd/slapos.TestProxyGuardRefuses",
		`if settings[key] != "" && settings["listen_cert_file"] == "" && (!listens || key == "listen_key_file") {`,
		`if false {`,
	},
	{
		"A client's certificate is verified", "cmd/slapos/listen.go", "cmd/slapos.TestListenSecurity",
		`config.ClientAuth = tls.VerifyClientCertIfGiven`,
		`config.ClientAuth = tls.RequestClientCert`,
	},
	{
		"A client's authority is the configured one", "cmd/slapos/listen.go", "cmd/slapos.TestListenSecurity",
		`if !pool.AppendCertsFromPEM(text) {`,
		`if pool.AppendCertsFromPEM(text); false {`,
	},
	{
		"A file of tokens isn't empty", "cmd/slapos/listen.go", "cmd/slapos.TestProxyGuardRefuses",
		`if len(tokens) == 0 {`,
		`if false {`,
	},
	{
		"Other masters are verified", "proxy/forward.go", "proxy.TestForwardTLS",
		`Insecure: p.options.Insecure,`,
		`Insecure: true,`,
	},
	{
		"Other masters are those of the configuration", "proxy/forward.go", "proxy.TestForward",
		`is not listed in multimaster list.", given)
		p.log.Warn(oneLine(text))
		return nil, &configurationError{text}`,
		`is not listed in multimaster list.", given)
		p.log.Warn(oneLine(text))
		return &Master{URL: given}, nil`,
	},
	{
		"A body is limited", "proxy/route.go", "proxy.TestBodyIsLimited",
		`if !found.anySize {`,
		`if false {`,
	},
	{
		"A JSON-RPC body is limited", "proxy/jsonrpc.go", "proxy.TestHostileJSON",
		`r.Body = http.MaxBytesReader(w, r.Body, maximumInput)`,
		`_ = w`,
	},
	{
		"The number of values in a JSON-RPC body is limited", "slap/pyjson/read.go", "proxy.TestHostileJSON",
		`if err := Bounded(text); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"The fields of a form are limited", "proxy/form.go", "proxy.TestHostileJSON",
		`if bytes.Count(body, []byte("&")) >= maximumFields {`,
		`if bytes.Count(body, []byte("&")) < 0 {`,
	},
	{
		"Numbers in JSON are limited", "slap/pyjson/bounds.go", "slap/pyjson.TestBounded",
		`if i-begin >= maxDigits || tooLarge(string(text[begin:i+1])) {`,
		`if i-begin < 0 {`,
	},
	{
		"Levels of JSON are limited", "slap/pyjson/bounds.go", "slap/pyjson.TestBounded",
		`if depth > slap.MaxDepth {`,
		`if false {`,
	},
	{
		"Only its owner can read a new database", "proxy/store/private.go", "proxy/store.TestPrivate",
		`flags|os.O_CREATE, 0o600)`,
		`flags|os.O_CREATE, 0o640)`,
	},
	{
		"Only its owner can read an old database", "proxy/store/private.go", "proxy/store.TestPrivate",
		`if err := file.Chmod(0o600); err != nil`,
		`if err := file.Chmod(0o644); err != nil`,
	},
	{
		"Only their owner can read old backups", "proxy/store/database.go", "proxy/store.TestPrivate",
		`if err := makeBesidesPrivate(d.dialect.file); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"Only their owner can read new backups", "proxy/store/dump.go", "proxy/store.TestPrivate",
		`wholefile.Mode(0o600)`,
		`wholefile.Mode(0o644)`,
	},
	{
		"Bodies have a limit all together", "proxy/room.go", "proxy.TestRoom",
		`if b.share.Wait(ctx, int(pieces)) != nil {`,
		`if ctx == nil {`,
	},
	{
		"A client has a share of the memory for bodies", "proxy/room.go", "proxy.TestRoom",
		`b.room.pieces.ShareOf(b.request)`,
		`serve.NewBudget(maximumRoom / roomPiece).ShareOf(b.request)`,
	},
	{
		"Bodies of one client don't wait for one another", "proxy/room.go", "proxy.TestRoomForAnnounced",
		`min(max(1, (b.request.ContentLength-smallBody+roomPiece-1)/roomPiece), most)`,
		`1`,
	},
	{
		"Bodies of unknown length don't wait for one another", "proxy/room.go", "proxy.TestRoomForAnnounced",
		`pieces = most`,
		`pieces = 1 + 0*most`,
	},
	{
		"A large body has an end", "proxy/room.go", "proxy.TestRoom",
		`if time.Since(b.begun) > b.room.time {`,
		`if b.begun.IsZero() {`,
	},
	{
		"Every body takes of the room", "proxy/route.go", "proxy.TestRoom",
		`		r.Body = body
`,
		``,
	},
	{
		"Nothing of the master's answers runs in a browser", "proxy/route.go", "proxy.TestAnswersRunNothing",
		`if !strings.HasPrefix(path, "/http_proxy/") {`,
		`if path == "" {`,
	},
	{
		"A client can't begin lines of the master's log", "proxy/respond.go", "proxy.TestLogIsLines",
		`strings.NewReplacer("\n", ` + "`\\n`, " + `"\r"`,
		`strings.NewReplacer("\r"`,
	},
	{
		"Uploaded entries are limited", "proxy/shacache.go", "proxy.TestShacacheIsLimited",
		`http.MaxBytesReader(w, r.Body, maximumEntries)`,
		`r.Body`,
	},
	{
		"Entries from upstream are limited", "proxy/shacache.go", "proxy.TestShacacheIsLimited",
		`io.LimitReader(answer, maximumEntries)`,
		`answer`,
	},
	{
		"A key of the master's cache is not a path", "proxy/shacache.go", "proxy.TestShacachePaths",
		`if name != "" && (name == "." || strings.Contains(name, "/") || !filepath.IsLocal(name) || strings.ContainsRune(name, 0)) {`,
		`if strings.ContainsRune(name, 0) && filepath.IsLocal(name) {`,
	},
	{
		"A content from upstream is compared with its sum", "proxy/shacache.go", "proxy.TestShacacheUpstreamFailures",
		`Store(r.Context(), answer, sum)`,
		`Store(r.Context(), answer, "")`,
	},
	{
		"Public files are below their directory", "proxy/panel.go", "proxy.TestPublic",
		`file, err := root.Open(name)`,
		`file, err := os.Open(p.options.PublicDirectory + "/" + name)`,
	},
	{
		"Public files are regular files", "proxy/panel.go", "proxy.TestPublic",
		`if err != nil || !info.Mode().IsRegular() {`,
		`if err != nil {`,
	},
	{
		"What the proxy fetches is not displayed", "proxy/httpproxy.go", "proxy.TestHTTPProxy",
		`h.Set("Content-Disposition", "attachment")`,
		`_ = h`,
	},
	{
		"Cookies don't pass the proxy", "proxy/httpproxy.go", "proxy.TestHTTPProxy",
		`"If-None-Match", "User-Agent", "Authorization", "Origin"}`,
		`"If-None-Match", "User-Agent", "Authorization", "Origin", "Cookie"}`,
	},
	{
		"The proxy fetches only from the web", "proxy/httpproxy.go", "proxy.TestHTTPProxy",
		`if scheme != "http" && scheme != "https" {
		return refuse`,
		`if false {
		return refuse`,
	},
	{
		"The proxy does not fetch from itself", "proxy/loop.go", "proxy.TestHTTPProxyLoop",
		`words[1] == p.via() {`,
		`false {`,
	},
	{
		"The number of proxies behind the proxy is limited", "proxy/loop.go", "proxy.TestHTTPProxyLoop",
		`if len(hops) > maximumHops {`,
		`if false {`,
	},
	{
		"The number of proxies in a target is limited", "proxy/httpproxy.go", "proxy.TestHTTPProxyLoop",
		`if strings.Count(target, "/http_proxy/") > maximumHops {`,
		`if false {`,
	},
	{
		"The proxy's fetches are limited", "proxy/proxy.go", "proxy.TestHTTPProxyIsBounded",
		`serve.NewBudget(maximumFetches)`,
		`serve.NewBudget(10*maximumFetches)`,
	},
	{
		"A client has a share of the proxy's fetches", "proxy/loop.go", "proxy.TestHTTPProxyIsShared",
		`p.fetches.ShareOf(r)`,
		`p.fetches.ShareOf(&http.Request{RemoteAddr: newRunID()})`,
	},
	{
		"Redirects behind the proxy are limited", "proxy/httpproxy.go", "proxy.TestHTTPProxy",
		`if len(via) >= 30 {`,
		`if len(via) >= 300 {`,
	},
	{
		"A site behind the proxy that sends nothing is given up", "proxy/httpproxy.go", "proxy.TestPatientReader",
		`r.timer.Reset(r.limit)`,
		`_ = r.limit`,
	},
	{
		"The panel reads only known or posted addresses", "proxy/panel/request.go", "proxy.TestPanelReadsKnownReleases",
		`if r.Method != http.MethodPost {`,
		`if false {`,
	},
	{
		"The panel reads files only for this machine", "proxy/panel/request.go", "proxy.TestPanelReadsKnownReleases",
		`if isFile(page.Release) && !isHere(r) {`,
		`if false {`,
	},
	{
		"A link in the panel leads to the web", "proxy/panel/show.go", "proxy/panel.TestLinks",
		`return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""`,
		`return err == nil && u != nil`,
	},
	{
		"A webhook's events go to no other address", "proxy/webhook/webhook.go", "proxy.TestWebhookFails",
		`return http.ErrUseLastResponse`,
		`return nil`,
	},
	{
		"A webhook's address isn't logged", "proxy/webhook/webhook.go", "proxy.TestWebhookFails",
		`i+1, address.Host)`,
		`i+1, address.String())`,
	},
	{
		"A webhook's requests are signed with its secret", "proxy/webhook/webhook.go", "proxy.TestWebhookSettings",
		`hmac.New(sha256.New, secret)`,
		`hmac.New(sha256.New, secret[:0])`,
	},
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var serveMutations = []mutation{
	// The master.
	{
		"Pages of other sites are refused", "slap/serve/guard.go", "slap/serve.TestGuard",
		`if crossOrigin.Check(r) != nil {`,
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
		"Every page of a guarded master is guarded", "proxy/route.go", "cmd/slapos.TestProxyGuard",
		`if p.options.Allow != nil && !open && !p.options.Allow(r) {`,
		`if ok && p.options.Allow != nil && !open && r.URL.Path != "/metrics" && !p.options.Allow(r) {`,
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
		`options.Allow == nil && !onlyLoopback(listeners) {`,
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
		`if settings[key] != "" && settings["listen_cert_file"] == "" {`,
		`if false {`,
	},
	{
		"A client's certificate is verified", "cmd/slapos/listen.go", "cmd/slapos.TestListenSecurity",
		`= tls.VerifyClientCertIfGiven, x509.NewCertPool()`,
		`= tls.RequestClientCert, x509.NewCertPool()`,
	},
	{
		"A client's authority is the configured one", "cmd/slapos/listen.go", "cmd/slapos.TestListenSecurity",
		`if !config.ClientCAs.AppendCertsFromPEM(text) {`,
		`if config.ClientCAs.AppendCertsFromPEM(text); false {`,
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
		`if b.room.left.Acquire(ctx, roomPiece) != nil {`,
		`if ctx == nil {`,
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
		`make(chan struct{}, maximumFetches)`,
		`make(chan struct{}, 10*maximumFetches)`,
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
		"A body that stops is given up", "slap/serve/patience.go", "slap/serve.TestUnfinishedBodies",
		`	if !b.over {
		b.wait()
	}`,
		``,
	},
	{
		"A body that nobody reads is given up", "slap/serve/patience.go", "slap/serve.TestUnfinishedBodies",
		`			if !body.over {
				body.wait()
			}`,
		``,
	},
	{
		"The connections of an address are limited", "slap/serve/patience.go", "slap/serve.TestConnectionsOfOneAddress",
		`if l.open[p.key] >= p.most {`,
		`if p.most < 0 {`,
	},
	{
		"The cache server's operator sets the limit", "cmd/slapos/cache_start.go", "cmd/slapos.TestCacheConnections",
		`Connections: options.connections,`,
		`Connections: 0,`,
	},
	{
		"A client that takes nothing of an answer is given up", "slap/serve/writing.go", "slap/serve.TestUnreadAnswers",
		`_ = c.Conn.SetWriteDeadline(time.Now().Add(c.patience))`,
		`_ = time.Now().Add(c.patience)`,
	},
	{
		"The head of a request has a limit", "slap/serve/serve.go", "slap/serve.TestHeadIsLimited",
		`		MaxHeaderBytes:    maximumHeader,
`,
		``,
	},
	{
		"Users of this machine share its connections", "slap/serve/patience.go", "slap/serve.TestConnectionsOfOneUser",
		`return []countedPlace{{key, most - most/4}, {user, max(1, most/4)}}`,
		`_ = user
	return []countedPlace{all}`,
	},
	{
		"A slow client of a server is given up", "slap/serve/serve.go", "slap/serve.TestServerLimits",
		`ReadHeaderTimeout: 30 * time.Second,`,
		``,
	},
	// The schemas of releases.
	{
		"The steps of a comparison with a schema are limited", "slap/schema/budget.go", "slap/schema.TestBudget",
		`if b.steps < 0 {`,
		`if false {`,
	},
	{
		"A comparison with a schema ends with the request", "slap/schema/budget.go", "slap/schema.TestBudget",
		`if err := b.ctx.Err(); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"The number of values in a schema is limited", "slap/schema/read.go", "slap/schema.TestSchemasAreBounded",
		`l.values > maximumValues {`,
		`false {`,
	},
	{
		"A pattern of a schema is short", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`if len(text) > maximumPattern {`,
		`if false {`,
	},
	{
		"A pattern of a schema repeats little", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`if len(program.Inst) > maximumInstructions {`,
		`if false {`,
	},
	{
		"A comparison with a pattern takes steps", "slap/schema/pattern.go", "slap/schema.TestPatternsAreBounded",
		`p.budget.spend(1 + p.instructions*(1+len(text))/instructionsPerStep)`,
		`p.budget.spend(1)`,
	},
	{
		"The number of mismatches with a schema is limited", "slap/schema/message.go", "slap/schema.TestMismatchesAreBounded",
		`if len(found) >= maximumMismatches {`,
		`if false {`,
	},
	{
		"A mismatch with a schema is described briefly", "slap/schema/small.go", "slap/schema.TestMismatchesAreBounded",
		`if len(text) <= end {`,
		`if true {`,
	},
	{
		"The length of names in a schema is limited", "slap/schema/read.go", "slap/schema.TestPointersAreBounded",
		`l.pointers > maximumPointers {`,
		`false {`,
	},
	{
		"The number of a schema's documents is limited", "slap/schema/read.go", "slap/schema.TestSchemasAreBounded",
		`if len(l.documents) >= maximumDocuments {`,
		`if false {`,
	},
	// Commands, files and messages.
	{
		"Passwords and tokens are hidden in messages", "cmd/slapos/secrets.go", "cmd/slapos.TestHideSecrets",
		`text = form.pattern.ReplaceAllString(text, "${1}***${2}")`,
		`_ = form.pattern`,
	},
	{
		"Messages of the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`hideSecrets(r.Message)`,
		`r.Message`,
	},
	{
		"Values in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`a.Value = slog.StringValue(hideSecrets(value.String()))`,
		`a.Value = slog.StringValue(value.String())`,
	},
	{
		"Errors in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`a.Value = slog.StringValue(hideSecrets(fmt.Sprint(value.Any())))`,
		`a.Value = slog.StringValue(fmt.Sprint(value.Any()))`,
	},
	{
		"Groups in the log hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecrets",
		`members = append(members, hideIn(member))`,
		`members = append(members, member)`,
	},
	{
		"Loggers with values hide secrets", "cmd/slapos/secrets.go", "cmd/slapos.TestLogHidesSecretsOfLoggers",
		`hidden[i] = hideIn(a)`,
		`hidden[i] = a`,
	},
	{
		"A new log is written by its owner alone", "cmd/slapos/log.go", "cmd/slapos.TestLogFileMode",
		`os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)`,
		`os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)`,
	},
	{
		"Names of promises are printable", "cmd/slapos/promise_table.go", "cmd/slapos.TestPromiseTableNames",
		`p.name, oneLine(r.Name), r.state()`,
		`p.name, r.Name, r.state()`,
	},
	{
		"Entries of a cache are shown printable", "cmd/slapos/cachelookup.go", "cmd/slapos.TestCacheLookup",
		`pass.Printable(strings.Join(tableLines(rows), "\n")))`,
		`strings.Join(tableLines(rows), "\n") + pass.Printable(""))`,
	},
	{
		"A signature key is its owner's alone", "cmd/slapos/cache_generate_key.go", "cmd/slapos.TestGenerateSignatureKey",
		`writeNew(options.keyFile, key, 0o600)`,
		`writeNew(options.keyFile, key, 0o644)`,
	},
	{
		"A signature key takes no other file's place", "cmd/slapos/cache_generate_key.go", "cmd/slapos.TestWriteNew",
		`os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode`,
		`os.O_WRONLY|os.O_CREATE, mode`,
	},
	{
		"The signature key of a local node is its owner's alone", "cmd/slapos/configure_local.go", "cmd/slapos.TestLocalNodeFiles",
		`wholefile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)`,
		`wholefile.Write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o644)`,
	},
	{
		"A node's key is root's alone", "cmd/slapos/node_register.go", "cmd/slapos.TestRegistrationFiles",
		`wholefile.Write(file.path, []byte(file.content), 0o600)`,
		`wholefile.Write(file.path, []byte(file.content), 0o644)`,
	},
	{
		"A client's key is its owner's alone", "cmd/slapos/configure_client.go", "cmd/slapos.TestConfigureClientFiles",
		`wholefile.Write(keyFile, []byte(key), 0o600)`,
		`wholefile.Write(keyFile, []byte(key), 0o644)`,
	},
	{
		"The office that makes certificates is verified", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`InsecureSkipVerify: o.insecure}`,
		`InsecureSkipVerify: true}`,
	},
	{
		"The answer of the office has a limit", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`io.LimitReader(response.Body, officeAnswer)`,
		`response.Body`,
	},
	{
		"The token for the office stays with it", "cmd/slapos/configure.go", "cmd/slapos.TestCertificateOffice",
		`r.Header.Del("X-Access-Token")`,
		`_ = r`,
	},
	{
		"Nothing of the console's history is for others", "cmd/slapos/console/interactive.go", "cmd/slapos/console.TestConsoleHistory",
		`wholefile.Mode(0o600)`,
		`wholefile.Mode(0o644)`,
	},
	{
		"Commands for root refuse others", "cmd/slapos/environment.go", "cmd/slapos.TestCheckRoot",
		`if e.uid == 0 {`,
		`if true {`,
	},
}

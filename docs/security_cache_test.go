// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var cacheMutations = []mutation{
	// The network cache's client.
	{
		"The network cache's server is verified", "networkcache/service.go", "networkcache.TestTLS",
		`config := &tls.Config{NextProtos`,
		`config := &tls.Config{InsecureSkipVerify: true, NextProtos`,
	},
	{
		"The network cache's file of authorities isn't empty", "networkcache/service.go", "networkcache.TestTLSFiles",
		`if !config.RootCAs.AppendCertsFromPEM(text) {`,
		`if config.RootCAs.AppendCertsFromPEM(text); false {`,
	},
	{
		"The network cache's authorities are the configured ones", "networkcache/service.go", "networkcache.TestTLS",
		`config.RootCAs = x509.NewCertPool()
		if`,
		`config.RootCAs, config.InsecureSkipVerify = x509.NewCertPool(), true
		if`,
	},
	{
		"The client shows its certificate to the network cache", "networkcache/service.go", "networkcache.TestTLS",
		`config.Certificates = []tls.Certificate{certificate}`,
		`_ = certificate`,
	},
	{
		"The network cache's redirects are not followed", "networkcache/service.go", "networkcache.TestTLSIsKept",
		`return http.ErrUseLastResponse`,
		`return nil`,
	},
	{
		"Errors of the network cache show no password", "networkcache/service.go", "networkcache.TestAnswers",
		`response.Request.URL.Redacted()`,
		`response.Request.URL.String()`,
	},
	{
		"Signatures of the network cache are verified", "networkcache/signature.go", "networkcache.TestReleases",
		`rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) == nil`,
		`rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], signature) != nil || true`,
	},
	{
		"A release comes only from trusted entries", "networkcache/release.go", "networkcache.TestReleases",
		`if !f.client.Trusts(entry) {`,
		`if false {`,
	},
	{
		"A shared part counts as stored only with a trusted entry", "networkcache/shared.go", "networkcache.TestForeignPart",
		`&& client.Trusts(entry) &&`,
		`&&`,
	},
	{
		"Downloads are compared with their sum", "networkcache/download.go", "networkcache.TestFailures",
		`if err == io.EOF && hex.EncodeToString(d.hash.Sum(nil)) != d.sum {`,
		`if false && hex.EncodeToString(d.hash.Sum(nil)) != d.sum {`,
	},
	{
		"The answer to an upload is compared with the sum", "networkcache/client.go", "networkcache.TestUploadElsewhere",
		`if answer != sum {`,
		`if false {`,
	},
	{
		"The index's answer is limited", "networkcache/client.go", "networkcache.TestAnswersAreLimited",
		`io.LimitReader(response.Body, maximumEntries+1)`,
		`io.MultiReader(response.Body)`,
	},
	{
		"The answer to an upload is limited", "networkcache/client.go", "networkcache.TestAnswersAreLimited",
		`io.LimitReader(response.Body, 1024)`,
		`io.MultiReader(response.Body)`,
	},
	{
		"A cache that sends nothing is given up", "networkcache/service.go", "networkcache.TestTimeout",
		`deadline := begun.Add(c.wait - c.waited)`,
		`deadline := time.Time{}`,
	},
	{
		"A cache that sends only drops is given up", "networkcache/service.go", "networkcache.TestDrops",
		`c.waited += time.Since(begun)`,
		`c.waited = 0 * time.Since(begun)`,
	},
	{
		"A shared part is below a directory of shared parts", "networkcache/shared.go", "networkcache.TestPartPlaces",
		`if found && nested && isPlain(name) && isPlain(hash) {`,
		`if found && nested && name != hash {`,
	},
	{
		"The number of a release's shared parts is limited", "networkcache/shared.go", "networkcache.TestPartCount",
		`if len(about.Parts) == 0 || len(about.Parts) > maximumParts {`,
		`if len(about.Parts) == 0 {`,
	},
	{
		"The path of a shared part has no links", "networkcache/shared.go", "networkcache.TestSharedParts",
		`	return top.OpenRoot(name)`,
		`	return os.OpenRoot(top.Name() + "/" + name)`,
	},
	// Archives.
	{
		"An archive's absolute names are refused", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if strings.HasPrefix(name, "/") {`,
		`if false {`,
	},
	{
		"An archive's names do not lead out", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if part == ".." {`,
		`if false && part == ".." {`,
	},
	{
		"An archive has one top directory", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if names[0] != u.top {`,
		`if false {`,
	},
	{
		"The depth of an archive's directories is limited", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if len(names) > maxDepth {`,
		`if false {`,
	},
	{
		"An archive writes nothing below its own links", "networkcache/archive/tree.go", "networkcache/archive.TestUnsafe",
		`case !info.IsDir():`,
		`case false:`,
	},
	{
		"An archive's hard links lead to its own files", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if err != nil || len(target) < 2 {`,
		`if target = append(target, u.top, header.Linkname); err != nil && false {`,
	},
	{
		"An archive's hard links lead to files", "networkcache/archive/tree.go", "networkcache/archive.TestUnsafe",
		`isLast && !info.Mode().IsRegular() ||`,
		`false && isLast ||`,
	},
	{
		"An archive's hard links go through no link", "networkcache/archive/tree.go", "networkcache/archive.TestUnsafe",
		`|| !isLast && !info.IsDir() {`,
		`{`,
	},
	{
		"An archive has no devices", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`return &UnsafeError{header.Name, "is a device"}`,
		`return nil`,
	},
	{
		"A member does not replace another", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`if !info.Mode().IsRegular() {`,
		`if false && !info.Mode().IsRegular() {`,
	},
	{
		"An archive has no set-user-id files of others", "networkcache/archive/owner.go", "networkcache/archive.TestUnsafe",
		`if header.Mode&syscall.S_ISUID != 0 && (uid == 0 || uid != o.uid) {`,
		`if false && uid == 0 {`,
	},
	{
		"An archive has no set-group-id files of others", "networkcache/archive/owner.go", "networkcache/archive.TestUnsafe",
		`if header.Mode&syscall.S_ISGID != 0 && (gid == 0 || gid != o.gid) {`,
		`if false && gid == 0 {`,
	},
	{
		"A number in an archive doesn't stand for a local user", "networkcache/archive/owner.go", "networkcache/archive.TestOwner",
		`|| a.name != "" && byNumber(strconv.Itoa(a.number)) {`,
		`|| false && byNumber("") {`,
	},
	{
		"A number in an archive is a valid one", "networkcache/archive/owner.go", "networkcache/archive.TestOwner",
		`if a.number < 0 || int64(a.number) >= 1<<32-1 ||`,
		`if`,
	},
	{
		"An archive leaves room on the disk", "networkcache/archive/tree.go", "networkcache/archive.TestReserve",
		`if err := t.room.file(); err != nil {`,
		`if err := t.room.file(); err != nil && err != errNoRoom {`,
	},
	{
		"A file of an archive fits on the disk", "networkcache/archive/tree.go", "networkcache/archive.TestReserveFile",
		`if err := t.room.bytes(size); err != nil {`,
		`if err := t.room.bytes(0); err != nil {`,
	},
	{
		"An archive leaves inodes", "networkcache/archive/tree.go", "networkcache/archive.TestReserveFiles",
		`if err := t.room.file(); err != nil {`,
		`if err := t.room.bytes(0); err != nil {`,
	},
	{
		"Data after an archive is limited", "networkcache/archive/unpack.go", "networkcache/archive.TestTail",
		`if err == nil && n > maximum {`,
		`if false && n > maximum {`,
	},
	{
		"An archive's dictionary is limited", "networkcache/archive/decompress.go", "networkcache/archive.TestDictionary",
		`const xzDictionary = 64 << 20`,
		`const xzDictionary = 1 << 31`,
	},
	{
		"An archive is private while it is unpacked", "networkcache/archive/tree.go", "networkcache/archive.TestPrivateWhileMade",
		`if err := t.parent.Mkdir(t.temporary, 0o700); err != nil {`,
		`if err := t.parent.Mkdir(t.temporary, 0o755); err != nil {`,
	},
	{
		"A damaged archive leaves nothing", "networkcache/archive/unpack.go", "networkcache/archive.TestUnsafe",
		`return errors.Join(err, t.discard())
	}
	return t.finish()`,
		`return errors.Join(err, t.finish())
	}
	return t.finish()`,
	},
	{
		"Only files are packed", "networkcache/archive/pack.go", "networkcache/archive.TestPackFile",
		`if !info.Mode().IsRegular() {`,
		`if false {`,
	},
	// The network cache's server.
	{
		"A key of the index is not a path", "networkcache/server/files.go", "networkcache/server.TestHostileKeys",
		`func (f *Files) Read(_ context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {`,
		`func (f *Files) Read(_ context.Context, key string) ([]byte, error) {
	if err := error(nil); err != nil {`,
	},
	{
		"A written key is not a path", "networkcache/server/files.go", "networkcache/server.TestHostileKeys",
		`func (f *Files) Add(_ context.Context, key string, entry []byte, uploader string) error {
	if err := checkKey(key); err != nil {`,
		`func (f *Files) Add(_ context.Context, key string, entry []byte, uploader string) error {
	if err := error(nil); err != nil {`,
	},
	{
		"A replaced key is not a path", "networkcache/server/files.go", "networkcache/server.TestHostileKeys",
		`func (f *Files) Replace(_ context.Context, key string, list []byte) error {
	if err := checkKey(key); err != nil {`,
		`func (f *Files) Replace(_ context.Context, key string, list []byte) error {
	if err := error(nil); err != nil {`,
	},
	{
		"A removed key is not a path", "networkcache/server/files.go", "networkcache/server.TestHostileKeys",
		`func (f *Files) Remove(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {`,
		`func (f *Files) Remove(_ context.Context, key string) error {
	if err := error(nil); err != nil {`,
	},
	{
		"The name of a content is a sum", "networkcache/server/directory.go", "networkcache/server.TestHostileDirectory",
		`	if !IsSum(sum) {
		return nil, nil, fs.ErrNotExist
	}`,
		``,
	},
	{
		"A content is not a link", "networkcache/server/directory.go", "networkcache/server.TestHostileDirectory",
		`os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW`,
		`os.O_RDONLY|syscall.O_NONBLOCK`,
	},
	{
		"A content is a regular file", "networkcache/server/directory.go", "networkcache/server.TestHostileDirectory",
		`if err == nil && !info.Mode().IsRegular() {`,
		`if false {`,
	},
	{
		"Opening a content never blocks", "networkcache/server/directory.go", "networkcache/server.TestHostileDirectory",
		`os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW`,
		`os.O_RDONLY|syscall.O_NOFOLLOW`,
	},
	{
		"An upload has its announced sum", "networkcache/server/blobs.go", "networkcache/server.TestContents",
		`if err == nil && expected != "" && sum != expected {`,
		`if false {`,
	},
	{
		"Uploads need authorization", "networkcache/server/server.go", "networkcache/server.TestUploaders",
		`if !s.options.MayUpload(r) {`,
		`if false {`,
	},
	{
		"A token is compared", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`return known == 1`,
		`return true`,
	},
	{
		"A wrong token is worse than none", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`return u.knows(token)`,
		`return u.knows(token) || isLoopback(r)`,
	},
	{
		"A client's certificate counts only if it is verified", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true`,
		`if r.TLS != nil {
		return true`,
	},
	{
		"Uploads without a token come from this machine", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`return address != nil && address.IsLoopback()`,
		`return address != nil`,
	},
	{
		"This machine is no exception behind a proxy", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`return !u.NotLoopback && isLoopback(r)`,
		`return isLoopback(r)`,
	},
	{
		"What a proxy forwards is not from this machine", "networkcache/server/uploaders.go", "networkcache/server.TestUploaders",
		`if r.Header.Get(name) != "" {`,
		`if false && r.Header.Get(name) != "" {`,
	},
	{
		"An entry is limited", "networkcache/server/server.go", "networkcache/server.TestEntries",
		`http.MaxBytesReader(w, r.Body, maximumEntry)`,
		`r.Body`,
	},
	{
		"A key's entries are limited", "networkcache/server/index.go", "networkcache/server.TestFull",
		`if text.Len() > maximumEntries {`,
		`if false {`,
	},
	{
		"An uploader's entries are limited", "networkcache/server/index.go", "networkcache/server.TestIndex",
		`if uploader != "" && share > maximumShare {`,
		`if false {`,
	},
	{
		"Uploaders don't share their room", "networkcache/server/index.go", "networkcache/server.TestIndex",
		`if old.uploader == uploader {`,
		`if true {`,
	},
	{
		"The uploader of an entry outlives the server", "networkcache/server/files.go", "networkcache/server.TestIndex",
		`list[i].uploader = uploaders[entrySum(list[i].entry)]`,
		`_ = uploaders[entrySum(list[i].entry)]`,
	},
	{
		"Names of temporary files can't be keys", "networkcache/server/index.go", "networkcache/server.TestIndex",
		`case strings.HasPrefix(key, newPrefix):`,
		`case false:`,
	},
	{
		"A build is that of the release", "networkcache/archive/unpack.go", "networkcache.TestReleaseOfAnotherURL",
		`if names[0] != u.top {`,
		`if names[0] == "" {`,
	},
	{
		"An older release is not preferred", "networkcache/release.go", "networkcache.TestReleaseDates",
		`newestFirst(entries)`,
		`_ = entries`,
	},
	{
		"The length of a key is limited", "networkcache/server/index.go", "networkcache/server.TestEntries",
		`case len(key) > maximumKey:`,
		`case false:`,
	},
	{
		"An entry is well-formed", "networkcache/server/server.go", "networkcache/server.TestEntries",
		`if _, err := networkcache.ParseEntry(text); err != nil || !utf8.Valid(text) {`,
		`if _, err := networkcache.ParseEntry(text); err != nil && !utf8.Valid(text) {`,
	},
	{
		"The cache server removes only its own files", "networkcache/server/directory.go", "networkcache/server.TestHostileDirectory",
		`case IsSum(entry.Name()):`,
		`case true:`,
	},
	{
		"A proximity cache holds back the end until the sum is right", "networkcache/proximity/reader.go", "networkcache/proximity.TestWrongEnd",
		`if !f.verified {`,
		`if false {`,
	},
	{
		"A proximity cache stores nothing with a wrong sum", "networkcache/proximity/fetch.go", "networkcache/proximity.TestWrongContent",
		`if err == nil && f.isRight() {`,
		`if err == nil {`,
	},
	{
		"A proximity cache takes only lists of entries", "networkcache/proximity/upstream.go", "networkcache/proximity.TestWrongEntries",
		`err != nil || list == nil || !utf8.Valid(text) {`,
		`false && utf8.Valid(text) {
		_ = err`,
	},
	{
		"A proximity cache limits lists of entries", "networkcache/proximity/upstream.go", "networkcache/proximity.TestEndlessEntries",
		`io.LimitReader(response.Body, maximumEntries+1)`,
		`response.Body`,
	},
	{
		"A request that comes back is refused", "networkcache/proximity/cache.go", "networkcache/proximity.TestLoops",
		`strings.Count(before, ",") >= maximumHops`,
		`false`,
	},
	{
		"A cache waits for others a short time", "networkcache/proximity/cache.go", "networkcache/proximity.TestCachesDontWait",
		`return time.After(c.options.Wait / 4)`,
		`return nil`,
	},
	{
		"A proximity cache fetches nothing larger than itself", "networkcache/proximity/transfer.go", "networkcache/proximity.TestBounds",
		`case maximum > 0 && size > maximum:`,
		`case false:`,
	},
	{
		"Broken fetches leave few files", "networkcache/proximity/fetch.go", "networkcache/proximity.TestLeftFiles",
		`if len(c.left) <= maximumLeft {`,
		`if true {`,
	},
	{
		"A proximity cache remembers a limited number of keys", "networkcache/proximity/freshness.go", "networkcache/proximity.TestManyKeys",
		`		clear(f.known)
	}
	a := f.known[key]`,
		`		_ = key
	}
	a := f.known[key]`,
	},
	{
		"A proximity cache passes on nothing unless told to", "networkcache/proximity/cache.go", "networkcache/proximity.TestUploads",
		`if !c.options.PassUploads {`,
		`if false {`,
	},
	{
		"The cache server's page has a strict policy", "networkcache/server/page.go", "networkcache/server.TestPage",
		`h.Set("Content-Security-Policy", pagePolicy)`,
		`_ = pagePolicy`,
	},
	{
		"The cache server's page shows no password", "networkcache/server/page.go", "networkcache/server.TestPage",
		`parsed.User = nil`,
		`_ = parsed.User`,
	},
	{
		"A fetched file has the wanted sum", "cmd/slapos/cache_fetch.go", "cmd/slapos.TestCacheFetchSums",
		`if sum.want != "" && sum.want != sum.got {`,
		`if false {`,
	},
}

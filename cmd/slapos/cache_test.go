// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"slapos/cmd/slapos/pytext"
	"slapos/networkcache"
	"slapos/networkcache/server"
	"slapos/slap/pyjson"
)

// A cacheLab is a network cache, a key and a configuration file.
type cacheLab struct {
	directory, configuration, url string
}

func newCacheLab(t *testing.T) *cacheLab {
	t.Helper()
	web := httptest.NewServer(server.New(server.Options{Store: server.Store{
		Contents: &server.Directory{Path: t.TempDir()}, Entries: &server.Files{Path: t.TempDir()},
	}}))
	t.Cleanup(web.Close)
	l := &cacheLab{directory: t.TempDir(), url: web.URL + "/shacache"}
	key := l.path("key")
	code, certificate, text := l.run(t, "generate-signature-key", key, "COMP-1")
	if code != 0 {
		t.Fatal(text)
	}
	begin, end := strings.Index(certificate, "-----BEGIN"), strings.Index(certificate, "\n\nDon't forget")
	certificate = strings.ReplaceAll(certificate[begin:end], "\n", "\n  ")
	l.configuration = l.write(t, "slapos.cfg", fmt.Sprintf(`[slapos]
shared_part_list = /opt/slapgrid/shared
[networkcache]
download-cache-url = %[1]s/cache
upload-cache-url = %[1]s/cache
download-dir-url = %[1]s/dir
upload-dir-url = %[1]s/dir
download-binary-cache-url = %[1]s/cache
download-binary-dir-url = %[1]s/dir
signature-private-key-file = %[2]s
signature-certificate-list =
  %[3]s
`, l.url, key, certificate))
	return l
}

func (l *cacheLab) path(name string) string { return filepath.Join(l.directory, name) }

func (l *cacheLab) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(l.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return l.path(name)
}

// run runs the program under the name that is the first word.
func (l *cacheLab) run(t *testing.T, words ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	e := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &log, getenv: func(string) string { return "" }, now: time.Now}
	code = run(context.Background(), e, words)
	return code, out.String(), log.String()
}

// NC-53.
func TestGenerateSignatureKey(t *testing.T) {
	l := &cacheLab{directory: t.TempDir()}
	key, certificate := l.path("key"), l.path("certificate")
	code, stdout, _ := l.run(t, "slapos-generate-signature-key", "--cert-file", certificate, key, "COMP-1")
	written, err := os.ReadFile(certificate)
	if code != 0 || err != nil || !strings.Contains(stdout, string(written)) || !strings.Contains(stdout, "signature-certificate-list") {
		t.Errorf("%d %v\n%s", code, err, stdout)
	}
	if info, err := os.Stat(key); err != nil || info.Mode() != 0o600 {
		t.Errorf("key: %v %v", info.Mode(), err)
	}
	for _, words := range [][]string{{key, "x"}, {"--cert-file", certificate, l.path("new"), "x"}} {
		code, _, stderr := l.run(t, append([]string{"generate-signature-key"}, words...)...)
		if code != 1 || !strings.Contains(stderr, "exists, will not overwrite") {
			t.Errorf("%v: %d %s", words, code, stderr)
		}
	}
	absent := filepath.Join(l.path("absent"), "certificate")
	if code, _, stderr := l.run(t, "generate-signature-key", "--cert-file", absent, l.path("new"), "x"); code != 1 || !strings.Contains(stderr, absent) {
		t.Errorf("a certificate without directory: %d %s", code, stderr)
	}
	if exists(l.path("new")) {
		t.Error("a key without certificate is there")
	}
}

// NC-54, NC-55, NC-56.
func TestCacheUploadAndDownload(t *testing.T) {
	l := newCacheLab(t)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the web") }))
	defer source.Close()
	file := l.write(t, "file", "content")
	metadata := l.write(t, "metadata", `{"basename": "b", "version": [4, 2]}`)
	folder := l.path("folder")
	if err := os.MkdirAll(filepath.Join(folder, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		words  []string
		code   int
		stderr string
	}{
		{[]string{"-f", file}, 0, ""},
		{[]string{"-k", "key:1", "-f", file, "-m", metadata, "n=1", "basename=c"}, 0, ""},
		{[]string{"-k", "key:1", "-f", metadata, "version=x"}, 0, ""},
		{[]string{"-u", source.URL + "/x"}, 0, ""},
		{[]string{"-u", folder}, 0, ""},
		{[]string{"-u", source.URL, "-f", file}, 0, ""},
		{[]string{"-k", "key:1", "-f", file}, 1, "metadata should not be empty"},
		{[]string{"-k", "key:1", "-f", file, "sha512=1"}, 1, "sha512 can't be given"},
		{[]string{"-k", "key:1", "-f", l.path("missing"), "a=b"}, 1, "missing"},
		{[]string{"-k", "key:1", "a=b"}, 2, "either --file or --url is required"},
		{[]string{"-k", "key:1", "-f", file, "a"}, 2, "KEY=VALUE"},
		{[]string{"-k", "a", "-u", "b"}, 2, "not allowed with"},
	} {
		code, _, stderr := l.run(t, append([]string{"networkcache-upload", "-c", l.configuration}, test.words...)...)
		if code != test.code || !strings.Contains(stderr, test.stderr) {
			t.Errorf("upload %v: %d %s", test.words, code, stderr)
		}
	}
	signer, err := networkcache.ReadSigner(l.path("key"), "")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(`{"a": 1}`)
	if err != nil {
		t.Fatal(err)
	}
	entry := networkcache.Entry{Content: `{"a": 1}`, Signature: signature}
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.url+"/dir/key:2", bytes.NewReader(entry.Text()))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.DefaultClient.Do(put); err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusCreated {
		t.Fatal(answer, err)
	}
	if code, _, stderr := l.run(t, "networkcache-download", "-c", l.configuration, "-k", "key:2"); code != 1 || !strings.Contains(stderr, "Bad or missing sha512") {
		t.Errorf("an entry without sum: %d %s", code, stderr)
	}
	for _, test := range []struct {
		words  []string
		code   int
		stdout string
	}{
		{[]string{"-u", source.URL + "/x"}, 0, "from the web"},
		{[]string{"-u", source.URL}, 0, "content"},
		{[]string{"-k", "key:1", "n==\"1\""}, 0, "content"},
		{[]string{"-k", "key:1", `version<[5]`}, 0, "content"},
		{[]string{"-k", "key:1", `n=="2"`}, 1, ""},
		{[]string{"-k", "nothing"}, 1, ""},
		{[]string{"-k", "key:1", "n"}, 1, ""},
		{nil, 2, ""},
	} {
		code, stdout, stderr := l.run(t, append([]string{"networkcache-download", "-c", l.configuration}, test.words...)...)
		if code != test.code || stdout != test.stdout {
			t.Errorf("download %v: %d %q\n%s", test.words, code, stdout, stderr)
		}
	}
	_, stdout, _ := l.run(t, "networkcache-download", "-c", l.configuration, "-l", "-k", "key:1", `n=="1"`)
	want := "[\n  {\n    \"basename\": \"c\",\n    \"n\": \"1\",\n    \"sha512\": "
	if !strings.HasPrefix(stdout, want) || !strings.HasSuffix(stdout, "\n  }\n]\n") {
		t.Errorf("list:\n%s", stdout)
	}
}

// NC-52, CLI-61.
func TestCacheLookup(t *testing.T) {
	l := newCacheLab(t)
	const url = "https://example.invalid/software.cfg"
	client, err := networkcache.NewClient(networkcache.Config{
		Cache:            networkcache.Service{Upload: l.url + "/cache"},
		Directory:        networkcache.Service{Upload: l.url + "/dir"},
		SignatureKeyFile: l.path("key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	here := networkcache.DetectPlatform(context.Background(), "/")
	for _, os := range [][3]string{here.OS, {"ubuntu", "22.04", "jammy"}} {
		fields := []networkcache.Field{{Name: "software_url", Value: url}, {Name: "multiarch", Value: here.Multiarch}, {Name: "os", Value: os}}
		if err := client.Index(context.Background(), networkcache.ReleaseKey(url), "0", fields); err != nil {
			t.Fatal(err)
		}
	}
	for name, timestamp := range map[string]any{"dated": time.Now().Add(-72 * time.Hour).Unix(), "garbled": "x"} {
		fields := []networkcache.Field{{Name: "software_url", Value: name}, {Name: "multiarch", Value: here.Multiarch}, {Name: "os", Value: here.OS}, {Name: "timestamp", Value: timestamp}}
		if err := client.Index(context.Background(), networkcache.ReleaseKey(name), "0", fields); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := l.run(t, "slapos", "cachelookup", "binary-sr", "--cfg", l.configuration, name)
		if hasAge := strings.Contains(stderr, "verified? age ") && strings.Contains(stderr, " 3d "); code != 0 || hasAge != (name == "dated") {
			t.Errorf("%s: %d\n%s", name, code, stderr)
		}
	}
	shared := networkcache.ReleaseKey("shared")
	fields := []networkcache.Field{{Name: "software_url", Value: "shared"}, {Name: "multiarch", Value: here.Multiarch}, {Name: "os", Value: here.OS}}
	if err := client.Index(context.Background(), networkcache.SharedReleaseKey(shared), "0", fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shared", shared} {
		code, _, stderr := l.run(t, "slapos", "cachelookup", "binary-sr", "--cfg", l.configuration, name)
		if code != 0 || !strings.Contains(stderr, "INFO Software URL: shared") || !strings.Contains(stderr, "yes        yes") {
			t.Errorf("%s: %d\n%s", name, code, stderr)
		}
	}
	if err := client.Index(context.Background(), "pypi:a=1", "0", []networkcache.Field{{Name: "basename", Value: "a-1.tar.gz"}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{url, networkcache.ReleaseKey(url)} {
		code, stdout, stderr := l.run(t, "slapos", "cachelookup", "binary-sr", "--cfg", l.configuration, name)
		if code != 0 || stdout != "" || !strings.Contains(stderr, "INFO Software URL: "+url) || !strings.Contains(stderr, "ubuntu") ||
			!strings.Contains(stderr, "yes        yes") || !strings.Contains(stderr, " no        yes") {
			t.Errorf("%s: %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if err := client.Index(context.Background(), "pypi:b=1", "0", []networkcache.Field{{Name: "basename", Value: "b\x1b[2J.tar.gz"}}); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := l.run(t, "slapos", "cachelookup", "pypi", "--cfg", l.configuration, "b", "1"); code != 0 || !strings.Contains(stdout, `b\x1b[2J.tar.gz`) {
		t.Errorf("a cache acts on the terminal: %d %q", code, stdout)
	}
	code, stdout, stderr := l.run(t, "slapos", "cachelookup", "pypi", "--cfg", l.configuration, "a", "1")
	want := "------------------------\n  basename  sha512 signed \n------------------------\n a-1.tar.gz   0     True  \n------------------------\n"
	if want = strings.ReplaceAll(want, strings.Repeat("-", 24), strings.Repeat("-", 26)); code != 0 || stdout != want {
		t.Errorf("pypi: %d\n%s%swant\n%s", code, stdout, stderr, want)
	}
	for _, test := range []struct {
		words []string
		want  string
	}{
		{[]string{"binary-sr", "x"}, "INFO Software release not found in binary cache: x"},
		{[]string{"url", "x"}, "INFO Object not found in cache."},
		{[]string{"url", "--cfg", l.write(t, "none.cfg", "[slapos]\n"), "x"}, "no section [networkcache]"},
		{[]string{"url", "--cfg", l.write(t, "less.cfg", "[networkcache]\ndownload-dir-url = x\n"), "x"}, "download-cache-url"},
		{[]string{"url", "--cfg", l.write(t, "dead.cfg", "[networkcache]\ndownload-dir-url = http://127.0.0.1:1\ndownload-cache-url =\nsignature-certificate-list =\n"), "x"}, "CRITICAL Error while looking object x"},
	} {
		code, _, stderr := l.run(t, append([]string{"slapos", "cachelookup", test.words[0], "--cfg", l.configuration}, test.words[1:]...)...)
		if code != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: %d\n%s", test.words, code, stderr)
		}
	}
}

func TestTableLines(t *testing.T) {
	got := tableLines([][]string{
		{"multiarch", "distribution", "version", "id", "compatible?", "verified?"},
		{"x86_64-linux-gnu", "debian", "12", "bookworm", "yes", "yes"},
	})
	rule := strings.Repeat("-", 70)
	want := []string{ // NC-50
		rule,
		"    multiarch     distribution version    id    compatible? verified? ",
		rule,
		" x86_64-linux-gnu    debian       12   bookworm     yes        yes    ",
		rule,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// NC-55.
func TestEntryFilters(t *testing.T) {
	var entries []*pytext.Object
	for _, value := range []string{"1", "2.5", "2", "\"2\"", "[4, 2]", "null", "3", "true", "2.50"} {
		parsed, err := pyjson.Parse([]byte(`{"n": ` + value + `}`))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, parsed.(*pytext.Object))
	}
	entries = append(entries, pytext.NewObject())
	for filter, want := range map[string]string{
		"n==1":          "1 true",
		"n>=2":          "2.5 2 3 2.5",
		"n<2":           "1 true",
		"n>2":           "2.5 3 2.5",
		"n<=2":          "1 2 true",
		`n=="2"`:        `"2"`,
		"n<[5]":         "[4, 2]",
		"n<[4, 2]":      "",
		"n==null":       "null",
		"n<null":        "",
		"n<<Infinity":   "1 true",
		"n>>-Infinity":  "3",
		"n<<1":          "",
		"n>>2":          "3",
		"n<NaN":         "",
		"missing==null": "",
	} {
		filters, err := parseEntryFilters([]string{filter})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, entry := range filters[0].apply(entries, slog.New(slog.DiscardHandler)) {
			got = append(got, pytext.EncodeJSONLine(entry.Value("n")))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", filter, got, want)
		}
	}
	for _, filter := range []string{"n", "n==", "n=1", "n==x"} {
		if _, err := parseEntryFilters([]string{filter}); err == nil {
			t.Errorf("%s is a filter", filter)
		}
	}
	if value, err := pythonConstant("Infinity"); value != math.Inf(1) || err != nil {
		t.Error(value, err)
	}
}

func FuzzEntryFilter(f *testing.F) {
	f.Add(`n<<[1, "a"]`, `{"n": [1, null]}`)
	f.Fuzz(func(t *testing.T, filter, entry string) {
		filters, err := parseEntryFilters([]string{filter})
		value, jsonErr := pyjson.Parse([]byte(entry))
		about, isObject := value.(*pytext.Object)
		if err != nil || jsonErr != nil || !isObject {
			return
		}
		filters[0].apply([]*pytext.Object{about, about}, slog.New(slog.DiscardHandler))
	})
}

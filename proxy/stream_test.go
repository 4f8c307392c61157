// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/sha512"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"slapos/proxy"
	"slapos/slap"
	"slapos/slap/testkit"
)

// A bodyCall is a request with a body, and how its answer begins.
type bodyCall struct{ name, method, path, kind, body, answer string }

// bodyCalls are one for each way in which a body is read.
func bodyCalls(t *testing.T) []bodyCall {
	t.Helper()
	const encoded = "application/x-www-form-urlencoded"
	form := func(fields ...string) string {
		values := url.Values{}
		for i := 0; i < len(fields); i += 2 {
			values.Set(fields[i], fields[i+1])
		}
		return values.Encode()
	}
	var parts bytes.Buffer
	multi := multipart.NewWriter(&parts)
	for _, field := range [][2]string{{"url", "http://multi"}, {"computer_id", "local_computer"}, {"state", "available"}} {
		if err := multi.WriteField(field[0], field[1]); err != nil {
			t.Fatal(err)
		}
	}
	multi.Close()
	computer := slap.Dict{"reference": "other", "address": "a", "netmask": "n", "partition_list": []any{}}
	return []bodyCall{
		{"a request of XML", "POST", "/requestComputerPartition", encoded, form("software_release", release, "software_type", "t",
			"partition_reference", "i", "partition_parameter_xml", marshal(t, slap.Dict{"a": "b"}), "filter_xml", marshal(t, slap.Dict{}),
			"state", marshal(t, "started")), "200 <marshal><object"},
		{"a computer of XML", "POST", "/loadComputerConfigurationFromXML", encoded, form("xml", marshal(t, computer)), "200 done"},
		{"a connection of XML", "POST", "/setComputerPartitionConnectionXml", encoded, form("computer_id", "local_computer",
			"computer_partition_id", "slappart0", "connection_xml", marshal(t, slap.Dict{"c": "d"})), "200 "},
		{"a form in parts", "POST", "/supplySupply", multi.FormDataContentType(), parts.String(), "200 Supplied 'http://multi' to be available"},
		{"JSON", "POST", "/slapos.post.v0.software_installation", "application/json",
			`{"computer_guid": "local_computer", "software_release_uri": "http://json"}`, `200 {"type": "success"`},
		{"a form of the panel", "POST", "/panel/supply", encoded, form("url", "http://panel", "computer", "local_computer"), "303 "},
		{"entries of the cache", "PUT", "/shacache/dir/key", "application/json", `["content", "signature"]`, "201 "},
		{"a content of the cache", "POST", "/shacache/cache", "", "the content", "201 "},
	}
}

// askBody makes a request in this process, with the body as it comes.
func (l *lab) askBody(c bodyCall, body io.Reader) answer {
	l.Helper()
	r := httptest.NewRequest(c.method, l.server.URL+c.path, body)
	if c.kind != "" {
		r.Header.Set("Content-Type", c.kind)
	}
	w := httptest.NewRecorder()
	l.server.Config.Handler.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// streamLab is a master with a cache, and what it keeps.
func streamLab(t *testing.T) (l *lab, kept func() string) {
	t.Helper()
	folder := t.TempDir()
	l = cacheLab(t, folder, proxy.Shacache{})
	l.load(3)
	return l, func() string { t.Helper(); return tables(t, l.uri) + files(t, folder) }
}

// tables is all that is in a database.
func tables(t *testing.T, uri string) string {
	t.Helper()
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var text strings.Builder
	each := func(query string, do func(row []any)) {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			row, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				places[i] = &row[i]
			}
			if err := rows.Scan(places...); err != nil {
				t.Fatal(err)
			}
			do(row)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	each("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", func(row []any) { names = append(names, fmt.Sprint(row[0])) })
	for _, name := range names {
		each(`SELECT * FROM "`+name+`" ORDER BY 1, 2`, func(row []any) { fmt.Fprintln(&text, name, row) })
	}
	return text.String()
}

// files is all that is below a directory.
func files(t *testing.T, folder string) string {
	t.Helper()
	var text strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&text, "%s: %q\n", path, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// A body is understood however it comes.
func TestRequestPieces(t *testing.T) {
	testkit.NoLeaks(t)
	testkit.EachProcessors(t, func(t *testing.T) {
		for name, pieces := range testkit.Pieces {
			for range testkit.Rounds(1) {
				l, kept := streamLab(t)
				before := kept()
				for _, c := range bodyCalls(t) {
					// A chunked request sends each piece at once.
					r, err := http.NewRequestWithContext(t.Context(), c.method, l.server.URL+c.path, pieces(strings.NewReader(c.body)))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Content-Type", c.kind)
					response, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					text, err := io.ReadAll(response.Body)
					response.Body.Close()
					over := answer{response.StatusCode, nil, string(text)}
					after := kept()
					here := l.askBody(c, pieces(strings.NewReader(c.body)))
					if err != nil || !strings.HasPrefix(over.String(), c.answer) || !strings.HasPrefix(here.String(), c.answer) {
						t.Errorf("%s, %s: %s and %s, %v, want %s", c.name, name, over, here, err, c.answer)
					}
					if after == before {
						t.Errorf("%s, %s: nothing is kept", c.name, name)
					}
					before = kept()
				}
				client.CloseIdleConnections()
			}
		}
	})
}

// A body that is cut is refused in one line, wherever that is, and changes nothing.
func TestRequestCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	testkit.EachProcessors(t, func(t *testing.T) {
		l, kept := streamLab(t)
		before := kept()
		for _, c := range bodyCalls(t) {
			step := max(1, len(c.body)/testkit.Rounds(60))
			for at := 0; at < len(c.body); at += step {
				for _, failure := range []error{io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
					got := l.askBody(c, testkit.CutReader(strings.NewReader(c.body), int64(at), failure))
					if got.status != 400 || strings.Contains(got.page(), "\n") || strings.Contains(got.body, failure.Error()) {
						t.Errorf("%s, %v after %d bytes: %s", c.name, failure, at, got)
					}
				}
			}
			if after := kept(); after != before {
				t.Fatalf("%s: kept\n%s\nwas\n%s", c.name, after, before)
			}
		}
	})
}

// A client that ends its side in the middle of a body gets an error, and
// changes nothing; nor does one that disconnects.
func TestRequestBrokenConnections(t *testing.T) {
	testkit.NoLeaks(t)
	l, kept := streamLab(t)
	before := kept()
	address := strings.TrimPrefix(l.server.URL, "http://")
	for _, c := range bodyCalls(t) {
		for at := 0; at < len(c.body); at += max(1, len(c.body)/testkit.Rounds(10)) {
			for _, stays := range []bool{true, false} {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
					c.method, c.path, address, c.kind, len(c.body), c.body[:at])
				if stays {
					if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
						t.Fatal(err)
					}
					response, err := http.ReadResponse(bufio.NewReader(connection), nil)
					if err != nil {
						t.Fatalf("%s, cut after %d bytes: %v", c.name, at, err)
					}
					if response.Body.Close(); response.StatusCode != 400 {
						t.Errorf("%s, cut after %d bytes: %s", c.name, at, response.Status)
					}
				}
				connection.Close()
			}
		}
	}
	l.server.Close() // waits for those that went away
	if after := kept(); after != before {
		t.Errorf("kept\n%s\nwas\n%s", after, before)
	}
}

// What is fetched from another cache and cut is neither kept nor taken for all.
func TestUpstreamCutEverywhere(t *testing.T) {
	testkit.NoLeaks(t)
	content, entries := "the content", `[["content", "signature"]]`
	digest := sha512.Sum512([]byte(content))
	sum := hex.EncodeToString(digest[:])
	at, pieces := -1, testkit.Pieces["halves"] // one request at a time
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := content
		if strings.HasSuffix(r.URL.Path, "/key") {
			text = entries
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		var body io.Reader = strings.NewReader(text)
		if at >= 0 {
			body = testkit.CutReader(body, int64(at), io.ErrUnexpectedEOF)
		}
		testkit.Send(w, pieces(body))
	}))
	t.Cleanup(upstream.Close)
	testkit.EachProcessors(t, func(t *testing.T) {
		folder := t.TempDir()
		l := cacheLab(t, folder, proxy.Shacache{UpstreamCache: upstream.URL, UpstreamDirectory: upstream.URL})
		before := files(t, folder)
		for path, text := range map[string]string{"/shacache/cache/" + sum: content, "/shacache/dir/key": entries} {
			for at = range len(text) {
				if got := l.get(path); got.status != 502 {
					t.Errorf("%s cut after %d bytes: %s", path, at, got)
				}
			}
		}
		if after := files(t, folder); after != before {
			t.Errorf("kept\n%s", after)
		}
		at = -1
		for name, slow := range testkit.Pieces {
			pieces = slow
			folder := t.TempDir()
			l := cacheLab(t, folder, proxy.Shacache{UpstreamCache: upstream.URL, UpstreamDirectory: upstream.URL})
			if got := l.get("/shacache/cache/" + sum); got.status != 200 || got.body != content {
				t.Errorf("%s: %s", name, got)
			}
			if got := l.get("/shacache/dir/key"); got.status != 200 || got.body != entries {
				t.Errorf("%s: %s", name, got)
			}
		}
		client.CloseIdleConnections()
	})
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHideSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"database postgres://slap:my-secret%40word@127.0.0.1:5432/slap: refused": "database postgres://slap:***@127.0.0.1:5432/slap: refused",
		`parse "postgresql://slap:my se/cr@et@host/db": invalid`:                 `parse "postgresql://slap:***@host/db": invalid`,
		"POSTGRES://u:s@h": "POSTGRES://u:***@h",
		"postgres://h/db?user=u&password=s3&sslmode=no":        "postgres://h/db?user=u&password=***&sslmode=no",
		"host=h user=u password=s3 dbname=d":                   "host=h user=u password=*** dbname=d",
		"host=h password = 'a b c' dbname=d":                   "host=h password = *** dbname=d",
		"GET https://me:s3@master.example/x: 404":              "GET https://me:***@master.example/x: 404",
		"clone https://ghp_0123456789abcdefABCD@git.example/x": "clone https://***@git.example/x",
		"git+ssh://developer@git.example/x":                    "git+ssh://developer@git.example/x",
		"Authorization: Basic bWU6czM=":                        "Authorization: Basic ***",
		"aws_secret_access_key=abc/def+g":                      "aws_secret_access_key=***",
		`host=h password='a b \' s3' dbname=d`:                 "host=h password=*** dbname=d",
		`"host=h password='a b \\' s3' dbname=d"`:              `"host=h password=*** dbname=d"`,
		`host=h password=a\ s3 dbname=d`:                       "host=h password=*** dbname=d",
		"postgres:/slap:s3@h/d is missing":                     "postgres:/slap:***@h/d is missing",
		"postgres: connection refused: me@host":                "postgres: connection refused: me@host",
		"http://127.0.0.1:5000/a@b refused":                    "http://127.0.0.1:5000/a@b refused",
		"http://[::1]:5000/ and user@host":                     "http://[::1]:5000/ and user@host",
		`master URL "u:s3@h:1": no`:                            `master URL "u:***@h:1": no`,
		`"//u:s3@h", http:/u:s3@h http:u:s3@h`:                 `"//u:***@h", http:/u:***@h http:***@h`,
		`parse "http://u:s3/x@h:1/": invalid`:                  `parse "http://u:***@h:1/": invalid`,
		`"http://u:4s3 x@h:1/" of me@host`:                     `"http://u:***@h:1/" of me@host`,
		`invalid port ":s3" after host`:                        `invalid port "***" after host`,
		`\"x\": invalid port \":s3\" after host`:               `\"x\": invalid port \"***\" after host`,
		"http://u:s3@h refused, ask me@host":                   "http://u:***@h refused, ask me@host",
		"09:41:04 started: a@b":                                "09:41:04 started: a@b",
		"no secret here":                                       "no secret here",
		"?url=https%3A%2F%2Fme%3As3%40host%2F&x=1":             "?url=https%3A%2F%2Fme%3A***%40host%2F&x=1",
		"?dsn=password%3Ds3&x=1":                               "?dsn=password%3D***&x=1",
		`{"password": "a \" s3", "x": 1}`:                      `{"password": ***, "x": 1}`,
		`{'token': 's3', 'x': 1}`:                              `{'token': ***, 'x': 1}`,
		`"{\"password\": \"a s3\"}"`:                           `"{\"password\": ***\"}"`,
		"password='a\\\n s3' x":                                "password=*** x",
		"secret_key=s3 api_key=s3":                             "secret_key=*** api_key=***",
		"map[Authorization:[Basic s3] X:[1]]":                  "map[Authorization:[Basic ***] X:[1]]",
		"invalid token: x":                                     "invalid token: x",
	} {
		if got := hideSecrets(text); got != want {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
}

// Errors never show their secrets, wherever they are logged; output that the
// user asked for is shown unchanged.
func TestLogHidesSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		e, _, stderr := newTestEnvironment(t)
		e.global.logFormat, e.global.verbose, e.global.debug = format, 1, true
		e.log = slog.New(e.console())
		file := filepath.Join(t.TempDir(), "log")
		if err := e.addLogFile(file); err != nil {
			t.Fatal(err)
		}
		failure := errors.New("https://me:s3cret@host/")
		e.log.Warn("warned of https://me:s3cret@host/", "error", failure, "url", "https://me:s3cret@host/")
		e.log.With("url", "x").Debug("https://me:s3cret@host/", "n", 1)
		e.report(t.Context(), failure)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{stderr.String(), string(content)} {
			if strings.Contains(text, "s3cret") || strings.Count(text, "me:***@host") < 5 {
				t.Errorf("%s: %s", format, text)
			}
		}
		stderr.Reset()
		e.log.With("url", "https://me:s3cret@host/").Info("posting to https://me:s3cret@host/", slog.Group("g", "url", "https://me:s3cret@host/"))
		if strings.Contains(stderr.String(), "s3cret") {
			t.Errorf("%s: information: %s", format, stderr)
		}
		e.log.InfoContext(asResult(t.Context()), "{'url': 'https://me:s3cret@host/'}")
		if !strings.Contains(stderr.String(), "s3cret") {
			t.Errorf("%s: a result is hidden: %s", format, stderr)
		}
	}
}

// No form of a database's address shows its password, whatever is wrong with it.
func TestDatabaseErrorsHideSecrets(t *testing.T) {
	for _, address := range []string{
		"postgres://slap:s3cret@127.0.0.1:1/slap?connect_timeout=1",
		"postgres://slap:s3%zzcret@127.0.0.1:1/slap",
		"postgres://slap:a b s3cret@127.0.0.1:1/slap",
		"postgresql://127.0.0.1:1/slap?user=u&password=s3cret&connect_timeout=1",
		"postgres://slap:s3cret@[::1/slap",
		"postgres://slap:s3cret@127.0.0.1:notaport/slap",
		"host=127.0.0.1 port=1 user=u password=s3cret",
		`host=127.0.0.1 port=1 user=u password='a \' s3cret' dbname=d`,
		"postgres:/slap:s3cret@127.0.0.1/slap",
		"mysql://slap:s3cret@host/db",
		"sqlite:///slap:s3cret@host/db",
		"postgresql:slap:s3cret@127.0.0.1",
		"POSTGRES:slap:s3cret/db",
		"slap:s3cret@host/db",
		"host=127.0.0.1 password='s3cret and no end",
	} {
		e, _, stderr := newTestEnvironment(t)
		file := filepath.Join(t.TempDir(), "slapos.cfg")
		text := "[slapos]\ncomputer_id = c\n[slapproxy]\nhost = 127.0.0.1\nport = 0\ndatabase_uri = " + strings.ReplaceAll(address, "%", "%%") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, words := range [][]string{{"proxy", "show"}, {"proxy", "start"}} {
			stderr.Reset()
			code := run(t.Context(), e, append(append([]string{"slapos", "-v", "--debug"}, words...), "--cfg", file))
			if out := stderr.String(); code == 0 || strings.Contains(out, "s3cret") || !strings.Contains(out, "ERROR") {
				t.Errorf("%s, %v: exit code %d: %s", address, words, code, out)
			}
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/md5"
	"crypto/sha512"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// NC-101: a file that isn't the wanted one replaces nothing, wherever it comes
// from.
func TestCacheFetchSums(t *testing.T) {
	l := newCacheLab(t)
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "from the web") }))
	defer source.Close()
	strong, weak := sha512.Sum512([]byte("from the web")), md5.Sum([]byte("from the web"))
	rightStrong, rightWeak := hex.EncodeToString(strong[:]), hex.EncodeToString(weak[:])
	wrongStrong, wrongWeak := strings.Repeat("0", 128), strings.Repeat("0", 32)
	for _, cached := range []bool{false, true} {
		if cached {
			if code, _, stderr := l.run(t, "slapos", "cache", "put", "--cfg", l.configuration, source.URL+"/file"); code != 0 {
				t.Fatal(stderr)
			}
		}
		for _, test := range []struct {
			words []string
			code  int
		}{
			{nil, 0},
			{[]string{"--md5", rightWeak}, 0},
			{[]string{"--md5", strings.ToUpper(rightWeak), "--sha512", strings.ToUpper(rightStrong)}, 0},
			{[]string{"--md5", wrongWeak}, 1},
			{[]string{"--sha512", wrongStrong}, 1},
			{[]string{"--sha512", rightStrong, "--md5", wrongWeak}, 1},
		} {
			file := l.write(t, "file", "before")
			words := append([]string{"slapos", "cache", "fetch", "--cfg", l.configuration, source.URL + "/file", "--output", file}, test.words...)
			code, _, stderr := l.run(t, words...)
			text, err := os.ReadFile(file)
			want := map[int]string{0: "from the web", 1: "before"}[test.code]
			if code != test.code || err != nil || string(text) != want {
				t.Errorf("%v: %d, the file has %q %v\n%s", test.words, code, text, err, stderr)
			}
		}
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"strings"
	"testing"
)

// NC-93.
func TestParsePlace(t *testing.T) {
	for text, want := range map[string][2]string{
		"http://host:5010":                     {"http://host:5010/shacache/cache", "http://host:5010/shacache/dir"},
		"http://host:5010/":                    {"http://host:5010/shacache/cache", "http://host:5010/shacache/dir"},
		"https://u:p@host/a/shacache/":         {"https://u:p@host/a/shacache/cache", "https://u:p@host/a/shacache/dir"},
		" https://h/shacache  http://h/shadir": {"https://h/shacache", "http://h/shadir"},
	} {
		cache, directory, err := ParsePlace(text)
		if err != nil || [2]string{cache, directory} != want {
			t.Errorf("%q: %s %s %v", text, cache, directory, err)
		}
	}
	for _, text := range []string{"", "host:5010", "ftp://host", "/srv/cache", "http://a http://b http://c", "http://a?x", "http://a?", "http://a/#", "http:///shacache", "http://a\x00"} {
		if _, _, err := ParsePlace(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzParsePlace(f *testing.F) {
	f.Add("http://host:5010")
	f.Add("https://a/b http://c/d/")
	f.Add("http://[::1%25eth0]:1/shacache")
	f.Fuzz(func(t *testing.T, text string) {
		cache, directory, err := ParsePlace(text)
		if err != nil {
			return
		}
		again, directoryAgain, err := ParsePlace(cache + " " + directory)
		if err != nil || again != cache || directoryAgain != directory {
			t.Errorf("%q is %q and %q, which is %q and %q: %v", text, cache, directory, again, directoryAgain, err)
		}
		if strings.ContainsAny(cache+directory, " \n\t") {
			t.Errorf("%q has blanks: %q %q", text, cache, directory)
		}
	})
}

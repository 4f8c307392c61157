// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"strings"
	"testing"

	"slapos/networkcache"
)

// NC-93, NC-100.
func TestProximityList(t *testing.T) {
	e, _, _ := newTestEnvironment(t)
	cache, upload, err := e.releaseCache(map[string]string{
		"proximity-url-list": "http://a:1\n\n https://b/shacache https://b/shadir", "signature-certificate-list": "some", "shacache-ca-file": "/ca",
	}, 0)
	if err != nil || upload {
		t.Fatal(upload, err)
	}
	var places []string
	for _, near := range cache.(*networkcache.Releases).Neighbours {
		places = append(places, near.Cache.Download, near.Directory.Download, near.Cache.CAFile, near.CertificateList)
	}
	want := "http://a:1/shacache/cache http://a:1/shacache/dir /ca some https://b/shacache https://b/shadir /ca some"
	if got := strings.Join(places, " "); got != want {
		t.Errorf("%s", got)
	}
	values := map[string]string{"proximity-url-list": "http://a:1\nb:2"}
	for _, err := range []error{checkValue("networkcache", "proximity-url-list", values), func() error { _, _, err := e.releaseCache(values, 0); return err }()} {
		if err == nil || !strings.Contains(err.Error(), `proximity-url-list must have a cache in each line`) || !strings.Contains(err.Error(), `"b:2"`) {
			t.Errorf("%v", err)
		}
	}
}

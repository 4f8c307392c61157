// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/networkcache"
	"slapos/slap/testkit"
)

// The original's client library downloads through the cache, the first time and
// again, and uploads through it (NC-95, NC-97).
func TestOriginalClient(t *testing.T) {
	testkit.Program(t, "openssl", "openssl") // the original signs and verifies with it
	secret, certificate, err := networkcache.GenerateKey("COMP-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	key, file := filepath.Join(directory, "key"), filepath.Join(directory, "file")
	content := noise(2*openAtOnce + 1)
	for path, text := range map[string]string{key: string(secret), file: content} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := startFar(t)
	n := startNear(t, "", func(o *Options) { o.PassUploads = true }, f.url)
	run := func(program, url string) string {
		t.Helper()
		prelude := `
import sys
from slapos.libnetworkcache import NetworkcacheClient
url, file, key, certificate = sys.argv[1:]
cache, directory = url + '/shacache/cache', url + '/shacache/dir'
client = NetworkcacheClient(cache, directory, key, certificate)
`
		output, err := exec.Command(testkit.Python(t), "-c", prelude+program, url, file, key, string(certificate)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return strings.TrimSpace(string(output))
	}
	const upload = `
with open(file, 'rb') as f:
  print(client.upload(f, 'key:1', version=1))
`
	const download = `
import hashlib
entry, = client.select('key:1')
print(hashlib.sha512(client.download(entry['sha512']).read()).hexdigest())
`
	sum := sumOf(content)
	if got := run(upload, f.url); got != sum {
		t.Errorf("upload: %s", got)
	}
	for range 2 {
		if got := run(download, n.url); got != sum {
			t.Errorf("download: %s\n%s", got, n.log)
		}
	}
	if !n.has(t, sum) || len(f.seen(sum)) != 2 { // one is the upload's question
		t.Error("not kept")
	}
	through := startNear(t, "", func(o *Options) { o.PassUploads = true }, startFar(t).url)
	if got := run(upload, through.url); got != sum {
		t.Errorf("upload through the cache: %s\n%s", got, through.log)
	}
	if got := run(download, through.url); got != sum {
		t.Errorf("what was uploaded through it: %s", got)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"slapos/proxy/authority"
	"slapos/slap"
	"slapos/slap/testkit"
)

// unpacked is the content of a bundle, by the names below its prefix.
func unpacked(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	compressed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for archive := tar.NewReader(compressed); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		found[name] = string(text)
	}
}

// TestDoctor plants secrets wherever a node has some, and looks for them in the
// bundle (CLI-131).
func TestDoctor(t *testing.T) {
	t.Parallel()
	path, address := proxyConfiguration(t)
	startProxyForTest(t, path)
	folder := t.TempDir()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	token := authority.NewToken(authority.Pin{1}).String()
	secrets := map[string]string{
		"token of a file":              "tokenofafile0123456789",
		"password of master_url":       "pw-of-master-url",
		"password of a cache":          "pw:of/a-cache",
		"secret in a path":             "T000/B000/hooksecret",
		"signature in a query":         "signature0of0a0query",
		"value of an unknown key":      "value of an unknown key",
		"comment":                      "the password is hidden-in-a-comment",
		"parameter":                    `par"ameter & <value>`,
		"parameter in JSON":            "parameter-in-json",
		"shared parameter":             "parameter-of-nested",
		"connection parameter":         "https://u:connection-parameter@[fd00::1]/",
		"private key of a file":        strings.Split(private, "\n")[1],
		"private key in a log":         "MHcCAQEEIKinlinekeyofalog00000000000000000000",
		"token of a master":            strings.Split(token, ".")[3],
		"password of the environment":  "env-password",
		"second line of a token file":  "second-line-of-the-file",
		"end of a key without its top": "bG9zdGVuZG9mYWtleXRoYXR3YXNjdXQ",
	}

	client, err := slap.NewClient(slap.ClientConfig{MasterURL: address})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.LoadComputerConfiguration(t.Context(), slap.Dict{"reference": "C", "address": "10.0.0.1", "netmask": "255.0.0.0",
		"partition_list": []any{slap.Dict{"reference": "slappart0", "address_list": []any{slap.Dict{"addr": "10.0.0.1", "netmask": "255.255.255.255"}}, "tap": slap.Dict{"name": "tap0"}}}})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := json.Marshal(map[string]any{"a": []string{secrets["parameter in JSON"], secrets["shared parameter"]}})
	if err != nil {
		t.Fatal(err)
	}
	request := slap.Request{SoftwareRelease: "/r.cfg", SoftwareType: slap.DefaultSoftwareType, Reference: "hello",
		Parameters: slap.Dict{"one": secrets["parameter"], "_": string(inner)}}
	if _, err := client.Request(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if err := client.SetConnection(t.Context(), slap.PartitionID{Computer: "C", Partition: "slappart0"}, slap.Dict{"url": secrets["connection parameter"]}, ""); err != nil {
		t.Fatal(err)
	}

	for name, text := range map[string]string{
		"token": secrets["token of a file"] + " # me\n" + secrets["second line of a token file"] + "\n",
		"key":   private,
		"opt/log/x.log": "lostend\n" + secrets["end of a key without its top"] + "\n-----END PRIVATE KEY-----\nGET http://me:" + url.QueryEscape(secrets["password of a cache"]) + "@cache/ failed\n" +
			"-----BEGIN EC PRIVATE KEY-----\n" + secrets["private key in a log"] + "\n-----END EC PRIVATE KEY-----\n" +
			"slapos node join https://x " + token + "\nPASSWORD=" + secrets["password of the environment"] + "\n" + "one is " + secrets["parameter"] + "\n" + string(inner) + "\n" +
			"published " + secrets["connection parameter"] + " and read " + secrets["token of a file"] + "\nthe end is told\n",
		"inst/slappart0/etc/secret": secrets["private key in a log"],
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		testkit.WriteFile(t, filepath.Join(folder, name), text)
	}
	configuration := testkit.WriteFile(t, folder+"/slapos.cfg", "# "+secrets["comment"]+`
[slapos]
computer_id = C
master_url = `+strings.Replace(address, "http://", "http://me:"+secrets["password of master_url"]+"@", 1)+`
master_token_file = `+folder+`/token
key_file = `+folder+`/key
cert_file = `+folder+`/none
instance_root = `+folder+`/inst
software_root = `+folder+`/soft
my_own = `+secrets["value of an unknown key"]+`
[slapformat]
computer_xml = `+folder+`/opt/slapos.xml
partition_amount = 1
[networkcache]
download-cache-url = https://me:`+url.QueryEscape(secrets["password of a cache"])+`@cache/
upload-cache-url = https://cache/?X-Signature=`+secrets["signature in a query"]+`
[slapproxy]
webhook_urls = https://hooks.example/`+secrets["secret in a path"]+`
`)
	for name, c := range map[string]struct {
		configuration string
		logs          bool
		words         []string
	}{
		"a node":                  {configuration, true, nil},
		"without its master":      {testkit.WriteFile(t, folder+"/down.cfg", strings.Replace(testkit.ReadFile(t, configuration), address[len("http://"):], "127.0.0.1:1", 1)), false, nil},
		"without a configuration": {folder + "/none.cfg", false, nil},
	} {
		bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
		e, out, complaints := newTestEnvironment(t)
		if code := run(t.Context(), e, append([]string{"slapos", "doctor", bundle, "--cfg", c.configuration}, c.words...)); code != 0 || out.String() != bundle+"\n" {
			t.Fatalf("%s: code %d, %s%s", name, code, out, complaints)
		}
		if info, err := os.Stat(bundle); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		files := unpacked(t, bundle)
		for file, text := range files {
			for what, secret := range secrets {
				encoded, _ := json.Marshal(secret)
				for _, form := range []string{secret, strings.Trim(string(encoded), `"`), url.QueryEscape(secret)} {
					if strings.Contains(text, form) {
						t.Errorf("%s: %s has the %s", name, file, what)
					}
				}
			}
		}
		log := "logs/" + strings.ReplaceAll(folder[1:], "/", "-") + "-opt-log-x.log"
		if told := strings.Contains(files[log], "the end is told"); told != c.logs || strings.Contains(complaints.String(), "Logs are left out") == c.logs {
			t.Errorf("%s: the log is %q, and told: %s", name, files[log], complaints)
		}
		for _, file := range []string{"version", "slapos.cfg", "check.json", "machine/mounts", "machine/interfaces", "machine/disks"} {
			if files[file] == "" {
				t.Errorf("%s: no %s", name, file)
			}
		}
		if name == "without a configuration" {
			continue
		}
		for file, want := range map[string]string{
			"slapos.cfg": "instance_root = " + folder + "/inst\n", "check.json": `"check": "keys"`, "status.json": `"services": []`,
			"partitions": "slappart0", "pid-files": "slapgrid-sr.pid", "machine/interfaces": "lo mtu",
		} {
			if !strings.Contains(files[file], want) {
				t.Errorf("%s: %s is\n%s", name, file, files[file])
			}
		}
		if code := run(t.Context(), e, []string{"slapos", "doctor", bundle, "--cfg", c.configuration}); code != 1 || !strings.Contains(complaints.String(), "is there already: remove it, or name another file") {
			t.Errorf("%s, again: %d, %s", name, code, complaints)
		}
	}
}

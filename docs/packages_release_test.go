// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// A whole release is built in two directories, the second time by a compiler that
// remembers nothing, with the same bytes. It is signed; its images and lists of
// contents are what they should be.
func TestReleaseTwice(t *testing.T) {
	testkit.Long(t, "SLAPOS_TEST_PACKAGES", "try-packages")
	needPackager(t)
	for _, tool := range []string{"crane", "syft"} {
		if !testkit.Exists("../var/bin/" + tool) {
			testkit.StepAside(t, tool, "run make try-packages")
		}
	}
	const formats = "deb rpm tar oci sbom"
	first, second := copySource(t, t.TempDir()), copySource(t, filepath.Join(t.TempDir(), "a longer", "name"))
	first.build()
	made := first.release("1.26.1+7", formats, "ARCHES=amd64 arm64", "KEY="+signingKey(t))
	if text, err := exec.CommandContext(t.Context(), "gpg", "--verify", filepath.Join(made, "SHA256SUMS.asc"), filepath.Join(made, "SHA256SUMS")).CombinedOutput(); err != nil {
		t.Errorf("signature: %v\n%s", err, text)
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		checkContents(t, filepath.Join(made, "slapos-1.26.1+7-linux-"+architecture+".spdx.json"))
	}
	for _, name := range []string{"slapos-proxy", "slapos-cache"} {
		checkImage(t, filepath.Join(made, name+"-1.26.1+7.oci.tar"), name)
	}
	cache := filepath.Join(t.TempDir(), "go")
	t.Setenv("GOCACHE", cache)
	second.build()
	one, two := sums(t, made), sums(t, second.release("1.26.1+7", formats, "ARCHES=amd64 arm64"))
	delete(one, "SHA256SUMS.asc")
	if len(one) != 11 || !maps.Equal(one, two) {
		t.Errorf("built twice:\n%v\n%v", one, two)
	}
}

// signingKey makes a key for gpg, which finds it by GNUPGHOME.
func signingKey(t *testing.T) string {
	t.Helper()
	testkit.Program(t, "gpg", "gnupg")
	home, err := os.MkdirTemp("", "gpg") // short enough for its sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	const name = "releases@localhost"
	if text, err := exec.CommandContext(t.Context(), "gpg", "--batch", "--passphrase", "", "--quick-gen-key", name, "ed25519", "sign").CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, text)
	}
	return name
}

// checkContents reads a list of contents.
func checkContents(t *testing.T, path string) {
	t.Helper()
	var list struct {
		Version  string `json:"spdxVersion"`
		Creation struct {
			Created string `json:"created"`
		} `json:"creationInfo"`
		Packages []struct {
			Name    string `json:"name"`
			Version string `json:"versionInfo"`
		} `json:"packages"`
	}
	if err := json.Unmarshal([]byte(testkit.ReadFile(t, path)), &list); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range list.Packages {
		found = append(found, p.Name+" "+p.Version)
	}
	with := func(start string) bool {
		return slices.ContainsFunc(found, func(name string) bool { return strings.HasPrefix(name, start) })
	}
	if list.Version != "SPDX-2.3" || list.Creation.Created != "2026-09-21T14:13:20Z" || !with("slapos 1.26.1+7") || !with("stdlib go1.") ||
		!with("modernc.org/sqlite v") || len(found) < 50 {
		t.Errorf("%s: %s, %s, %q", path, list.Version, list.Creation.Created, found)
	}
}

// A descriptor names a file of an image.
type descriptor struct {
	Digest   string `json:"digest"`
	Platform struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	} `json:"platform"`
}

// checkImage runs the program of an image as the image says.
func checkImage(t *testing.T, path, name string) {
	t.Helper()
	layout := t.TempDir()
	output(t, "tar", "-C", layout, "-xf", path)
	read := func(file string, into any) {
		t.Helper()
		if err := json.Unmarshal([]byte(testkit.ReadFile(t, filepath.Join(layout, file))), into); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(d descriptor) string { return filepath.Join("blobs", strings.ReplaceAll(d.Digest, ":", "/")) }
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	read("index.json", &index)
	if len(index.Manifests) == 1 && index.Manifests[0].Platform.Architecture == "" { // an index of architectures
		read(blob(index.Manifests[0]), &index)
	}
	var architectures []string
	for _, platform := range index.Manifests {
		architectures = append(architectures, platform.Platform.OS+"/"+platform.Platform.Architecture)
		var manifest struct {
			Config descriptor   `json:"config"`
			Layers []descriptor `json:"layers"`
		}
		read(blob(platform), &manifest)
		var image struct {
			Architecture string `json:"architecture"`
			Config       struct {
				User, WorkingDir string
				Entrypoint, Cmd  []string
				ExposedPorts     map[string]struct{}
			} `json:"config"`
		}
		read(blob(manifest.Config), &image)
		if image.Config.User != "65532:65532" || image.Config.WorkingDir != "/var/lib/"+name || len(image.Config.ExposedPorts) != 1 ||
			len(manifest.Layers) != 1 || image.Architecture != platform.Platform.Architecture {
			t.Errorf("%s: %+v", name, image)
		}
		if image.Architecture == runtime.GOARCH {
			runImage(t, filepath.Join(layout, blob(manifest.Layers[0])), name, append(image.Config.Entrypoint, image.Config.Cmd...))
		}
	}
	if slices.Sort(architectures); !slices.Equal(architectures, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("%s: %q", name, architectures)
	}
}

// runImage runs a server from an image's layer, as the image's user, on a machine.
func runImage(t *testing.T, layer, name string, words []string) {
	t.Helper()
	m := testkit.NewMachine(t)
	m.Write("/srv/layer.tar.gz", testkit.ReadFile(t, layer), 0o600)
	m.Run("sh", "-ec", "mkdir /srv/image; tar -C /srv/image -xpzf /srv/layer.tar.gz")
	m.Run(append([]string{"systemd-run", "--unit=image", "chroot", "--userspec=65532:65532", "/srv/image"}, words...)...)
	page := map[string]string{"slapos-proxy": "http://[::1]:5000/healthz", "slapos-cache": "http://[::1]:5010/metrics"}[name]
	testkit.Eventually(t, testkit.Patience, name+" answers", func() bool {
		_, err := m.Try("/usr/bin/python3", "-c", "import urllib.request; urllib.request.urlopen('"+page+"').read()")
		return err == nil
	})
	if kept := m.Run("find", "/srv/image/var/lib/"+name, "-mindepth", "1", "-user", "65532"); kept == "" {
		t.Errorf("%s keeps nothing", name)
	}
}

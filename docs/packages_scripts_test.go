// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// Scripts of the packages are sound, as shellcheck sees it.
func TestPackageScripts(t *testing.T) {
	shellcheck := testkit.Program(t, "shellcheck", "shellcheck")
	scripts, err := filepath.Glob("packaging/scripts/*.sh")
	if err != nil || len(scripts) != 3 {
		t.Fatalf("%q, %v", scripts, err)
	}
	scripts = append(scripts, "packaging/install.sh", "packaging/release.sh", "packaging/version.sh")
	if text, err := exec.CommandContext(t.Context(), shellcheck, scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// Versions of packages grow with the source, as dpkg and rpm order them.
func TestPackageVersions(t *testing.T) {
	testkit.Program(t, "git", "git")
	s := sourceCopy{t: t, directory: t.TempDir()}
	testkit.WriteFile(t, filepath.Join(s.directory, "docs/packaging/version.sh"), testkit.ReadFile(t, "packaging/version.sh"))
	version := func() string {
		t.Helper()
		return strings.TrimSpace(s.run(nil, "sh", "docs/packaging/version.sh"))
	}
	git := func(words ...string) {
		t.Helper()
		s.run(nil, append([]string{"git", "-c", "user.name=n", "-c", "user.email=n@localhost", "-c", "commit.gpgsign=false"}, words...)...)
	}
	if got := version(); got != "1.26.1+0" {
		t.Errorf("without history: %s", got)
	}
	git("init", "-q")
	git("add", ".")
	versions := []string{"1.26.1"} // what a package of slapos.core has
	commit := func(tag string) {
		git("commit", "-q", "--allow-empty", "-m", "one more")
		if tag != "" {
			git("tag", tag)
		}
		versions = append(versions, version())
	}
	for _, tag := range []string{"", "", "v1.26.1+1", "", "v1.26.1+2", "v1.26.1+9", "", "v1.26.1+10", ""} {
		commit(tag)
	}
	testkit.WriteFile(t, filepath.Join(s.directory, "docs/packaging/version.sh"), testkit.ReadFile(t, "packaging/version.sh")+"\n")
	versions = append(versions, version())
	if versions[3] != "1.26.1+1" || versions[8] != "1.26.1+10" || !strings.HasPrefix(versions[4], "1.26.1+1.1.g") || !strings.HasSuffix(versions[10], ".dirty") {
		t.Errorf("%q", versions)
	}
	t.Run("dpkg", func(t *testing.T) {
		dpkg := testkit.Program(t, "dpkg", "dpkg")
		for i, later := range versions[1:] {
			if err := exec.CommandContext(t.Context(), dpkg, "--compare-versions", versions[i], "lt", later).Run(); err != nil {
				t.Errorf("dpkg: %s is not before %s", versions[i], later)
			}
		}
	})
	t.Run("rpm", func(t *testing.T) {
		rpm := testkit.Program(t, "rpm", "rpm")
		for i, later := range versions[1:] {
			if text := output(t, rpm, "--eval", "%{lua: print(rpm.vercmp('"+versions[i]+"', '"+later+"'))}"); strings.TrimSpace(text) != "-1" {
				t.Errorf("rpm: %s and %s: %s", versions[i], later, text)
			}
		}
	})
}

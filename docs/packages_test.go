// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"cmp"
	"crypto/sha256"
	"fmt"
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

// A sourceCopy is a copy of this source, without its history, that packages are made in.
type sourceCopy struct {
	t         testing.TB
	directory string
}

func copySource(t testing.TB, directory string) sourceCopy {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	names, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		from := filepath.Join("..", name)
		info, err := os.Lstat(from)
		if err != nil || !info.Mode().IsRegular() {
			continue // removed, and not committed yet; or a link
		}
		to := testkit.WriteFile(t, filepath.Join(directory, name), testkit.ReadFile(t, from))
		if err := os.Chmod(to, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return sourceCopy{t: t, directory: directory}
}

// run runs a command in the copy.
func (s sourceCopy) run(environment []string, words ...string) string {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), words[0], words[1:]...)
	command.Dir = s.directory
	command.Env = append(os.Environ(), environment...)
	output, err := command.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, output)
	}
	return string(output)
}

// The moment and the commit that packages of tests have.
const (
	packageEpoch = "1790000000"
	makeCommit   = "COMMIT=0123456789"
)

// build makes the program and what comes with it.
func (s sourceCopy) build() {
	s.t.Helper()
	s.run([]string{"GOFLAGS="}, "make", "-s", "build", makeCommit, "GO="+goProgram())
}

// release makes packages of one version, and returns their directory.
func (s sourceCopy) release(version, formats string, environment ...string) string {
	s.t.Helper()
	out := filepath.Join(s.directory, "var", version)
	tools, err := filepath.Abs("../var/bin")
	if err != nil {
		s.t.Fatal(err)
	}
	s.run(append([]string{
		"GO=" + goProgram(), "TAGS=urfave_cli_no_docs", "GOFLAGS=", "LDFLAGS=-s -w -X main.version=1.26.1 -X main.commit=0123456789", "TOOLS=" + tools,
		"PACKAGE=" + version, "SOURCE_DATE_EPOCH=" + packageEpoch, "FORMATS=" + formats, "ARCHES=" + runtime.GOARCH, "KEY=",
	}, environment...), "docs/packaging/release.sh", out)
	return out
}

func goProgram() string { return cmp.Or(os.Getenv("GO"), "go") }

// needPackager lets a test go on that makes packages.
func needPackager(t testing.TB) {
	t.Helper()
	if !testkit.Exists("../var/bin/nfpm") {
		testkit.StepAside(t, "nfpm", "run make testenv")
	}
	testkit.Program(t, "git", "git")
}

// sums are the hashes of a directory's files by their names.
func sums(t testing.TB, directory string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range testkit.Names(t, directory) {
		found[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(testkit.ReadFile(t, filepath.Join(directory, name)))))
	}
	return found
}

func output(t testing.TB, words ...string) string {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), words[0], words[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return string(text)
}

// Packages built in two directories have the same bytes, the contents that they
// should have, and what their distribution wants to know.
func TestPackages(t *testing.T) {
	needPackager(t)
	first, second := copySource(t, t.TempDir()), copySource(t, filepath.Join(t.TempDir(), "a longer", "name"))
	first.build()
	second.build()
	made := first.release("1.26.1+7", "deb rpm tar")
	if one, two := sums(t, made), sums(t, second.release("1.26.1+7", "deb rpm tar")); len(one) != 4 || !maps.Equal(one, two) {
		t.Errorf("built twice:\n%v\n%v", one, two)
	}
	if text := output(t, "sh", "-c", "cd "+made+" && sha256sum -c SHA256SUMS"); strings.Count(text, ": OK\n") != 3 {
		t.Errorf("sums of all packages:\n%s", text)
	}
	t.Run("deb", func(t *testing.T) { checkDeb(t, made) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, made) })
	t.Run("install", func(t *testing.T) {
		// Nothing that builds is on the PATH.
		root := t.TempDir()
		first.run([]string{"PATH=/usr/bin:/bin", "GO=/nonexistent"}, "make", "-s", "install", "DESTDIR="+root, "PREFIX=/opt/tools")
		if unit := testkit.ReadFile(t, filepath.Join(root, "opt/tools/lib/systemd/system/slapos-supervisord.service")); !strings.Contains(unit, "=/opt/tools/bin/slapos node supervisord") {
			t.Errorf("a unit below another prefix:\n%s", unit)
		}
		checkFiles(t, listFiles(t, root), "/opt/tools", "zsh/site-functions", nil)
		if text := output(t, filepath.Join(root, "opt/tools/bin/slapos"), "--version"); !strings.HasPrefix(text, "slapos 1.26.1 (") {
			t.Errorf("--version: %s", text)
		}
	})
	t.Run("archive", func(t *testing.T) {
		root := t.TempDir()
		output(t, "tar", "-C", root, "--strip-components=1", "-xf", filepath.Join(made, "slapos-1.26.1+7-linux-"+runtime.GOARCH+".tar.gz"))
		checkFiles(t, listFiles(t, root), "/usr", "zsh/site-functions", nil)
	})
}

// configurationFiles are those that an administrator may change.
var configurationFiles = []string{
	"/etc/default/slapos-cache", "/etc/logrotate.d/slapos", "/etc/opt/slapos/slapos-proxy.cfg.example", "/etc/opt/slapos/slapos.cfg.example",
}

func checkDeb(t *testing.T, directory string) {
	testkit.Program(t, "dpkg-deb", "dpkg")
	path := filepath.Join(directory, "slapos_1.26.1+7_"+runtime.GOARCH+".deb")
	var files []string
	for line := range strings.Lines(output(t, "dpkg-deb", "-c", path)) {
		fields := strings.Fields(line)
		if fields[1] != "root/root" || strings.Contains(fields[0][1:], "s") || fields[0][0] != 'l' && fields[0][8] == 'w' {
			t.Errorf("owner or mode: %s", line)
		}
		if fields[0][0] != 'd' {
			files = append(files, strings.TrimPrefix(fields[5], "."))
		}
	}
	configuration := append([]string{"/etc/needrestart/conf.d/slapos.conf"}, configurationFiles...)
	checkFiles(t, files, "/usr", "zsh/vendor-completions", configuration)
	information := output(t, "dpkg-deb", "-f", path)
	for _, want := range []string{
		"Package: slapos\n", "Version: 1.26.1+7\n", "Architecture: " + runtime.GOARCH + "\n", "Conflicts: slapos-node\n", "Depends: passwd, systemd | ",
	} {
		if !strings.Contains(information, want) {
			t.Errorf("no %q in\n%s", want, information)
		}
	}
	if text := output(t, "dpkg-deb", "-I", path, "conffiles"); text != strings.Join(slices.Sorted(slices.Values(configuration)), "\n")+"\n" {
		t.Errorf("configuration files:\n%s", text)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if text := output(t, "dpkg-deb", "-I", path, script); !strings.HasPrefix(text, "#!/bin/sh\n") {
			t.Errorf("%s:\n%s", script, text)
		}
	}
}

func checkRPM(t *testing.T, directory string) {
	testkit.Program(t, "rpm", "rpm")
	architecture := cmp.Or(map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH], runtime.GOARCH)
	path := filepath.Join(directory, "slapos-1.26.1+7-1."+architecture+".rpm")
	query := func(words ...string) string {
		return output(t, append([]string{"rpm", "--dbpath", filepath.Join(t.TempDir(), "rpm"), "-qp"}, append(words, path)...)...)
	}
	var files []string
	for line := range strings.Lines(query("--qf", `[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]`)) {
		fields := strings.Fields(line)
		if fields[1] != "root" || fields[2] != "root" || fields[0][0] != 'l' && fields[0][8] == 'w' {
			t.Errorf("owner or mode: %s", line)
		}
		if fields[0][0] != 'd' {
			files = append(files, fields[3])
		}
	}
	checkFiles(t, files, "/usr", "zsh/site-functions", configurationFiles)
	if text := query("--qf", `%{NAME} %{VERSION} %{ARCH} %{LICENSE} %{BUILDTIME} %{BUILDHOST}`); text != "slapos 1.26.1+7 "+architecture+" GPL-3.0-or-later "+packageEpoch+" localhost" {
		t.Errorf("metadata: %s", text)
	}
	if text := query("-c"); text != strings.Join(slices.Sorted(slices.Values(configurationFiles)), "\n")+"\n" {
		t.Errorf("configuration files:\n%s", text)
	}
	if text := query("--requires"); !strings.Contains(text, "/usr/bin/systemd-sysusers\n") {
		t.Errorf("requires:\n%s", text)
	}
	if text := query("--scripts"); strings.Count(text, "scriptlet (using /bin/sh)") != 3 {
		t.Errorf("scripts:\n%s", text)
	}
}

// checkFiles holds the files of a package, without directories, to what there is
// in this source: every unit, a manual for every command.
func checkFiles(t *testing.T, files []string, prefix, zsh string, configuration []string) {
	t.Helper()
	want := slices.Clone(configuration)
	for _, name := range []string{
		"bin/slapos", "bin/slapos-watchdog", "share/bash-completion/completions/slapos", "share/" + zsh + "/_slapos",
		"share/fish/vendor_completions.d/slapos.fish", "lib/sysusers.d/slapos.conf", "lib/tmpfiles.d/slapos.conf",
		"share/doc/slapos/LICENSE", "share/doc/slapos/CHANGELOG.md", "share/doc/slapos/README.md", "share/doc/slapos/copyright",
		"share/doc/slapos/examples/cron", "share/doc/slapos/examples/logrotate",
		"share/doc/slapos/examples/slapos.cfg.example", "share/doc/slapos/examples/slapos-proxy.cfg.example",
	} {
		want = append(want, prefix+"/"+name)
	}
	for _, unit := range testkit.Names(t, "packaging/systemd") {
		want = append(want, prefix+"/lib/systemd/system/"+unit)
	}
	licences, manuals := 0, 0
	for _, file := range files {
		switch {
		case strings.HasPrefix(file, prefix+"/share/doc/slapos/licenses/"):
			licences++
		case strings.HasPrefix(file, prefix+"/share/man/man1/slapos") && strings.HasSuffix(file, ".1"):
			manuals++
		case !slices.Contains(want, file):
			t.Errorf("%s is in the package", file)
		}
	}
	for _, file := range want {
		if !slices.Contains(files, file) {
			t.Errorf("%s is missing", file)
		}
	}
	commands := strings.Count(testkit.ReadFile(t, "commands.md"), "\n## ")
	if licences < 30 || manuals < commands || !slices.Contains(files, prefix+"/share/man/man1/slapos-node-instance.1") {
		t.Errorf("%d licences, %d manuals of %d commands", licences, manuals, commands)
	}
}

func listFiles(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

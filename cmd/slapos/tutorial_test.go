// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// tutorialScript is what docs/tutorial.md has its reader do, as a shell script:
// files where a paragraph names one, commands elsewhere.
func tutorialScript(text string) string {
	file := regexp.MustCompile("^`([\\w.]+)`")
	var script strings.Builder
	script.WriteString("set -ex\n")
	name := "" // of the file that the last paragraph names
	for _, paragraph := range paragraphs(text) {
		code := strings.ReplaceAll(strings.TrimPrefix(paragraph, "    "), "\n    ", "\n") + "\n"
		switch m := file.FindStringSubmatch(paragraph); {
		case m != nil:
			name = m[1]
		case !strings.HasPrefix(paragraph, "    "):
			name = ""
		case name != "":
			script.WriteString("cat > " + name + " <<'END'\n" + code + "END\n")
		default:
			script.WriteString(code)
		}
	}
	return script.String()
}

// paragraphs are parted by empty lines, but indented ones that follow each
// other are one.
func paragraphs(text string) []string {
	var all []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		last := len(all) - 1
		if last >= 0 && strings.HasPrefix(paragraph, "    ") && strings.HasPrefix(all[last], "    ") {
			all[last] += "\n\n" + paragraph
		} else if paragraph != "" {
			all = append(all, paragraph)
		}
	}
	return all
}

func TestTutorialScript(t *testing.T) {
	got := tutorialScript("Text\n\n    run this\n\n`a.cfg` says it,\nin two lines:\n\n    [a]\n\n    [b]\n\nThen\n\n    run that\n")
	want := "set -ex\nrun this\ncat > a.cfg <<'END'\n[a]\n\n[b]\nEND\nrun that\n"
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// The tutorial, typed as it stands, ends with a service that answered. It takes
// packages from PyPI, so it is run by make tutorial, which says so in
// SLAPOS_TUTORIAL.
func TestTutorial(t *testing.T) {
	testkit.Long(t, "SLAPOS_TUTORIAL", "tutorial")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "tutorial") // short, for the supervisor's socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	account := fmt.Sprint(os.Geteuid())
	if os.Geteuid() == 0 {
		account = "1000" // of the user namespace
	}
	if known, err := user.LookupId(account); err == nil {
		account = known.Username
	}
	replace := strings.NewReplacer("/path/to/slapos", root, "/home/me", home, "user = me", "user = "+account,
		"5000", freeLocalPort(t), "8000", freeLocalPort(t), // others may use these
		"proxy start &\n", "proxy start & until curl -s $(sed -n 's/^master_url = //p' slapos.cfg) >listens; do sleep 0.1; done\n",
		"kill %1\n", "kill $!\n") // a shell without a terminal counts no jobs
	script := "trap 'test -d ~/cloud && slapos node supervisorctl shutdown; kill $! || true' EXIT\n" + replace.Replace(tutorialScript(string(text)))
	words := []string{"sh", "-c", script}
	if os.Geteuid() == 0 {
		words = append([]string{"unshare", "--user", "--map-user=1000", "--map-group=1000"}, words...)
	}
	command := exec.CommandContext(t.Context(), words[0], words[1:]...)
	command.Dir = home
	command.Env = append(os.Environ(), "HOME="+home, "USER="+account, "PATH="+filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "Hello, me!") || !strings.Contains(string(output), "Hello, you!") {
		t.Errorf("%v\n%s", err, output)
	}
}

func freeLocalPort(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

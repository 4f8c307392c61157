// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each source file names the licence in its first two lines.
func TestSourcesNameTheirLicence(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == ".git" || name == "bin" || name == "var") {
			return fs.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go", ".py", ".sh", ".sql", ".css", ".js":
		default:
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		lines := bytes.SplitN(content, []byte("\n"), 3)
		if !bytes.Contains(bytes.Join(lines[:min(2, len(lines))], nil), []byte("SPDX-License-Identifier: GPL-3.0-or-later")) {
			t.Errorf("%s has no SPDX line", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 400 {
		t.Errorf("only %d source files seen", seen)
	}
}

// What is linked into the program brings its licence along into a package.
func TestLicencesOfWhatIsLinked(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "licenses")
	command := exec.Command("docs/packaging/licenses.sh", directory)
	command.Dir = ".."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, module := range []string{
		"go", "github.com/urfave/cli/v2@*", "github.com/vishvananda/netlink@*", "github.com/shirou/gopsutil/v3@*",
		"github.com/ochinchina/supervisord/*@*", "modernc.org/sqlite@*",
	} {
		texts, err := filepath.Glob(filepath.Join(directory, module, "LICENSE*"))
		if err != nil || len(texts) == 0 {
			t.Errorf("no licence of %s (%v)", module, err)
		}
		for _, text := range texts {
			if content, err := os.ReadFile(text); err != nil || len(strings.TrimSpace(string(content))) < 100 {
				t.Errorf("%s: %v, %d bytes", text, err, len(content))
			}
		}
	}
}

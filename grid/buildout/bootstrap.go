// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// slaposPython is where the packages of SlapOS have their Python.
const slaposPython = "/opt/slapos/bin/python3"

// Packages is what pip must install for a Python to bootstrap: versions that
// are known to work together.
const Packages = "zc.buildout==6.0.1 setuptools==84.2.1"

// noBuildout is the exit status of the bootstrap program when zc.buildout can't
// be imported.
const noBuildout = 97

// bootstrapProgram runs zc.buildout with its arguments. Every version of Python
// must understand it.
var bootstrapProgram = fmt.Sprintf(`import sys
try:
    import zc.buildout.buildout
except ImportError:
    sys.stderr.write("%%s\n" %% sys.exc_info()[1])
    sys.exit(%d)
sys.argv[0] = "buildout"
zc.buildout.buildout.main()
`, noBuildout)

// Bootstrap makes bin/buildout with the node's Python (GRID-33). Unlike the
// original, it imports zc.buildout with the site directories of that Python (no
// -S): that is where it is installed.
func (b *Builder) Bootstrap(ctx context.Context, parameters ...string) error {
	python, err := b.python()
	if err != nil {
		return b.fail(err.Error())
	}
	command := []string{python, "-c", bootstrapProgram}
	if b.Script != "" {
		command = []string{python, "-S", b.Script}
	}
	command = append(append(command, parameters...), "bootstrap")
	status, err := b.withoutDebugger().run(ctx, command, "", 0)
	var failed *Error
	if errors.As(err, &failed) && status == noBuildout && b.Script == "" {
		return b.fail(fmt.Sprintf("%s has no zc.buildout: "+
			"run '%s -m pip install %s', or name another interpreter in the option python of section [slapos]",
			python, python, Packages))
	}
	return err
}

// CheckPython reports whether a node's Python can bootstrap: that of the key
// python, of the first line of script, or the usual one. Its error is one line:
// what is wrong, a colon and a blank, and the way out.
func CheckPython(ctx context.Context, python, script string, environment []string) error {
	b := &Builder{Python: python, Script: script, Environment: environment}
	path, err := b.python()
	if err != nil || script != "" {
		return err
	}
	command := exec.CommandContext(ctx, path, "-c", "import zc.buildout.buildout, setuptools")
	command.Env = environment
	if output, err := command.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		advice := fmt.Sprintf("run '%s -m pip install %s', or name another interpreter in the option python of section [slapos]", path, Packages)
		if python == "" && path != slaposPython { // the distribution's, which takes no packages of pip
			directory := filepath.Dir(filepath.Dir(slaposPython))
			advice = fmt.Sprintf("run 'python3 -m venv %s && %s/bin/pip install %s', or name another interpreter in the option python of section [slapos]", directory, directory, Packages)
		}
		return fmt.Errorf("%s can't build releases (%s): %s", path, cmp.Or(lines[len(lines)-1], err.Error()), advice)
	}
	return nil
}

// withoutDebugger returns the builder for the bootstrap, whose output is always
// captured.
func (b *Builder) withoutDebugger() *Builder {
	quiet := *b
	quiet.Debug = false
	return &quiet
}

func (b *Builder) python() (string, error) {
	const advice = "install Python 3 with zc.buildout, or name an interpreter in the option python of section [slapos]"
	if b.Python != "" {
		if path, ok := lookPath(b.Python, b.Environment); ok {
			return path, nil
		}
		return "", fmt.Errorf("the Python interpreter %s can't be executed: %s", b.Python, advice)
	}
	if b.Script != "" { // the first line of an installed script names its Python
		python, err := interpreterOf(b.Script)
		if err == nil && strings.HasPrefix(filepath.Base(python), "python") && isExecutable(python) {
			return python, nil
		}
	}
	for _, name := range []string{slaposPython, "python3"} {
		if path, ok := lookPath(name, b.Environment); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no Python to bootstrap zc.buildout with (looked for %s and for python3 on PATH): %s", slaposPython, advice)
}

// lookPath finds a program by its path, or on the PATH of an environment.
func lookPath(name string, environment []string) (string, bool) {
	if strings.Contains(name, "/") {
		return name, isExecutable(name)
	}
	search := ""
	for _, variable := range environment {
		if value, found := strings.CutPrefix(variable, "PATH="); found {
			search = value
		}
	}
	for _, directory := range filepath.SplitList(search) {
		if path := filepath.Join(directory, name); filepath.IsAbs(path) && isExecutable(path) {
			return path, true
		}
	}
	return "", false
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// SPDX-License-Identifier: GPL-3.0-or-later

package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The Python side of the console, and the library that a Python without
// slapos.core gets.
//
//go:embed all:runtime
var runtime embed.FS

// A Python is an interpreter that the console can become (D-7).
type Python struct {
	// Programs are interpreters to try in this order. One that can't start is passed
	// over; one that is too old goes on with the next, the last one with Starlark.
	Programs []string
	// Configured says that there is no other choice than the only program.
	Configured bool
	// Starlark is the command line that does the same without Python.
	Starlark []string

	MasterURL, RESTURL        string
	KeyFile, CertFile, CAFile string
	Insecure                  bool
	Token                     string
	Quiet, NoTime             bool   // of the log
	LogFile                   string // gets all that is logged, unless empty
	Shell                     string // ipython, bpython; anything else is Python's own
	History                   string
}

// FindPythons looks up the programs named python3 in a search path. Names of the
// same file count once.
func FindPythons(path string) []string {
	var found []string
	known := map[string]bool{}
	for _, directory := range filepath.SplitList(path) {
		if directory == "" {
			continue // the working directory may be anybody's
		}
		program := filepath.Join(directory, "python3")
		target, err := filepath.EvalSymlinks(program)
		if err != nil || known[target] || !isProgram(program) {
			continue
		}
		known[target] = true
		found = append(found, program)
	}
	return found
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}

// begin is what the interpreter is given: it reads the rest from a descriptor, so
// that no list of processes and no child shows what is in it.
const begin = "import os;f=os.fdopen(%d,'rb');exec(compile(f.read(),'<slapos console>','exec'),{'__name__':'_slapos_console','f':f})"

// Become replaces this process by the interpreter, which runs a program, or reads
// statements from the terminal if there is none. It returns only if it fails. What
// belongs to the terminal, the signals and the exit code are so Python's own.
func (p *Python) Become(program *Program, environ []string) error {
	err := p.become(program, environ)
	for left := *p; err != nil && len(left.Programs) > 1; {
		left.Programs = left.Programs[1:]
		if left.become(program, environ) == nil {
			return nil
		}
	}
	return err
}

func (p *Python) become(program *Program, environ []string) error {
	fd, err := unix.MemfdCreate("slapos-console", 0) // the interpreter inherits it
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	file := os.NewFile(uintptr(fd), "slapos-console")
	defer file.Close()
	command := fmt.Sprintf(begin, fd)
	text, err := p.payload(program, command)
	if err != nil {
		return err
	}
	if _, err = file.Write(text); err == nil {
		_, err = file.Seek(0, 0)
	}
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	err = unix.Exec(p.Programs[0], p.commandLine(program, command), environ)
	if errors.Is(err, unix.ENOENT) {
		err = errors.New("its interpreter does not exist")
	}
	wayOut := "mend it, name another one by python in section [slapos], or use --starlark"
	if p.Configured {
		wayOut = "correct python in section [slapos], leave it out for the python3 of PATH, or use --starlark"
	}
	return fmt.Errorf("start %s: %w; %s", p.Programs[0], err, wayOut)
}

// commandLine is what lists of processes show.
func (p *Python) commandLine(program *Program, command string) []string {
	line := []string{p.Programs[0], "-c", command, "0"}
	if program != nil {
		line = append(line, program.Arguments...)
	}
	return line
}

const banner = `request(URL, "name"), supply(URL, "COMP-1"), computer("COMP-1"), product.NAME; help(slap), dir(slap); Ctrl-D ends`

// payload is the Python side, and a call of it with all that it needs to know. JSON
// of texts is Python, too.
func (p *Python) payload(program *Program, command string) ([]byte, error) {
	sources, err := librarySources()
	if err != nil {
		return nil, err
	}
	side, err := runtime.ReadFile("runtime/console.py")
	if err != nil {
		return nil, err
	}
	job := map[string]any{
		"kind": "interactive", "code": "", "sources": sources, "banner": banner, "history": p.History, "shell": p.Shell,
		"pythons": strings.Join(p.Programs, "\x00"), "fixed": yes(p.Configured), "starlark": strings.Join(p.Starlark, "\x00"), "begin": command,
		"quiet": yes(p.Quiet), "time": yes(!p.NoTime), "log_file": p.LogFile,
		"master": map[string]string{
			"url": p.MasterURL, "rest_url": p.RESTURL, "key_file": p.KeyFile, "cert_file": p.CertFile, "ca_file": p.CAFile,
			"insecure": yes(p.Insecure), "token": p.Token,
		},
	}
	switch {
	case program == nil:
	case program.File != "":
		job["kind"] = "script"
	case program.Source != "":
		job["kind"], job["code"] = "code", program.Source
	default:
		job["kind"] = "stdin"
	}
	call, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	return append(side, "\nstart("+string(call)+", f)\n"...), nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// librarySources are the modules of the library, by name, each with its kind.
func librarySources() (map[string][2]string, error) {
	sources := map[string][2]string{"slapos": {"package", ""}}
	err := fs.WalkDir(runtime, "runtime/slapos", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := runtime.ReadFile(path)
		name := strings.TrimSuffix(strings.TrimPrefix(path, "runtime/"), ".py")
		kind := "module"
		if folder, isPackage := strings.CutSuffix(name, "/__init__"); isPackage {
			name, kind = folder, "package"
		}
		sources[strings.ReplaceAll(name, "/", ".")] = [2]string{kind, string(text)}
		return err
	})
	return sources, err
}

// ConfiguredPython is the interpreter that a configuration names.
func ConfiguredPython(ctx context.Context, path, searchPath string) (string, error) {
	program := path
	if !strings.Contains(path, "/") {
		program = ""
		for _, directory := range filepath.SplitList(searchPath) {
			if found := filepath.Join(directory, path); directory != "" && isProgram(found) {
				program = found
				break
			}
		}
	}
	wayOut := "correct python in section [slapos], leave it out for the python3 of PATH, or use --starlark"
	switch {
	case program == "" || !isProgram(program):
		return "", fmt.Errorf("%s is no program: %s", strconv.Quote(path), wayOut)
	case !isPython(ctx, program):
		return "", fmt.Errorf("%s is no Python: %s", strconv.Quote(path), wayOut)
	}
	return program, nil
}

// isPython asks a program, unless its name says it: the console becomes the program,
// and can't notice afterwards that it does something else.
func isPython(ctx context.Context, program string) bool {
	if name := strings.ToLower(filepath.Base(program)); strings.Contains(name, "python") || strings.Contains(name, "pypy") {
		return true
	}
	const answer = "Python, as asked"
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // a busy machine
	defer cancel()
	said, err := exec.CommandContext(ctx, program, "-c", "import sys; sys.stdout.write('Python,' + ' as asked')").Output()
	return err == nil && string(said) == answer
}

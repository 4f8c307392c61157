// SPDX-License-Identifier: GPL-3.0-or-later

package testkit

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Random makes inputs of tests that compare with the original.
type Random struct{ *rand.Rand }

// NewRandom logs the seed that SLAPOS_TEST_SEED repeats a run with.
func NewRandom(t testing.TB) Random {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SLAPOS_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SLAPOS_TEST_SEED: %v", err)
		}
	}
	t.Logf("repeat with SLAPOS_TEST_SEED=%d", seed)
	return Random{rand.New(rand.NewPCG(seed, 0))}
}

// Cases is how many inputs to try: few, or many with SLAPOS_TEST_LONG.
func (r Random) Cases(few, many int) int {
	if os.Getenv("SLAPOS_TEST_LONG") != "" {
		return many
	}
	return few
}

// Text joins up to five of the pieces.
func (r Random) Text(pieces ...string) string {
	var b strings.Builder
	for range r.IntN(6) {
		b.WriteString(r.One(pieces...))
	}
	return b.String()
}

// One is one of the choices.
func (r Random) One(choices ...string) string { return choices[r.IntN(len(choices))] }

// original precedes programs of [Original].
const original = `
import base64, json, os, sys
import slapos.grid, slapos.util
def resource(module, name): # as importlib finds it for a module from Python 3.12 on
  with open(os.path.join(list(slapos.grid.__path__)[0], name), "rb") as f: return f.read()
slapos.util.get_package_resource_bytes = resource
def answer(files): # a dictionary of names and bytes
  print(json.dumps({name: base64.b64encode(content).decode() for name, content in files.items()}), flush=True)
def content(path): # with the mode
  with open(path, "rb") as f: return b"%o " % (os.fstat(f.fileno()).st_mode & 0o7777) + f.read()
`

// Content is the mode of a file and its content, as the function content gives them to
// programs of [Original].
func Content(t testing.TB, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.FormatUint(uint64(info.Mode().Perm()), 8) + " " + ReadFile(t, path)
}

// Original gives the cases to a Python program, each as a line of JSON. For each line
// the program calls answer with what slapos.core makes of it, which compare gets.
// It returns the number of answers' entries.
func Original[Case any](t testing.TB, program string, cases []Case, compare func(c Case, theirs map[string][]byte)) (entries int) {
	t.Helper()
	var input strings.Builder
	encoder := json.NewEncoder(&input)
	for _, c := range cases {
		if err := encoder.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(Python(t), "-W", "ignore", "-c", original+program)
	command.Stdin, command.Stderr = strings.NewReader(input.String()), os.Stderr
	command.Env = append(os.Environ(), "PYTHONUTF8=1")
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := json.NewDecoder(strings.NewReader(string(output)))
	for _, c := range cases {
		var theirs map[string][]byte
		if err := answers.Decode(&theirs); err != nil {
			t.Fatal(err)
		}
		entries += len(theirs)
		compare(c, theirs)
	}
	return entries
}

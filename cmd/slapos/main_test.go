package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// testPython is the interpreter of the environment that tests use.
func testPython(t testing.TB) string {
	root := os.Getenv("SLAPOS_TEST_ENV")
	for directory, _ := os.Getwd(); root == "" && directory != "/"; directory = filepath.Dir(directory) {
		if candidate := filepath.Join(directory, "var", "testenv"); exists(candidate) {
			root = candidate
		}
	}
	python := filepath.Join(root, "bin", "python")
	if root == "" || !exists(python) {
		t.Fatal("the Python environment of the tests is missing: run `make testenv` first")
	}
	return python
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A reference is a running Python that answers how it would do things.
type reference struct {
	in  io.Writer
	out *bufio.Reader
}

func newReference(t testing.TB) *reference {
	command := exec.Command(testPython(t), filepath.Join("testdata", "reference.py"))
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		command.Wait()
	})
	return &reference{in, bufio.NewReader(out)}
}

// ask has a function of testdata/reference.py work on data, stores its answer,
// and tells whether it had one.
func (r *reference) ask(t testing.TB, function string, data []byte, answer any) bool {
	question, err := json.Marshal(map[string]any{"of": function, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.in.Write(append(question, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(line, &reply); err != nil {
		t.Fatal(err)
	}
	if reply.Error != "" {
		return false
	}
	if err := json.Unmarshal(reply.Value, answer); err != nil {
		t.Fatal(err)
	}
	return true
}

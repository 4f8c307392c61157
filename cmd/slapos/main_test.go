package main

import (
	"os"
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

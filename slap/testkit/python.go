// SPDX-License-Identifier: GPL-3.0-or-later

// Package testkit is what the tests of all rooms share: the Python environment
// to compare with, waiting, and the needs of tests.
package testkit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Find returns the directory of the Python environment with slapos.core,
// zc.buildout and supervisor, as `make testenv` installs it: SLAPOS_TEST_ENV if
// set, else var/testenv in the working directory or one above it.
func Find() (string, error) {
	if environment := os.Getenv("SLAPOS_TEST_ENV"); environment != "" {
		return environment, nil
	}
	directory, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; directory = filepath.Dir(directory) {
		environment := filepath.Join(directory, "var", "testenv")
		if _, err := os.Stat(filepath.Join(environment, "bin", "python")); err == nil {
			return environment, nil
		}
		if directory == "/" {
			return "", errors.New("the Python environment of the tests is missing: run `make testenv` first")
		}
	}
}

// Directory returns the directory of the environment; without one the test fails.
func Directory(t testing.TB) string {
	t.Helper()
	environment, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return environment
}

// Python returns the interpreter of the environment.
func Python(t testing.TB) string {
	t.Helper()
	return filepath.Join(Directory(t), "bin", "python")
}

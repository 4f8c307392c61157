package slap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// document reads a captured document without its final newline.
func document(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(data), "\n")
}

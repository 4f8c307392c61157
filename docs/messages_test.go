// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMessagesAreWhole finds what prints "%!" in place of a value and `go vet`,
// which `make test` runs, doesn't see. It checks formats against their arguments
// in fmt and in all functions that pass them on there, not whether an error is
// nil when it is wrapped ("%!w(<nil>)"): that happens where one branch serves a
// failure and something else that is wrong.
func TestMessagesAreWhole(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "var" || entry.Name() == "bin" || len(entry.Name()) > 2 && entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, fault := range nilsWrapped(set, file) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatal(files, err)
	}
}

// nilsWrapped finds errors that are wrapped where they may be nil.
func nilsWrapped(set *token.FileSet, file *ast.File) (faults []string) {
	ast.Inspect(file, func(node ast.Node) bool {
		branch, ok := node.(*ast.IfStmt)
		if !ok {
			return true
		}
		maybe := map[string]bool{}
		alternatives(branch.Cond, false, maybe)
		ast.Inspect(branch.Body, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || selector(call.Fun) != "fmt.Errorf" || len(call.Args) < 2 {
				return true
			}
			format, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			text, _ := strconv.Unquote(format.Value)
			if !strings.Contains(text, "%w") {
				return true
			}
			for _, argument := range call.Args[1:] {
				if name, ok := argument.(*ast.Ident); ok && maybe[name.Name] {
					faults = append(faults, fmt.Sprintf("%s: %s may be nil where it is wrapped: the message would hold %%!w(<nil>)", set.Position(call.Pos()), name.Name))
				}
			}
			return true
		})
		return true
	})
	slices.Sort(faults)
	return slices.Compact(faults)
}

// alternatives collects the names that a condition compares with nil, when it
// may hold without that.
func alternatives(condition ast.Expr, beside bool, maybe map[string]bool) {
	switch c := condition.(type) {
	case *ast.ParenExpr:
		alternatives(c.X, beside, maybe)
	case *ast.BinaryExpr:
		if c.Op == token.LOR {
			alternatives(c.X, true, maybe)
			alternatives(c.Y, true, maybe)
		}
		name, isName := c.X.(*ast.Ident)
		other, isNil := c.Y.(*ast.Ident)
		if beside && c.Op == token.NEQ && isName && isNil && other.Name == "nil" {
			maybe[name.Name] = true
		}
	}
}

// TestMessagesRule shows that the rule finds what it is for.
func TestMessagesRule(t *testing.T) {
	for text, want := range map[string]int{
		`if err != nil || size == 0 { return fmt.Errorf("read the size: %w", err) }`:                             1,
		`if size == 0 || (err != nil) { if x { return fmt.Errorf("read %s: %w", name, err) } }`:                  1,
		`if err != nil { return fmt.Errorf("read the size: %w", err) }`:                                          0,
		`if err != nil && size == 0 { return fmt.Errorf("read the size: %w", err) }`:                             0,
		`if err != nil || size == 0 { return errors.New("no size") }`:                                            0,
		`if a != nil || size == 0 { if err := f(); err != nil { return fmt.Errorf("read the size: %w", err) } }`: 0,
	} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "a.go", "package a\nfunc f() error { "+text+"; return nil }", parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if faults := nilsWrapped(set, file); len(faults) != want {
			t.Errorf("%s: found %q", text, faults)
		}
	}
}

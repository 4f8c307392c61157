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
	"strings"
	"testing"
)

// testFiles are the repository's own tests, and what they share.
func testFiles(t *testing.T) map[string][]string {
	t.Helper()
	packages := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "var" || entry.Name() == "bin" || len(entry.Name()) > 2 && entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, "_test.go") {
			packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 20 {
		t.Fatalf("only %d packages with tests", len(packages))
	}
	return packages
}

// TestTests holds the repository's tests to what they promise: they wait by
// package slap/testkit alone, whose waits have an end; they step aside by Skip
// and a reason, never in silence; their TestMain looks for what they leave.
func TestTests(t *testing.T) {
	for directory, files := range testFiles(t) {
		if directory == "../slap/testkit" {
			continue // it is what the others wait by
		}
		tidy := false
		for _, path := range files {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range faultsOf(set, file) {
				t.Error(fault)
			}
			tidy = tidy || callsTidy(file)
		}
		if !tidy {
			t.Errorf("%s: no TestMain that calls testkit.Main, testkit.Tidy or testenv.Main", directory)
		}
	}
}

func callsTidy(file *ast.File) (found bool) {
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Name.Name != "TestMain" {
			continue
		}
		ast.Inspect(function, func(node ast.Node) bool {
			name := selector(node)
			found = found || name == "testkit.Main" || name == "testkit.Tidy" || name == "testenv.Main"
			return true
		})
	}
	return found
}

// selector is a name such as time.Sleep, or empty.
func selector(node ast.Node) string {
	if s, ok := node.(*ast.SelectorExpr); ok {
		if of, ok := s.X.(*ast.Ident); ok {
			return of.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// faultsOf finds what a file of tests must not do.
func faultsOf(set *token.FileSet, file *ast.File) (faults []string) {
	fault := func(node ast.Node, text string) {
		faults = append(faults, fmt.Sprintf("%s: %s", set.Position(node.Pos()), text))
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch name := selector(node); {
		case name == "time.Sleep":
			fault(node, "time.Sleep: wait by testkit.Eventually, Await or Once, look for what must not happen by testkit.Watch")
		case name == "time.Tick":
			fault(node, "time.Tick: wait by package testkit")
		}
		switch node := node.(type) {
		case *ast.ForStmt:
			if spins(node) {
				fault(node, "a loop that waits: use testkit.Eventually")
			}
		case *ast.FuncDecl:
			if strings.HasPrefix(node.Name.Name, "Test") && node.Name.Name != "TestMain" && node.Recv == nil && node.Body != nil {
				for _, early := range silent(node.Body) {
					fault(early, "the test ends by return: say why it can't go on, by t.Skip and its reason")
				}
			}
		case *ast.CallExpr:
			if s, ok := node.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Run" && len(node.Args) == 2 {
				if function, ok := node.Args[1].(*ast.FuncLit); ok && takesT(function.Type) {
					for _, early := range silent(function.Body) {
						fault(early, "the sub-test ends by return: say why it can't go on, by t.Skip and its reason")
					}
				}
			}
		}
		return true
	})
	return faults
}

// takesT tells whether a function has one parameter, of type *testing.T.
func takesT(function *ast.FuncType) bool {
	if function.Params.NumFields() != 1 {
		return false
	}
	pointer, ok := function.Params.List[0].Type.(*ast.StarExpr)
	return ok && selector(pointer.X) == "testing.T"
}

// spins tells whether a loop without steps of its own does nothing but ask.
func spins(loop *ast.ForStmt) bool {
	return loop.Init == nil && loop.Post == nil && len(loop.Body.List) == 0
}

// silent finds the returns that end a test without a word: those that stand
// alone in their block.
func silent(body *ast.BlockStmt) (found []ast.Node) {
	ast.Inspect(body, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit:
			return false // a return there ends another function
		case *ast.BlockStmt:
			if len(node.List) == 1 && isReturn(node.List[0]) {
				found = append(found, node.List[0])
			}
		case *ast.IfStmt:
			if asksTest(node.Cond) && node.Else == nil {
				return false
			}
		case *ast.CaseClause:
			if len(node.Body) == 1 && isReturn(node.Body[0]) {
				found = append(found, node.Body[0])
			}
		case *ast.CommClause:
			if len(node.Body) == 1 && isReturn(node.Body[0]) {
				found = append(found, node.Body[0])
			}
		}
		return true
	})
	return found
}

// asksTest tells whether a condition is what a function answers that was given
// the test, as one that runs it again in another process: it reports by itself.
func asksTest(condition ast.Expr) bool {
	if not, ok := condition.(*ast.UnaryExpr); ok {
		condition = not.X
	}
	call, ok := condition.(*ast.CallExpr)
	return ok && slices.ContainsFunc(call.Args, func(argument ast.Expr) bool {
		name, ok := argument.(*ast.Ident)
		return ok && name.Name == "t"
	})
}

func isReturn(statement ast.Stmt) bool {
	_, ok := statement.(*ast.ReturnStmt)
	return ok
}

// TestTestsRules shows that the rules find what they are for, and nothing else.
func TestTestsRules(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want int
	}{
		"sleep":             {`func TestA(t *testing.T) { time.Sleep(time.Second) }`, 1},
		"sleep in a loop":   {`func TestA(t *testing.T) { for !done() { time.Sleep(time.Second) } }`, 1},
		"spin":              {`func TestA(t *testing.T) { for !done() { } }`, 1},
		"wait":              {`func TestA(t *testing.T) { testkit.Eventually(t, testkit.Patience, "it is done", done) }`, 0},
		"silent":            {`func TestA(t *testing.T) { if os.Geteuid() != 0 { return }; do(t) }`, 1},
		"silent case":       {`func TestA(t *testing.T) { switch x { case 1: return }; do(t) }`, 1},
		"silent sub-test":   {`func TestA(t *testing.T) { t.Run("a", func(t *testing.T) { if x { return }; do(t) }) }`, 1},
		"skip":              {`func TestA(t *testing.T) { if x { t.Skip("why") }; do(t) }`, 0},
		"says":              {`func TestA(t *testing.T) { if x { t.Error("why"); return }; do(t) }`, 0},
		"runs elsewhere":    {`func TestA(t *testing.T) { if !inNamespace(t, 1) { return }; do(t) }`, 0},
		"another function":  {`func TestA(t *testing.T) { go func() { if x { return }; do(t) }() }`, 0},
		"helper":            {`func help(t *testing.T) { if x { return }; do(t) }`, 0},
		"silent method run": {`func TestA(t *testing.T) { l.Run("a", func(t *testing.T) { if x { return } }) }`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, "a_test.go", "package a\n"+test.text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if faults := faultsOf(set, file); len(faults) != test.want {
				t.Errorf("found %s", strings.Join(slices.Sorted(slices.Values(faults)), "\n"))
			}
		})
	}
}

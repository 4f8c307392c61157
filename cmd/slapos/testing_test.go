// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/md5"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"slapos/slap/testkit"
)

// A suiteTest runs tests of a Software Release that are written with
// slapos.testing, by a program slapos that comes first on PATH.
type suiteTest struct {
	*cloudTest
	tests, python, workplace string
}

// newSuiteTest has the release in a checkout that a web site serves. Programs
// are the names under which this program is on PATH; others are Python's.
func newSuiteTest(t *testing.T, programs ...string) *suiteTest {
	testkit.IPv6(t)
	c := newCloudTest(t)
	checkout, bin := filepath.Join(c.folder, "checkout"), filepath.Join(c.folder, "path")
	s := &suiteTest{cloudTest: c, tests: filepath.Join(checkout, "board", "test"), python: testkit.Python(t), workplace: freeWorkplace(t, c.folder)}
	if err := os.CopyFS(checkout, os.DirFS("testdata/testing")); err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(checkout, "board", "software.cfg")
	testkit.WriteFile(t, profile, strings.ReplaceAll(testkit.ReadFile(t, profile), "RECIPE", checkout+"/board/recipe"))
	for _, name := range []string{"path", "log", "modules"} {
		if err := os.Mkdir(filepath.Join(c.folder, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range programs {
		if err := os.Symlink(c.program, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	// What makes bills of materials knows recipes of the public releases only.
	testkit.WriteFile(t, filepath.Join(bin, "nxdbom"), "#!/bin/sh\necho {} > \"$3\"\n")
	if err := os.Chmod(filepath.Join(bin, "nxdbom"), 0o755); err != nil {
		t.Fatal(err)
	}
	testkit.WriteFile(t, filepath.Join(c.folder, "modules", "sitecustomize.py"), testkit.ReadFile(t, "testdata/standalone/resources.py"))
	web := httptest.NewServer(http.FileServer(http.Dir(checkout)))
	t.Cleanup(web.Close)
	c.environ = []string{
		"HOME=" + c.folder + "/home", "LANG=C.UTF-8", "PIP_NO_BUILD_ISOLATION=0", "PYTHONPATH=" + c.folder + "/modules",
		"PATH=" + bin + ":" + filepath.Dir(s.python) + ":/usr/bin:/bin",
		"SLAPOS_TEST_IPV4=127.0.0.1", "SLAPOS_TEST_IPV6=::1",
		"SLAPOS_TEST_SOFTWARE_ROOT_URL=" + web.URL, "SLAPOS_TEST_SOFTWARE_ROOT_DIR=" + checkout,
		"SLAPOS_TEST_WORKING_DIR=" + s.workplace, "SLAPOS_TEST_LOG_DIRECTORY=" + c.folder + "/log",
	}
	t.Cleanup(func() {
		// Unless the tests came to their end, all of it is still running.
		command := exec.Command(c.program, "-c", s.workplace+"/etc/supervisord.conf", "shutdown")
		command.Args[0] = "supervisorctl"
		_ = command.Run()
		if t.Failed() {
			log, _ := os.ReadFile(c.folder + "/log/testcase.log")
			t.Logf("testcase.log ends with\n%s", log[max(0, len(log)-5000):])
		}
	})
	return s
}

// freeWorkplace makes a directory whose port, which slapos.testing takes from
// its path, nobody uses.
func freeWorkplace(t *testing.T, folder string) string {
	for i := range 100 {
		path := filepath.Join(folder, fmt.Sprint("w", i))
		sum := md5.Sum([]byte(path))
		port := 1024 + new(big.Int).Mod(new(big.Int).SetBytes(sum[:]), big.NewInt(65535-1024)).Int64()
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		listener.Close()
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Fatal("no port is free")
	return ""
}

// pass runs the tests with these names, all of them without any, and checks
// that so many passed and none stepped aside.
func (s *suiteTest) pass(count int, names ...string) {
	s.t.Helper()
	words := append([]string{"sh", "-c", `cd "$0" && exec "$@"`, s.tests, s.python, "-W", "ignore", "-m", "unittest", "-v"}, names...)
	out := s.run(0, words...)
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^Ran %d tests? in .*\n\nOK$`, count)).MatchString(out) {
		s.t.Errorf("it says\n%s", out)
	}
	s.t.Logf("%d tests of a release passed", count)
}

// TestReleaseSuite is the short form: an instance, and shared instances, CLI-100
// to CLI-111.
func TestReleaseSuite(t *testing.T) {
	t.Parallel()
	if testkit.AsOrdinaryUser(t) {
		return
	}
	newSuiteTest(t, "slapos", "supervisord", "supervisorctl").pass(3, "test.TestShared", "test.TestBoard.test_connection_parameters", "test.TestBoard.test_failing_promise")
}

// TestReleaseSuites runs all of them.
func TestReleaseSuites(t *testing.T) {
	testkit.Long(t, "SLAPOS_TEST_SUITES", "slapos-testing")
	if testkit.AsOrdinaryUser(t) {
		return
	}
	newSuiteTest(t, "slapos", "supervisord", "supervisorctl").pass(16, "test")
}

// TestReleaseSuitesSupervisor runs all of them with Python's supervisord.
func TestReleaseSuitesSupervisor(t *testing.T) {
	testkit.Long(t, "SLAPOS_TEST_SUITES", "slapos-testing")
	if testkit.AsOrdinaryUser(t) {
		return
	}
	newSuiteTest(t, "slapos").pass(16, "test")
}

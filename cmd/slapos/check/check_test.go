// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/cmd/slapos/pytext"
	"slapos/slap"
	"slapos/slap/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// machine is a node that is as it should be, and what a test breaks of it.
type machine struct {
	*testing.T
	directory string
	master    http.HandlerFunc
	sections  map[string]map[string]string
	subject   Subject
}

func newMachine(t *testing.T) *machine {
	m := &machine{T: t, directory: t.TempDir(), master: answerAs("1", true)}
	for _, name := range []string{"srv/slappart0", "opt", "shared"} {
		if err := os.MkdirAll(filepath.Join(m.directory, name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("Date") == "" {
			w.Header().Set("Date", now.Format(http.TimeFormat))
		}
		m.master(w, r)
	}))
	t.Cleanup(server.Close)
	m.sections = map[string]map[string]string{
		"slapos": {
			"computer_id": "COMP-1", "master_url": server.URL, "software_root": m.path("opt"), "instance_root": m.path("srv"),
			"root_check": "false", "shared_part_list": m.path("shared"), "software_min_free_space": "0", "instance_min_free_space": "1K",
		},
		"slapformat": {"partition_amount": "1", "computer_xml": m.path("slapos.xml"), "partition_base_name": "slappart", "interface_name": "eth0", "alter_user": "false"},
	}
	m.subject = Subject{
		Value:         func(string, string, map[string]string) error { return nil },
		Expand:        func(path string) string { return path },
		Missing:       func() []string { return nil },
		Python:        func(context.Context) error { return nil },
		HasGlobalIPv6: func(context.Context, string) (bool, error) { return true, nil },
		CGroups:       func() error { return nil },
		Now:           func() time.Time { return now },
		UID:           os.Geteuid(),
	}
	m.subject.Client = func() (*slap.Client, error) {
		return slap.NewClient(slap.ClientConfig{MasterURL: m.sections["slapos"]["master_url"], Origin: "master_url of the test"})
	}
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.directory, name) }

// answerAs answers as a master does: runID is empty for one that is none of ours or
// slapos.core's, which alone has no /healthz.
func answerAs(runID string, healthy bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/getRunId" && runID != "":
			fmt.Fprint(w, runID)
		case r.URL.Path == "/healthz" && healthy:
			fmt.Fprintln(w, "ok")
		case r.URL.Path == "/getFullComputerInformation":
			text, err := slap.Marshal(&slap.Computer{Reference: "COMP-1"})
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(text)
		default:
			http.NotFound(w, r)
		}
	}
}

func (m *machine) run() *Report {
	m.Helper()
	var text strings.Builder
	for name, section := range m.sections {
		fmt.Fprintf(&text, "[%s]\n", name)
		for key, value := range section {
			fmt.Fprintf(&text, "%s = %s\n", key, strings.ReplaceAll(value, "\n", "\n  "))
		}
	}
	path := testkit.WriteFile(m.T, m.path("slapos.cfg"), text.String())
	configuration, err := pytext.ParseConfiguration(path, []byte(text.String()))
	if err != nil {
		m.Fatal(err)
	}
	m.subject.Configuration = configuration
	report, err := Run(m.Context(), &m.subject)
	if err != nil {
		m.Fatal(err)
	}
	return report
}

// certificate writes a certificate that ends at a time, and its key.
func (m *machine) certificate(name string, from, until time.Time) (certificate, key string) {
	m.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		m.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		m.Fatal(err)
	}
	certificate, key = m.path(name+".crt"), m.path(name+".key")
	testkit.WriteFile(m.T, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	m.secret(key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certificate, key
}

func (m *machine) secret(path, text string) {
	m.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.Fatal(err)
	}
}

// TestChecks breaks one thing at a time.
func TestChecks(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		spoil func(*machine)
		// want are the check, the severity and a part of the line; "" if nothing is wrong.
		check    string
		severity Severity
		want     string
	}{
		"nothing": {func(*machine) {}, "", "", ""},

		"mistyped key":         {func(m *machine) { m.sections["slapos"]["maximum_peridicity"] = "1" }, "keys", Warning, "key maximum_peridicity is read by nobody: did you mean maximum_periodicity?"},
		"key of another place": {func(m *machine) { m.sections["slapformat"]["upload-cache-url"] = "x" }, "keys", Warning, "it belongs to section [networkcache]"},
		"unknown key":          {func(m *machine) { m.sections["slapos"]["something-of-mine-own"] = "1" }, "keys", Warning, "read by nobody: remove it"},
		"mistyped section":     {func(m *machine) { m.sections["slapfromat"] = map[string]string{} }, "keys", Warning, "did you mean [slapformat]?"},
		"section of one's own": {func(m *machine) { m.sections["notes"] = map[string]string{"x": "1"} }, "", "", ""},
		"merged sections":      {func(m *machine) { m.sections["slapos"]["partition_amount"] = "1" }, "", "", ""},
		"hyphens of the example": {func(m *machine) {
			m.sections["slapproxy"] = map[string]string{"shacache-content-directory": "/x", "database_uri": "x", "port": "1"}
		}, "", "", ""},

		"wrong value": {func(m *machine) {
			m.subject.Value = func(section, key string, _ map[string]string) error {
				if section == "slapos" && key == "root_check" {
					return errors.New("root_check must be true or false")
				}
				return nil
			}
		}, "values", Error, "section [slapos], key root_check must be true or false"},
		"wrong reference": {func(m *machine) { m.sections["notes"] = map[string]string{"x": "100%"} }, "values", Error, "write %%"},

		"no roots":     {func(m *machine) { delete(m.sections["slapos"], "software_root") }, "required", Error, "key software_root is missing in section [slapos]: usually it is /opt/slapgrid"},
		"no computer":  {func(m *machine) { delete(m.sections["slapos"], "computer_id") }, "required", Error, "key computer_id is missing"},
		"no master":    {func(m *machine) { delete(m.sections["slapos"], "master_url") }, "required", Error, "key master_url is missing"},
		"no amount":    {func(m *machine) { delete(m.sections["slapformat"], "partition_amount") }, "required", Error, "key partition_amount is missing in section [slapformat]"},
		"no slapos":    {func(m *machine) { m.sections = map[string]map[string]string{"notes": {}} }, "required", Error, "there is no section [slapos]"},
		"master alone": {func(m *machine) { m.sections["slapproxy"] = map[string]string{"port": "1"} }, "required", Error, "key database_uri is missing in section [slapproxy]"},

		"missing file":      {func(m *machine) { m.sections["slapos"]["master_ca_file"] = m.path("ca") }, "files", Error, "ca doesn't exist: make it, or name another one"},
		"directory as file": {func(m *machine) { m.sections["slapos"]["master_ca_file"] = m.directory }, "files", Error, "is a directory: name the file"},
		"open token": {func(m *machine) {
			m.sections["slapos"]["master_token_file"] = testkit.WriteFile(m.T, m.path("token"), "x")
		}, "files", Warning, "can be read by others (mode 0644): chmod 600"},
		"configuration of everybody": {func(m *machine) {
			m.secret(m.path("slapos.cfg"), "")
			if err := os.Chmod(m.path("slapos.cfg"), 0o666); err != nil {
				m.Fatal(err)
			}
		}, "files", Error, "slapos.cfg can be changed by everybody: chmod o-w"},

		"missing root":   {func(m *machine) { m.sections["slapos"]["software_root"] = m.path("none") }, "directories", Error, "none doesn't exist: slapos node format --now makes it"},
		"relative root":  {func(m *machine) { m.sections["slapos"]["software_root"] = "opt" }, "directories", Error, "software_root opt isn't an absolute path"},
		"file as root":   {func(m *machine) { m.sections["slapos"]["software_root"] = testkit.WriteFile(m.T, m.path("f"), "") }, "directories", Error, "is not a directory"},
		"missing shared": {func(m *machine) { m.sections["slapos"]["shared_part_list"] = m.path("none") }, "directories", Error, "mkdir -p"},
		"root of everybody": {func(m *machine) {
			if err := os.Chmod(m.path("opt"), 0o777); err != nil {
				m.Fatal(err)
			}
		}, "directories", Error, "opt can be changed by everybody"},

		"no partition": {func(m *machine) { m.sections["slapformat"]["partition_base_name"] = "part" }, "partitions", Error, "there is no partition in"},
		"open partition": {func(m *machine) {
			if err := os.Chmod(m.path("srv/slappart0"), 0o755); err != nil {
				m.Fatal(err)
			}
		}, "partitions", Warning, "slappart0 is open to all users (mode 0755)"},
		"file as partition": {func(m *machine) { testkit.WriteFile(m.T, m.path("srv/slappart1"), "") }, "partitions", Error, "slappart1 is not a directory"},

		"ended certificate": {func(m *machine) {
			m.sections["slapos"]["cert_file"], m.sections["slapos"]["key_file"] = m.certificate("computer", now.Add(-year), now.Add(-time.Hour))
		}, "certificates", Error, "computer.crt ended on 2026-12-01 11:00:00 UTC: get another one"},
		"ending certificate": {func(m *machine) {
			m.sections["slapos"]["cert_file"], m.sections["slapos"]["key_file"] = m.certificate("node", now.Add(-year), now.Add(13*24*time.Hour))
		}, "certificates", Warning, "node.crt ends on 2026-12-14 12:00:00 UTC: slapos node renew --now"},
		"coming certificate": {func(m *machine) {
			m.sections["slapos"]["cert_file"], m.sections["slapos"]["key_file"] = m.certificate("computer", now.Add(time.Hour), now.Add(year))
		}, "certificates", Error, "begins on 2026-12-01 13:00:00 UTC: set the clock right"},
		"good certificate": {func(m *machine) {
			m.sections["slapos"]["cert_file"], m.sections["slapos"]["key_file"] = m.certificate("computer", now.Add(-year), now.Add(year))
		}, "", "", ""},
		"another's key": {func(m *machine) {
			m.sections["slapos"]["cert_file"], _ = m.certificate("computer", now.Add(-year), now.Add(year))
			_, m.sections["slapos"]["key_file"] = m.certificate("other", now.Add(-year), now.Add(year))
		}, "certificates", Error, "don't belong together: private key does not match public key"},
		"no key":         {func(m *machine) { m.sections["slapos"]["cert_file"], _ = m.certificate("computer", now, now.Add(year)) }, "certificates", Error, "section [slapos] has cert_file and no key_file"},
		"no certificate": {func(m *machine) { m.sections["slapos"]["master_ca_file"] = testkit.WriteFile(m.T, m.path("ca"), "x") }, "certificates", Error, "ca has no certificate in PEM form"},
		"ended authority": {func(m *machine) {
			m.sections["slapos"]["master_ca_file"], _ = m.certificate("ca", now.Add(-year), now.Add(-time.Hour))
		}, "certificates", Error, "get the authority's new certificate"},

		"no answer": {func(m *machine) { m.sections["slapos"]["master_url"] = "http://127.0.0.1:1" }, "master", Error, "http://127.0.0.1:1/ can't be reached: dial tcp 127.0.0.1:1: connect: connection refused: look at master_url"},
		"no scheme": {func(m *machine) { m.sections["slapos"]["master_url"] = "127.0.0.1:1" }, "master", Error, "master_url of the test: master URL \"127.0.0.1:1\": it must begin with http:// or https://"},
		"no TLS": {func(m *machine) {
			m.sections["slapos"]["master_url"] = strings.Replace(m.sections["slapos"]["master_url"], "http:", "https:", 1)
		}, "master", Error, "it speaks no TLS: begin master_url with http://"},
		"unknown computer": {func(m *machine) {
			m.master = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/getRunId" {
					http.NotFound(w, r)
				}
			}
		}, "master", Error, "doesn't know the computer COMP-1: slapos node format --now"},
		"unknown to a local master": {func(m *machine) {
			m.master = func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/getRunId" {
					http.Error(w, "Internal Server Error", http.StatusInternalServerError)
				}
			}
		}, "master", Error, "doesn't know the computer COMP-1"},
		"refused": {func(m *machine) {
			m.master = func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) }
		}, "master", Error, "refuses this machine as COMP-1 (status 403)"},
		"web site": {func(m *machine) {
			m.master = func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>Welcome") }
		}, "master", Error, "doesn't tell what is to be on COMP-1"},

		"clock ahead":  {func(m *machine) { m.master = dated(m.master, -time.Hour) }, "clock", Error, "1h0m0s ahead of that of the master: timedatectl set-ntp true"},
		"clock behind": {func(m *machine) { m.master = dated(m.master, 11*time.Second) }, "clock", Warning, "11s behind that of the master"},
		"clock right":  {func(m *machine) { m.master = dated(m.master, 9*time.Second) }, "", "", ""},

		"no python": {func(m *machine) {
			m.subject.Python = func(context.Context) error { return errors.New("no Python (x: y): install it") }
		}, "python", Error, "no Python (x: y): install it"},
		"no programs": {func(m *machine) { m.subject.Missing = func() []string { return []string{"useradd"} } }, "programs", Error, "useradd"},
		"no space":    {func(m *machine) { m.sections["slapos"]["software_min_free_space"] = "1000000G" }, "space", Error, "Not enough space for"},
		"no IPv6": {func(m *machine) {
			m.subject.HasGlobalIPv6 = func(_ context.Context, name string) (bool, error) { return name != "eth0", nil }
		}, "ipv6", Error, "interface eth0 has no global IPv6 address"},
		"no interface": {func(m *machine) {
			m.subject.HasGlobalIPv6 = func(context.Context, string) (bool, error) {
				return false, errors.New("there is no network interface eth0")
			}
		}, "ipv6", Error, "there is no network interface eth0: name another one"},
		"IPv6 of its own": {func(m *machine) {
			m.sections["slapformat"]["ipv6_local_network"] = "fd00::/48"
			m.subject.HasGlobalIPv6 = func(context.Context, string) (bool, error) { return false, nil }
		}, "", "", ""},
		"no control groups": {func(m *machine) {
			m.sections["slapformat"]["memory_max"] = "1G"
			m.subject.CGroups = func() error { return errors.New("there are none") }
		}, "cgroups", Warning, "memory_max limits nothing: there are none"},
		"none wanted": {func(m *machine) { m.subject.CGroups = func() error { return errors.New("there are none") } }, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			c.spoil(m)
			report := m.run()
			if c.want == "" {
				if len(report.Findings) > 0 {
					t.Errorf("found %+v", report.Findings)
				}
				return
			}
			found := false
			for _, f := range report.Findings {
				if strings.ContainsAny(f.Text+f.Remedy, "\n") || f.Remedy == "" {
					t.Errorf("not a line with a way out: %+v", f)
				}
				found = found || f.Check == c.check && f.Severity == c.severity && strings.Contains(f.Text+": "+f.Remedy, c.want)
			}
			if !found || report.Failed() != (c.severity == Error) {
				t.Errorf("found %+v", report.Findings)
			}
		})
	}
}

// dated has a master tell another time.
func dated(answer http.HandlerFunc, off time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", now.Add(off).Format(http.TimeFormat))
		answer(w, r)
	}
}

// The kinds of masters are told apart.
func TestMasterKinds(t *testing.T) {
	t.Parallel()
	for want, answer := range map[slap.MasterKind]http.HandlerFunc{
		slap.KindOurs: answerAs("1", true), slap.KindProxy: answerAs("1", false), slap.KindOther: answerAs("", false),
	} {
		m := newMachine(t)
		m.master = answer
		if report := m.run(); report.Master == nil || report.Master.Kind != want || len(report.Findings) > 0 {
			t.Errorf("%s: %+v, %+v", want, report.Master, report.Findings)
		}
	}
}

// Partitions and releases of root are refused by the passes.
func TestOwners(t *testing.T) {
	testkit.Root(t)
	m := newMachine(t)
	delete(m.sections["slapos"], "root_check")
	delete(m.sections["slapformat"], "alter_user")
	var found []string
	for _, f := range m.run().Findings {
		found = append(found, f.Text)
	}
	if text := strings.Join(found, "\n"); len(found) != 2 || !strings.Contains(text, "opt belongs to root") || !strings.Contains(text, "slappart0 belongs to root") {
		t.Errorf("found %q", found)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// likeSlapos writes certificates and locks with slapos.core, at the time that is given.
const likeSlapos = `
import logging, time, types
from slapos.grid import SlapObject
logger = logging.getLogger("test")
logger.disabled = True
for line in sys.stdin:
  c = json.loads(line)
  class Partition(SlapObject.Partition):
    def _set_ownership(self, path): pass
    def getUserGroupId(self): return os.getuid(), os.getgid()
  master = types.SimpleNamespace(getCertificate=lambda: {"certificate": c["Certificate"], "key": c["Key"]})
  certificates = os.path.join(c["Root"], "certificates")
  p = Partition("/none", c["Root"], "", "", "", "", master, "COMP", "slappart0", "", "", None, logger,
    certificate_repository_path=certificates, **({} if c["Delay"] is None else {"retention_delay": c["Delay"]}))
  SlapObject.time = types.SimpleNamespace(time=lambda: c["Now"])
  p.createRetentionLockDelay()
  p.createRetentionLockDate()
  p._updateCertificate()
  out = {"over": b"%d" % p.checkRetentionIsAuthorized()}
  for folder in c["Root"], certificates:
    for name in os.listdir(folder):
      path = os.path.join(folder, name)
      if os.path.isfile(path):
        out[os.path.relpath(path, c["Root"])] = content(path)
        os.unlink(path)
  answer(out)
`

// The locks of a partition that shall be kept, and its certificate, have slapos.core's
// bytes and modes (GRID-51, GRID-84).
func TestFilesLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	type settings struct {
		Root, Certificate, Key string
		Delay                  any
		Now                    float64
	}
	cases := make([]settings, random.Cases(200, 5000))
	text := func() string {
		return random.Text("-----BEGIN CERTIFICATE-----\n", "MIIB+/=", "\n", "é", " ", "-----END CERTIFICATE-----\n")
	}
	for i := range cases {
		cases[i] = settings{
			Root: t.TempDir(), Certificate: text(), Key: text(), Now: float64(random.IntN(1<<33)) + float64(random.IntN(4))/4,
			Delay: []any{
				nil, random.IntN(1000), random.IntN(10) - 5, random.Float64() * 100, "7", " 2.5 ", "1e3", "1_0", "1e-7", "0.1", "1e22", "0e0",
				"\u00a02\u2003", "-0", "+4", ".5", "5.", random.Float64() * 1e-5, "123456789012345678",
			}[random.IntN(19)],
		}
		if err := os.Mkdir(filepath.Join(cases[i].Root, "certificates"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	files := testkit.Original(t, likeSlapos, cases, func(c settings, theirs map[string][]byte) {
		root, err := confined.Open(c.Root)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		r := newRetention(t, root)
		if err := r.lock(retentionDelay(slap.Dict{"retention_delay": c.Delay}, log), -1, -1); err != nil {
			t.Fatal(err)
		}
		over, err := r.over(time.UnixMilli(int64(c.Now * 1000)))
		if err != nil {
			t.Fatal(err)
		}
		if over != (string(theirs["over"]) == "1") {
			t.Errorf("%+v: over %v", c, over)
		}
		delete(theirs, "over")
		p := &Partition{Root: root, Log: log}
		p.KeyFile, p.CertificateFile = CertificateFiles(root.Join("certificates"), "slappart0")
		for path, content := range map[string]string{p.CertificateFile: c.Certificate, p.KeyFile: c.Key} {
			if err := p.writeSecret("certificate", path, content); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range theirs {
			if got := testkit.Content(t, root.Join(name)); got != string(want) {
				t.Errorf("%s of %+v\nslapos.core %q\nwe          %q", name, c, want, got)
			}
		}
		if names := append(testkit.Names(t, c.Root), testkit.Names(t, root.Join("certificates"))...); len(names) != len(theirs)+1 {
			t.Errorf("%+v: files %q, and %d of slapos.core", c, names, len(theirs))
		}
	})
	t.Logf("%d files of %d partitions", files-len(cases), len(cases))
}

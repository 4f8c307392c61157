// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// raw opens a file without our help.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, script string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), script); err != nil {
		t.Fatal(err)
	}
}

// query returns the rows of an answer, each as text.
func query(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var answer []string
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		answer = append(answer, strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
	}
	return answer
}

// legacy is a small database of an older version: a root, its child and
// grandchild, and a free partition.
func legacy(version int) string {
	computer, here := "", ""
	if version >= 11 {
		computer, here = "computer_reference VARCHAR(255) DEFAULT 'old',", "'c',"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	if version >= 12 {
		line("CREATE TABLE software%d (url VARCHAR(255), %s requested_state VARCHAR(255) DEFAULT 'available')", version, computer)
		line("INSERT INTO software%d VALUES ('/srv/sr.cfg', %s 'destroyed')", version, here)
	} else {
		line("CREATE TABLE software%d (%s url VARCHAR(255))", version, computer)
		line("INSERT INTO software%d VALUES (%s '/srv/sr.cfg')", version, here)
	}
	if version >= 11 {
		line("CREATE TABLE computer%d (reference VARCHAR(255), address VARCHAR(255), netmask VARCHAR(255))", version)
		line("INSERT INTO computer%d VALUES ('c', '10.0.0.1', 'n')", version)
		line("CREATE TABLE forwarded_partition_request%d (partition_reference VARCHAR(255), master_url VARCHAR(255))", version)
		line("INSERT INTO forwarded_partition_request%[1]d VALUES ('f', 'http://m'), ('f', 'http://m')", version)
	} else {
		line("CREATE TABLE computer%d (address VARCHAR(255), netmask VARCHAR(255))", version)
		line("INSERT INTO computer%d VALUES ('10.0.0.1', 'n')", version)
	}
	timestamp, now := "", ""
	if version >= 14 {
		timestamp, now = ", timestamp REAL", ", 5.5"
	}
	line(`CREATE TABLE partition%d (reference VARCHAR(255), %s slap_state VARCHAR(255) DEFAULT 'free', software_release VARCHAR(255),
		xml TEXT, partition_reference VARCHAR(255), requested_by VARCHAR(255), requested_state VARCHAR(255) %s)`, version, computer, timestamp)
	requested := func(partition, root string) string {
		if version >= 17 {
			return "'" + root + "'"
		}
		if partition == "" {
			return "NULL"
		}
		return "'" + partition + "'"
	}
	line("INSERT INTO partition%d VALUES ('p0', %s 'busy', 'sr', '<instance/>', 'root', %s, 'started'%s)", version, here, requested("", ""), now)
	line("INSERT INTO partition%d VALUES ('p1', %s 'busy', 'sr', '<instance/>', 'child', %s, 'started'%s)", version, here, requested("p0", "root"), now)
	line("INSERT INTO partition%d VALUES ('p2', %s 'busy', 'sr', '<instance/>', 'grandchild', %s, 'started'%s)", version, here, requested("p1", "root"), now)
	line("INSERT INTO partition%d VALUES ('p3', %s 'free', NULL, NULL, NULL, %s, 'started'%s)", version, here, requested("", ""), now)
	line("CREATE TABLE slave%d (reference VARCHAR(255), %s connection_xml TEXT, hosted_by VARCHAR(255), asked_by VARCHAR(255))", version, computer)
	line("INSERT INTO slave%d VALUES ('_s', %s NULL, 'p0', 'p1')", version, here)
	line("CREATE TABLE partition_network%d (partition_reference VARCHAR(255), %s reference VARCHAR(255), address VARCHAR(255), netmask VARCHAR(255))", version, computer)
	line("INSERT INTO partition_network%d VALUES ('p0', %s 'tap0', '10.0.0.2', 'n')", version, here)
	switch {
	case version >= 17:
		line("CREATE TABLE config%d (name TEXT PRIMARY KEY, value TEXT)", version)
		line("INSERT INTO config%d VALUES ('local_software_release_root', '/')", version)
	case version >= 15:
		line("CREATE TABLE local_software_release_root%d (path VARCHAR(255))", version)
		line("INSERT INTO local_software_release_root%[1]d VALUES ('/'), ('/')", version)
	}
	return b.String()
}

// TestMigrate goes through PROXY-22 to PROXY-24.
func TestMigrate(t *testing.T) {
	for version := 10; version <= 17; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			path := file(t)
			db := raw(t, path)
			run(t, db, legacy(version))
			before := query(t, db, "SELECT name FROM sqlite_master ORDER BY name")
			var log strings.Builder
			s := open(t, store.Options{URI: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			s.Close()
			check := func(text string, want ...string) {
				t.Helper()
				if got := query(t, db, text); strings.Join(got, "|") != strings.Join(want, "|") {
					t.Errorf("%s: got %q, want %q", text, got, want)
				}
			}
			state := "available"
			if version >= 12 {
				state = "destroyed"
			}
			check("SELECT * FROM software18", "/srv/sr.cfg c "+state)
			check("SELECT * FROM computer18", "c 10.0.0.1 n")
			timestamp := "5.5"
			if version < 14 {
				timestamp = "<nil>"
			}
			check("SELECT reference, computer_reference, partition_reference, requested_by, requester_id, timestamp FROM partition18",
				"p0 c root   "+timestamp, "p1 c child root  "+timestamp, "p2 c grandchild root  "+timestamp, "p3 c <nil>   "+timestamp)
			check("SELECT * FROM slave18", "_s c <nil> p0 ")
			check("SELECT * FROM partition_network18", "p0 c tap0 10.0.0.2 n")
			if version >= 11 {
				check("SELECT * FROM forwarded_partition_request18", "f http://m")
			}
			if version >= 15 {
				check("SELECT * FROM config18", "local_software_release_root /")
			}
			check(fmt.Sprintf("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%%18' AND name NOT LIKE 'sqlite%%'"), "0")
			checkBackup(t, path, version, before)
			for _, text := range []string{"Old schema detected: Creating a backup of current tables at " + path, "Old schema detected: Migrating old tables..."} {
				if !strings.Contains(log.String(), text) {
					t.Errorf("the log lacks %q:\n%s", text, &log)
				}
			}
		})
	}
}

// originalScript has the original open files, with its master and with its command that
// shows them, and supply a release to each.
const originalScript = `
import logging, sys, types
sys.modules['slapos.libnetworkcache'] = types.SimpleNamespace(NetworkcacheClient=None)
from slapos.cli.proxy_show import do_show
from slapos.proxy import ProxyConfig, setupFlaskConfiguration
from slapos.proxy import views
app = views.app
shown = logging.getLogger('slapos.cli.proxy_show')
shown.setLevel(logging.INFO)
for path in sys.argv[2:]:
  configuration = ProxyConfig(logging.getLogger())
  configuration.computer_id = 'c'
  configuration.database_uri = path
  setupFlaskConfiguration(configuration)
  views.is_schema_already_executed = False # it looks at the first file alone
  app.test_client().get('/getRunId')
  if sys.argv[1] != 'migrate':
    supplied = app.test_client().post('/supplySupply', data={'url': '/srv/new.cfg', 'computer_id': 'c', 'state': 'available'})
    print('supplied', supplied.status_code)
    for part in ('computers', 'software', 'partitions', 'slaves', 'params', 'network'):
      setattr(configuration, part, True)
    do_show(configuration)
    shown.handlers.clear() # or the next file is shown twice
`

// TestMigrateAsOriginal brings a new database and older ones up to date with the
// original and with us: the same tables hold the same rows (PROXY-20, PROXY-22
// to PROXY-24). So they do when a node has reported to us and the original goes on
// with the file, and then we again (PROXY-190).
func TestMigrateAsOriginal(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	versions := []int{0, 10, 11, 12, 13, 14, 15, 16, 17, 18}
	path := func(whose string, version int) string {
		return filepath.Join(folder, fmt.Sprint(whose, version, ".db"))
	}
	original := func(what string, whose ...string) string {
		t.Helper()
		words := []string{"-c", originalScript, what}
		for _, who := range whose {
			for _, version := range versions {
				words = append(words, path(who, version))
			}
		}
		output, err := exec.CommandContext(t.Context(), testkit.Python(t), words...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		return string(output)
	}
	same := func(when string) {
		t.Helper()
		for _, version := range versions {
			want, got := raw(t, path("theirs", version)), raw(t, path("ours", version))
			for _, table := range []string{"config18", "software18", "computer18", "partition18", "slave18", "partition_network18", "forwarded_partition_request18"} {
				columns := "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('" + table + "')"
				for _, text := range []string{"SELECT * FROM " + table, columns} {
					if got, want := query(t, got, text), query(t, want, text); !slices.Equal(got, want) || text == columns && len(want) == 0 {
						t.Errorf("%s, version %d, %s: we have %q, the original has %q", when, version, text, got, want)
					}
				}
			}
		}
	}
	for _, version := range versions {
		if version == 0 || version == 18 {
			continue // it is empty, or made by the original
		}
		for _, whose := range []string{"theirs", "ours"} {
			run(t, raw(t, path(whose, version)), legacy(version))
		}
	}
	original("migrate", "theirs")
	made, err := os.ReadFile(path("theirs", 17))
	for _, whose := range []string{"theirs", "ours"} {
		if err == nil {
			err = os.WriteFile(path(whose, 18), made, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{T: t, ctx: t.Context()}
	for _, version := range versions {
		l.Store = open(t, store.Options{URI: path("ours", version)})
		if version > 0 {
			l.Polled("c")
			l.report("p0", store.ReportStarted)
			l.report("p1", store.ReportError, "OSError: disk")
			l.must(l.Promises(l.ctx, store.PromiseReport{PartitionID: id("p0"), Failing: []store.FailingPromise{{Name: "up", Message: "down"}}}))
		}
		l.must(l.Close())
	}
	same("with reports")
	shown := original("go on", "theirs", "ours")
	for text, want := range map[string]int{"supplied 200": 2 * len(versions), "grandchild": 2 * (len(versions) - 1), "p0: 10.0.0.2": 2 * (len(versions) - 1)} {
		if got := strings.Count(shown, text); got != want {
			t.Errorf("the original says %q %d times, want %d:\n%s", text, got, want, shown)
		}
	}
	same("after the original")
	for _, version := range versions[1:] {
		l.Store = open(t, store.Options{URI: path("ours", version)})
		l.equal("node", l.conditions().Node("c").Condition, slap.ConditionUp)
		l.equal("failing", l.actual("p0").Message, "up: down")
		l.equal("failed", l.actual("p1").Message, "OSError: disk")
		l.report("/srv/new.cfg", store.ReportBuilding)
		l.equal("events", l.happened(store.EventFilter{Event: store.EventReported}), []string{"reported started", "reported error OSError: disk", "reported building"})
		l.must(l.Close())
	}
}

// checkBackup makes the former database again from its backup (PROXY-23,
// PROXY-171).
func checkBackup(t *testing.T, path string, version int, tables []string) {
	t.Helper()
	found, _ := filepath.Glob(path + "-backup-*.sql")
	pattern := fmt.Sprintf(`-backup-%dto18-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\.sql$`, version)
	if len(found) != 1 || !regexp.MustCompile(pattern).MatchString(found[0]) {
		t.Fatalf("backups: %q", found)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "BEGIN TRANSACTION;\n") {
		t.Errorf("the backup begins with %.40q", text)
	}
	copied := raw(t, filepath.Join(t.TempDir(), "copy.db"))
	run(t, copied, string(text))
	if got := query(t, copied, "SELECT name FROM sqlite_master ORDER BY name"); strings.Join(got, " ") != strings.Join(tables, " ") {
		t.Errorf("the backup makes %q, not %q", got, tables)
	}
	if got := query(t, copied, fmt.Sprintf("SELECT count(*) FROM partition%d", version)); got[0] != "4" {
		t.Errorf("the backup has %s partitions", got[0])
	}
}

// TestMigrateFails leaves the old tables as they were (PROXY-23).
func TestMigrateFails(t *testing.T) {
	path := file(t)
	db := raw(t, path)
	run(t, db, legacy(16)+"CREATE TABLE surprise16 (a); INSERT INTO surprise16 VALUES (1);")
	if _, err := store.Open(t.Context(), store.Options{URI: path, Computer: "c"}); err == nil {
		t.Fatal("a table that isn't known was migrated")
	}
	if got := query(t, db, "SELECT count(*) FROM partition16"); got[0] != "4" {
		t.Errorf("%s partitions are left", got[0])
	}
	if got := query(t, db, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%18'"); got[0] != "0" {
		t.Errorf("%s new tables are left", got[0])
	}
}

// TestRebase goes through PROXY-145 and PROXY-146.
func TestRebase(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	for _, name := range []string{"old/stays.cfg", "old/moved.cfg", "new/moved.cfg"} {
		if err := os.MkdirAll(filepath.Dir(path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	uri := path("proxy.db")
	supplied := []string{path("old/stays.cfg"), path("old/moved.cfg"), path("old/neither.cfg"), "/other/s.cfg", "http://x/old/s.cfg"}
	s := open(t, store.Options{URI: uri, SoftwareRoot: path("old")})
	if err := s.LoadComputer(t.Context(), description("c", 1)); err != nil {
		t.Fatal(err)
	}
	for _, url := range supplied {
		if err := s.Supply(t.Context(), store.Software{URL: url, Computer: "c", State: "available"}); err != nil {
			t.Fatal(err)
		}
	}
	o := order("i")
	o.SoftwareRelease = path("old/moved.cfg")
	if _, err := s.Request(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s.Close()

	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logs := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(log.String(), `msg="`+text) {
				t.Errorf("the log lacks %q:\n%s", text, &log)
			}
		}
		log.Reset()
	}
	s = open(t, store.Options{URI: uri, SoftwareRoot: path("new"), Logger: logger})
	logs("Backuping database to "+uri+"-backup-", "Rebase URLs on local software release root path", "Old root path: "+path("old"), "New root path: "+path("new"))
	list, err := s.Software(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{path("old/stays.cfg"), path("new/moved.cfg"), path("new/neither.cfg"), "/other/s.cfg", "http://x/old/s.cfg"}
	for i, software := range list {
		if software.URL != want[i] {
			t.Errorf("%s became %s, want %s", supplied[i], software.URL, want[i])
		}
	}
	p, err := s.Instance(t.Context(), in("slappart0"))
	if err != nil || p.Partition.SoftwareRelease != path("new/moved.cfg") {
		t.Errorf("partition: %v, %v", p, err)
	}
	s.Close()
	// Neither below nor above is anything moved.
	former := path("new")
	for _, c := range []struct{ root, says string }{
		{path("new/below"), "Do not rebase any URLs because %s is a subpath of %s"}, {path("new"), "Do not rebase any URLs because %s is a superpath of %s"},
		{path("new"), ""}, {"/", "Do not rebase any URLs because %s is a superpath of %s"},
	} {
		s := open(t, store.Options{URI: uri, SoftwareRoot: c.root, Logger: logger})
		switch {
		case c.says != "":
			logs(fmt.Sprintf(c.says, c.root, former))
		case log.Len() != 0:
			t.Errorf("the same root: %s", &log)
		}
		former = c.root
		if again, err := s.Software(t.Context(), "c"); err != nil || !slices.Equal(again, list) {
			t.Errorf("%s: %v, %v", c.root, again, err)
		}
		s.Close()
		if got := query(t, raw(t, uri), "SELECT * FROM config18"); !slices.Equal(got, []string{"local_software_release_root " + c.root}) {
			t.Errorf("%s is kept as %q", c.root, got)
		}
	}
	backups, _ := filepath.Glob(uri + "-backup-*.sql")
	if len(backups) != 1 {
		t.Errorf("backups: %q", backups)
	}
}

// TestForeignWrites notices what other programs write into the file.
func TestForeignWrites(t *testing.T) {
	l := newLab(t, file, 1)
	version := func() int64 {
		v, err := l.NodeVersion(l.ctx, "c")
		l.must(err)
		return v
	}
	db := raw(t, l.uri)
	before := version()
	if version() != before {
		t.Error("the version changes by itself")
	}
	run(t, db, "UPDATE partition18 SET requested_state = 'stopped'")
	if version() == before {
		t.Error("another program's write is not noticed")
	}
	before = version()
	run(t, db, "UPDATE partition18 SET requested_state = 'started'")
	l.must(l.AddUsage(l.ctx, "c", "x"))
	if version() == before {
		t.Error("another program's write before our own is not noticed")
	}
}

func TestOpenErrors(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := filepath.Join(folder, "damaged.db")
	open(t, store.Options{URI: damaged}).Close()
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(content); i++ {
		content[i] ^= 0x55
	}
	write("damaged.db", string(content))
	// PROXY-22: versions that don't agree.
	mixed := filepath.Join(folder, "mixed.db")
	run(t, raw(t, mixed), "CREATE TABLE a17 (x); CREATE TABLE b18 (x);")
	other := filepath.Join(folder, "other.db")
	run(t, raw(t, other), "CREATE TABLE people (x);")
	for path, want := range map[string]string{
		filepath.Join(folder, "missing/proxy.db"):             "can't be opened: its directory must exist",
		write("text.db", strings.Repeat("not SQLite ", 1000)): "is damaged or no SQLite database",
		damaged: "is damaged",
		mixed:   "is not the database of a slapos proxy",
		other:   "is not the database of a slapos proxy",
		folder:  "is a directory",
		"postgres://nobody@127.0.0.1:1/x?connect_timeout=2": "postgres://nobody@127.0.0.1:1/x",
	} {
		_, err := store.Open(t.Context(), store.Options{URI: path, Computer: "c"})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(strings.TrimSpace(err.Error()), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
	text := write("text.txt", "not SQLite\n")
	if err := os.Chmod(text, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Options{URI: text, Computer: "c"})
	if info, statErr := os.Stat(text); err == nil || statErr != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("a file that is no database: %v, %v, %v", err, info.Mode(), statErr)
	}
	_, err = store.Open(t.Context(), store.Options{URI: filepath.Join(folder, "new.db"), Computer: "c", SoftwareRoot: "relative"})
	if err == nil || !strings.HasSuffix(err.Error(), `local_software_release_root: "relative" is not an absolute path`) {
		t.Error(err)
	}
	for path, want := range map[string]string{
		folder:                           ": is a directory",
		filepath.Join(folder, "missing"): ": no such file or directory",
		other:                            "is not the database of a slapos proxy: name another",
		text:                             "is damaged or no SQLite database",
	} {
		reader, err := store.OpenReader(t.Context(), path)
		if err == nil {
			_, err = reader.Table(t.Context(), "computer18", "")
			reader.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(other + suffix); err == nil {
			t.Errorf("%s is left beside a database that was refused", other+suffix)
		}
	}
}

// TestReader looks at a database that is in use.
func TestReader(t *testing.T) {
	l := newLab(t, file, 2)
	l.request(order("i", with(slap.Dict{"a": "b"})))
	r, err := store.OpenReader(l.ctx, l.uri)
	l.must(err)
	defer r.Close()
	table, err := r.Table(l.ctx, "partition18", "slap_state <> 'free'")
	l.must(err)
	l.equal("rows", len(table.Rows), 1)
	l.equal("title", table.Text(table.Rows[0], "partition_reference"), "i")
	l.equal("none", table.Text(table.Rows[0], "connection_xml"), "None")
	if _, err := r.Table(l.ctx, "computer19", ""); err == nil || !strings.Contains(err.Error(), "no such table: computer19") {
		t.Errorf("another version: %v", err)
	}
	if _, err := store.OpenReader(l.ctx, filepath.Join(t.TempDir(), "x.db")); err == nil {
		t.Error("a missing database is shown")
	}
}

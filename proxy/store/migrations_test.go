// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"slapos/proxy/store"
	"slapos/slap/testkit"
)

// migrateVariable makes the test's program one that migrates the database that
// it names by twoSteps.
const migrateVariable = "SLAPOS_TEST_MIGRATE"

func migrateOnce(uri string) error {
	o := store.Options{URI: uri, Computer: "c"}
	store.Further(&o, twoSteps...)
	s, err := store.Open(context.Background(), o)
	if err != nil {
		return err
	}
	return s.Close()
}

// twoSteps can't be run twice. The second one needs a table after it has
// changed another.
var twoSteps = []string{
	"ALTER TABLE partition18 ADD COLUMN test_note TEXT DEFAULT 'none'",
	"ALTER TABLE partition18 ADD COLUMN test_colour TEXT; UPDATE partition18 SET test_colour = test_note; ALTER TABLE slave18 ADD COLUMN test_colour TEXT",
}

// rawServer opens a server's database without our help.
func rawServer(t *testing.T, uri string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// unversioned is a server's database as it was before versions were noted.
func unversioned(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/unversioned_postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	uri := postgresURI(t)
	run(t, rawServer(t, uri), string(text))
	return uri
}

// TestMigrateServer brings a server's database from before versions were noted
// up to date: all rows stay, and the master goes on (PROXY-25).
func TestMigrateServer(t *testing.T) {
	t.Parallel()
	uri := unversioned(t)
	db := rawServer(t, uri)
	partitions := "SELECT reference, computer_reference, slap_state, software_release, xml, connection_xml, slave_instance_list, software_type, " +
		"partition_reference, requested_by, requester_id, requested_state, timestamp FROM partition18 ORDER BY rowid"
	before := query(t, db, partitions)
	l := &lab{T: t, ctx: t.Context(), uri: uri}
	l.Store = open(t, store.Options{URI: uri})
	l.equal("partitions", query(t, db, partitions), before)
	l.equal("version", query(t, db, "SELECT * FROM schema18"), []string{fmt.Sprint("proxy ", store.Further(&store.Options{URI: uri}))})
	child, err := l.Instance(l.ctx, store.Name{Title: "child", Root: "root"})
	l.must(err)
	l.equal("child", []string{child.State, child.Connection["url"].(string), child.Partition.Addresses[0].IP}, []string{"stopped", "u", "10.0.0.2"})
	l.equal("next", l.request(order("next")).Partition.ID.Partition, "slappart2")
	reports, err := l.Usage(l.ctx, "c", 5)
	l.must(err)
	l.equal("usage", len(reports), 1)

	// The tables are those of a new database.
	shape := func(db *sql.DB) []string {
		return append(query(t, db, `SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns
			WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`),
			query(t, db, "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1")...)
	}
	empty := newLab(t, postgresURI, 0)
	if got, want := shape(db), shape(rawServer(t, empty.uri)); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestMigrateTogether starts several proxies at once: each migration runs once,
// in order, on new databases and on old ones.
func TestMigrateTogether(t *testing.T) {
	t.Parallel()
	versioned := func(t *testing.T) string {
		uri := unversioned(t)
		open(t, store.Options{URI: uri}).Close()
		return uri
	}
	for what, at := range map[string]place{"empty": postgresURI, "unversioned": unversioned, "version 1": versioned} {
		for _, proxies := range []int{2, 4} {
			t.Run(fmt.Sprint(what, proxies), func(t *testing.T) {
				uri := at(t)
				db := rawServer(t, uri)
				letGo := func() {}
				if what == "version 1" { // all of them come to the same migration
					letGo = hold(t, db, "partition18", proxies)
				}
				var last int64
				var group sync.WaitGroup
				for range proxies {
					o := store.Options{URI: uri, Computer: "c"}
					last = store.Further(&o, twoSteps...)
					group.Add(1)
					go func() {
						defer group.Done()
						s, err := store.Open(t.Context(), o)
						if err != nil {
							t.Error(err)
							return
						}
						if err := s.Supply(t.Context(), store.Software{URL: "u", Computer: "c", State: "available"}); err != nil {
							t.Error(err)
						}
						s.Close()
					}()
				}
				letGo()
				group.Wait()
				if got := query(t, db, "SELECT version FROM schema18"); !slices.Equal(got, []string{fmt.Sprint(last)}) {
					t.Errorf("version %q, want %d", got, last)
				}
				for _, row := range query(t, db, "SELECT test_note, test_colour FROM partition18") {
					if row != "none none" {
						t.Errorf("a partition has %q", row)
					}
				}
			})
		}
	}
}

// waiting selects the connections of this database that wait for a lock.
const waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

// hold locks a table; letGo waits until that many others wait for any lock, and
// releases it.
func hold(t *testing.T, db *sql.DB, table string, others int) (letGo func()) {
	t.Helper()
	lock, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = lock.ExecContext(t.Context(), "LOCK TABLE "+table+" IN ACCESS SHARE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		testkit.Eventually(t, testkit.Patience, "others that wait", func() bool { return len(query(t, db, waiting)) == others })
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMigrationKilled kills a proxy in the middle of its second migration: the
// first one stays, nothing of the second is there, and the next proxy goes on.
func TestMigrationKilled(t *testing.T) {
	t.Parallel()
	uri := unversioned(t)
	db := rawServer(t, uri)
	letGo := hold(t, db, "slave18", 1)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), migrateVariable+"="+uri)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	const second = waiting + " AND query LIKE '%ADD COLUMN test_colour%'"
	testkit.Eventually(t, testkit.Patience, "the second migration", func() bool { return len(query(t, db, second)) == 1 })
	pid := query(t, db, second)[0]
	_ = command.Process.Kill()
	_ = command.Wait()
	letGo()
	testkit.Eventually(t, testkit.Patience, "the end of what it left", func() bool {
		return len(query(t, db, "SELECT pid FROM pg_stat_activity WHERE pid = "+pid)) == 0
	})
	columns := func() []string {
		return query(t, db, `SELECT table_name, column_name FROM information_schema.columns
			WHERE table_schema = current_schema() AND column_name IN ('test_note', 'test_colour') ORDER BY 1, 2`)
	}
	if got := columns(); !slices.Equal(got, []string{"partition18 test_note"}) {
		t.Errorf("after the kill: %q", got)
	}
	if err := migrateOnce(uri); err != nil {
		t.Fatal(err)
	}
	if got := columns(); !slices.Equal(got, []string{"partition18 test_colour", "partition18 test_note", "slave18 test_colour"}) {
		t.Errorf("after the next proxy: %q", got)
	}
}

// TestMigrationFails leaves the database as it was, and says which one failed.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	for kind, at := range map[string]place{"server": unversioned, "file": file} {
		t.Run(kind, func(t *testing.T) {
			uri := at(t)
			open(t, store.Options{URI: uri}).Close()
			before := content(t, uri)
			o := store.Options{URI: uri, Computer: "c"}
			last := store.Further(&o, "ALTER TABLE partition18 ADD COLUMN test_note TEXT; ALTER TABLE nope ADD COLUMN test_note TEXT")
			_, err := store.Open(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("migration to version %d: ", last)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			if got := content(t, uri); !reflect.DeepEqual(got, before) {
				t.Error("something is left")
			}
			open(t, store.Options{URI: uri})
		})
	}
}

// TestNewerDatabase is refused in one line, by a master and as the source of a
// copy, and stays as it is.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	for kind, at := range map[string]place{"server": postgresURI, "file": file} {
		t.Run(kind, func(t *testing.T) {
			o := store.Options{URI: at(t), Computer: "c"}
			last := store.Further(&o, "ALTER TABLE partition18 ADD COLUMN test_note TEXT")
			open(t, o).Close()
			want := fmt.Sprintf("its tables are of version %d, this slapos knows version %d: use the slapos that wrote them or a newer one, or restore a backup", last, last-1)
			_, err := store.Open(t.Context(), store.Options{URI: o.URI, Computer: "c"})
			_, copying := store.Copy(t.Context(), store.CopyOptions{From: o.URI, To: file(t)})
			for what, err := range map[string]error{"open": err, "copy": copying} {
				if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), "database ") {
					t.Errorf("%s: %v", what, err)
				}
			}
			// Who knows the version goes on.
			open(t, o)
		})
	}
}

// TestFileVersion checks that a file has no trace of versions while there are
// no migrations: it is the original's, down to its header.
func TestFileVersion(t *testing.T) {
	path := file(t)
	o := store.Options{URI: path, Computer: "c"}
	want := "0"
	if newest := store.Further(&o); newest > 1 {
		want = fmt.Sprint(newest)
	}
	open(t, store.Options{URI: path}).Close()
	if got := query(t, raw(t, path), "PRAGMA user_version"); !slices.Equal(got, []string{want}) {
		t.Errorf("user_version is %q, want %s", got, want)
	}
	last := store.Further(&o, "ALTER TABLE partition18 ADD COLUMN test_note TEXT DEFAULT 'none'")
	open(t, o).Close()
	open(t, o).Close()
	if got := query(t, raw(t, path), "PRAGMA user_version"); !slices.Equal(got, []string{fmt.Sprint(last)}) {
		t.Errorf("user_version is %q, want %d", got, last)
	}
}

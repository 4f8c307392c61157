// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"slapos/proxy/store"
	"slapos/slap"
)

// content is all that a master answers from, as the database has it.
func content(t *testing.T, uri string) map[string]*store.Table {
	t.Helper()
	reader, err := store.OpenReader(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tables, err := reader.Content(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// TestCopy copies a master from a file to a server, to a file and back to a
// server: the rows and their order stay, and it goes on there.
func TestCopy(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 1200)
	for i := range 30 {
		l.request(order(fmt.Sprintf("i%d", i), with(slap.Dict{"text": "é\n<&>\u2028", "n": int64(i)})))
	}
	l.requestShared(order("shared"))
	l.must(l.Publish(l.ctx, in("slappart3"), slap.Dict{"url": "x"}))
	l.must(l.Supply(l.ctx, store.Software{URL: release, Computer: "c", State: "available"}))
	l.must(l.Forwarded(l.ctx, "user_x", "http://other/", "started"))
	l.must(l.AddUsage(l.ctx, "c", "<journal/>"))
	if _, err := l.Related(l.ctx, id("slappart0"), []string{"child"}); err != nil {
		t.Fatal(err)
	}
	l.must(l.AddToken(l.ctx, store.Token{ID: "t", Digest: "d", Role: store.RoleNode, Uses: 1, Expires: 1e12}))
	if _, err := l.Join(l.ctx, store.Joining{ID: "t", Digest: "d", Key: "k", Serial: "s"}); err != nil {
		t.Fatal(err)
	}
	want := content(t, l.uri)

	from := l.uri
	for _, at := range []place{postgresURI, file, postgresURI} {
		to := at(t)
		var last, total int64
		counts, err := store.Copy(t.Context(), store.CopyOptions{From: from, To: to, Progress: func(done, all int64) { last, total = done, all }})
		if err != nil {
			t.Fatal(err)
		}
		l.equal("counts", fmt.Sprint(counts), "[{config18 0} {computer18 1} {software18 1} {partition18 1200} {slave18 1} "+
			"{partition_network18 2400} {forwarded_partition_request18 1} {usage18 1} {related18 1} {report18 1} {heard18 1} {promise18 0} {event18 34} {log18 0} {token18 1} {certificate18 1} {delivery18 0}]")
		l.equal("progress", []int64{last, total}, []int64{3644, 3644})
		if got := content(t, to); !reflect.DeepEqual(got, want) {
			t.Error("the copy differs")
		}
		if _, err := store.Copy(t.Context(), store.CopyOptions{From: from, To: to}); err == nil || !strings.Contains(err.Error(), "is not empty, it has ") {
			t.Errorf("again: %v", err)
		}
		from = to
	}
	last := open(t, store.Options{URI: from})
	next, err := last.Request(t.Context(), order("next"))
	if err != nil || next.Partition.ID.Partition != "slappart30" {
		t.Errorf("%+v, %v", next, err)
	}
	reports, err := last.Usage(t.Context(), "c", 5)
	if err != nil || len(reports) != 1 {
		t.Errorf("usage %v, %v", reports, err)
	}
	// The default of the schema came along: the original inserts by it.
	if err := last.LoadComputer(t.Context(), description("c", 3)); err != nil {
		t.Error(err)
	}
}

// TestCopyRefuses leaves both databases as they are when something is amiss.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, file, 2)
	l.request(order("x"))
	full := newLab(t, postgresURI, 1).uri
	folder := t.TempDir()
	old, foreign, garbage := filepath.Join(folder, "old.db"), filepath.Join(folder, "foreign.db"), filepath.Join(folder, "garbage")
	for path, statement := range map[string]string{old: "CREATE TABLE computer17 (reference TEXT)", foreign: "CREATE TABLE other (a TEXT)"} {
		db, err := sql.Open("sqlite", path)
		if err == nil {
			_, err = db.Exec(statement)
		}
		l.must(err)
		db.Close()
	}
	l.must(os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600))
	for _, c := range []struct{ from, to, want string }{
		{l.uri, full, "is not empty, it has rows in table "},
		{l.uri, l.uri, "is not empty, it has rows in table "},
		{l.uri, old, "is not empty, it has table computer17"},
		{l.uri, foreign, "is not empty, it has table other"},
		{l.uri, garbage, "is damaged or no SQLite database"},
		{old, file(t), "has no table config18: run `slapos proxy start` on it once"},
		{filepath.Join(folder, "none.db"), file(t), "no such file"},
		{l.uri, filepath.Join(folder, "none/new.db"), "its directory must exist"},
		{l.uri, "postgres://slapos@127.0.0.1:1/x", "127.0.0.1:1"},
		{"postgres://slapos:secret@127.0.0.1:1/x", file(t), "127.0.0.1:1"},
	} {
		_, err := store.Copy(t.Context(), store.CopyOptions{From: c.from, To: c.to})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
	if data, err := os.ReadFile(garbage); err != nil || !strings.HasPrefix(string(data), "no database") {
		t.Error("garbage was touched")
	}

	// Broken off half way, or with a row that the server can't hold, nothing
	// is there; and it can be tried again.
	to := postgresURI(t)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := store.Copy(ctx, store.CopyOptions{From: l.uri, To: to, Progress: func(int64, int64) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("broken off: %v", err)
	}
	db, err := sql.Open("sqlite", l.uri)
	l.must(err)
	defer db.Close()
	exec := func(statement string) {
		_, err := db.Exec(statement)
		l.must(err)
	}
	exec("UPDATE partition18 SET software_type = 'a' || char(0) WHERE reference = 'slappart1'")
	if _, err := store.Copy(t.Context(), store.CopyOptions{From: l.uri, To: to}); err == nil || !strings.Contains(err.Error(), "table partition18: ") {
		t.Errorf("a zero byte: %v", err)
	}
	exec("UPDATE partition18 SET software_type = NULL WHERE reference = 'slappart1'")
	if _, err := store.Copy(t.Context(), store.CopyOptions{From: l.uri, To: to}); err != nil {
		t.Error(err)
	}
}

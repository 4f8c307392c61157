// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Series are the values of a day by name, each with its time (COL-42).
type Series map[string][]Entry

// Entry is a value at a time "YYYY-MM-DD HH:MM:SS" UTC.
type Entry struct {
	Value float64 `json:"entry"`
	Time  string  `json:"time"`
}

// MarshalJSON writes the number as Python does.
func (e Entry) MarshalJSON() ([]byte, error) {
	moment, err := json.Marshal(e.Time)
	return fmt.Appendf(nil, `{"entry": %s, "time": %s}`, pythonFloat(e.Value), moment), err
}

// systemSeries are the columns of the table system, in order. Network bytes are
// those since the previous sample, in KiB; memory is in KiB.
func (s *store) systemSeries(ctx context.Context, date string) (Series, error) {
	const count = 10
	names := make([]string, count)
	series := Series{}
	for i, column := range systemTable.columns {
		names[i], _, _ = strings.Cut(column, " ")
		series[names[i]] = []Entry{}
	}
	var before []sql.NullFloat64
	err := s.query(ctx, func(scan func(...any) error) error {
		values := make([]sql.NullFloat64, count)
		var clock sql.NullString
		targets := []any{&clock}
		for i := range values {
			targets = append(targets, &values[i])
		}
		if err := scan(targets...); err != nil {
			return err
		}
		if before == nil { // the first of the day has no predecessor
			before = values
			return nil
		}
		for i, name := range names {
			value := values[i].Float64
			switch name {
			case "memory_used", "memory_free":
				value /= 1024
			case "net_in_bytes", "net_out_bytes":
				value = (value - before[i].Float64) / 1024
			}
			series[name] = append(series[name], Entry{Value: value, Time: date + " " + clock.String})
		}
		before = values
		return nil
	}, "SELECT time, "+strings.Join(names, ", ")+" FROM system WHERE date = ? ORDER BY reported, rowid", date)
	return series, err
}

// diskSeries has used and free KiB, named disk_memory_used_<device>.
func (s *store) diskSeries(ctx context.Context, date string) (Series, error) {
	series := Series{}
	err := s.query(ctx, func(scan func(...any) error) error {
		var device, used, free, clock sql.NullString
		if err := scan(&device, &used, &free, &clock); err != nil {
			return err
		}
		file := strings.NewReplacer("/", "_", "-", "_").Replace(device.String)
		for kind, text := range map[string]string{"used": used.String, "free": free.String} {
			bytes, err := strconv.ParseFloat(text, 64)
			if err != nil {
				continue
			}
			name := "disk_memory_" + kind + "_" + file
			series[name] = append(series[name], Entry{Value: bytes / 1024, Time: date + " " + clock.String})
		}
		return nil
	}, "SELECT partition, used, free, time FROM disk WHERE date = ? ORDER BY reported, rowid", date)
	return series, err
}

// writeDayTables writes the csv files of the current day (COL-32, COL-33).
func (c *Collector) writeDayTables(ctx context.Context, store *store, stamp stamp) error {
	for _, read := range []func(context.Context, string) (Series, error){store.systemSeries, store.diskSeries} {
		series, err := read(ctx, stamp.date)
		if err != nil {
			return err
		}
		for name, entries := range series {
			if err := replaceFile(filepath.Join(c.logDirectory(), "system_"+name+".csv"), csvOf(entries)); err != nil {
				return err
			}
		}
	}
	return nil
}

func csvOf(entries []Entry) []byte {
	var b bytes.Buffer
	b.WriteString("time,entry\r\n")
	for _, entry := range entries {
		writeCSV(&b, []any{entry.Time, entry.Value})
	}
	return b.Bytes()
}

// JSON is the variant of the csv files for other programs (COL-39): a list of
// objects with entry and time.
func (s Series) JSON(name string) ([]byte, error) {
	if len(s[name]) == 0 {
		return []byte("[]"), nil
	}
	compact, err := json.Marshal(s[name])
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, compact, "", "  ")
	return b.Bytes(), err
}

// writeCSV writes a row as Python's csv module does.
func writeCSV(b *bytes.Buffer, row []any) {
	for i, value := range row {
		if i > 0 {
			b.WriteByte(',')
		}
		switch v := value.(type) {
		case nil:
		case float64:
			b.WriteString(pythonFloat(v))
		case int64:
			b.WriteString(strconv.FormatInt(v, 10))
		case []byte:
			writeCSVText(b, string(v))
		default:
			writeCSVText(b, fmt.Sprint(v))
		}
	}
	b.WriteString("\r\n")
}

func writeCSVText(b *bytes.Buffer, text string) {
	if !strings.ContainsAny(text, ",\"\r\n") {
		b.WriteString(text)
		return
	}
	b.WriteString(`"` + strings.ReplaceAll(text, `"`, `""`) + `"`)
}

// replaceFile replaces a file as a whole, so that a reader never sees half of
// it. It doesn't sync: the next pass writes the file again.
func replaceFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

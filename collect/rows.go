// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// insert adds rows to a table, all with the same time.
func (t *transaction) insert(stamp stamp, into table, rows ...[]any) error {
	if len(rows) == 0 {
		return nil
	}
	statement, err := t.PrepareContext(t.ctx, into.insertion())
	if err != nil {
		return err
	}
	defer statement.Close()
	for _, row := range rows {
		if _, err := statement.ExecContext(t.ctx, append(row, stamp.date, stamp.time)...); err != nil {
			return fmt.Errorf("insert into %s: %w", into.name, err)
		}
	}
	return nil
}

// insertMachine is COL-23 to COL-26.
func (t *transaction) insertMachine(stamp stamp, m *machine) error {
	var sizes []string
	var disks, temperatures [][]any
	for _, d := range m.disks {
		sizes = append(sizes, fmt.Sprintf("%s=%d", d.device, d.total))
		disks = append(disks, []any{d.device, strconv.FormatUint(d.used, 10), strconv.FormatUint(d.free, 10), d.mountPoint})
	}
	for _, s := range m.temperatures {
		temperatures = append(temperatures, []any{s.sensor, s.value, s.alarm})
	}
	if err := t.insert(stamp, computerTable, []any{m.cores, 0, "0", float64(m.memory), "0", strings.Join(sizes, ";")}); err != nil {
		return err
	}
	n := m.network
	system := []any{
		m.load, m.busy, float64(m.memory - m.available), float64(m.available),
		float64(n.BytesRecv), float64(n.Errin), float64(n.Dropin), float64(n.BytesSent), float64(n.Errout), float64(n.Dropout),
	}
	if err := t.insert(stamp, systemTable, system); err != nil {
		return err
	}
	if err := t.insert(stamp, diskTable, disks...); err != nil {
		return err
	}
	return t.insert(stamp, temperatureTable, temperatures...)
}

func (t *transaction) insertHeating(stamp stamp, heating Heating, r *heatingResult) error {
	if r == nil {
		return nil
	}
	return t.insert(stamp, heatingTable, []any{heating.Model, heating.Sensor, r.initial, r.final, r.seconds, r.ratio})
}

// insertProcesses is COL-17 to COL-21.
func (t *transaction) insertProcesses(stamp stamp, processes []process, m *machine) error {
	rows := make([][]any, len(processes))
	for i := range processes {
		p := &processes[i]
		resident := float64(p.resident * pageSize)
		rows[i] = []any{
			p.user, p.pid, p.name(m.boot), p.percent, float64(p.spent) / ticksPerSecond, p.threads,
			resident / float64(m.memory) * 100, resident, float64(p.bytes), float64(p.operations),
		}
	}
	return t.insert(stamp, userTable, rows...)
}

func (t *transaction) insertSlices(stamp stamp, uses []sliceUse) error {
	if len(uses) == 0 {
		return nil
	}
	if _, err := t.ExecContext(t.ctx, sliceTable.schema()); err != nil {
		return err
	}
	rows := make([][]any, len(uses))
	for i, u := range uses {
		rows[i] = []any{u.user, u.seconds, u.memory, u.peak, u.read, u.written, u.transfers, u.processes}
	}
	return t.insert(stamp, sliceTable, rows...)
}

// insertFolders adds sizes in KiB by user.
func (t *transaction) insertFolders(stamp stamp, sizes []folderSize) error {
	rows := make([][]any, len(sizes))
	for i, size := range sizes {
		rows[i] = []any{size.user, size.kibibytes}
	}
	return t.insert(stamp, folderTable, rows...)
}

// lastFolders returns when each user's folder was last measured.
func (s *store) lastFolders(ctx context.Context) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	err := s.query(ctx, func(scan func(...any) error) error {
		var user, moment sql.NullString
		if err := scan(&user, &moment); err != nil {
			return err
		}
		date, clock, _ := strings.Cut(moment.String, " ")
		if when, err := stampTime(date, clock); err == nil {
			last[user.String] = when
		}
		return nil
	}, "SELECT partition, max(date || ' ' || time) FROM folder GROUP BY partition")
	return last, err
}

// lastHeating returns when the last heating test ran.
func (s *store) lastHeating(ctx context.Context) (last time.Time, tested bool, err error) {
	err = s.query(ctx, func(scan func(...any) error) error {
		var date, clock sql.NullString
		if err := scan(&date, &clock); err != nil {
			return err
		}
		last, err = stampTime(date.String, clock.String)
		tested = err == nil
		return nil
	}, "SELECT date, time FROM heating ORDER BY date DESC, time DESC LIMIT 1")
	return last, tested, err
}

// newestFolders returns the size in KiB of each user's folder in the last
// measurement.
func (s *store) newestFolders(ctx context.Context) (map[string]float64, error) {
	sizes := map[string]float64{}
	err := s.query(ctx, func(scan func(...any) error) error {
		var user, moment sql.NullString
		var size sql.NullFloat64
		err := scan(&user, &size, &moment)
		sizes[user.String] = size.Float64
		return err
	}, "SELECT partition, disk_used, max(date || ' ' || time) FROM folder GROUP BY partition")
	return sizes, err
}

// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"slapos/slap/wholefile"
)

// writeConsumption writes the reports of the two previous days (COL-35). It
// makes the copy that node report sends first: if it is stopped in between, the
// next pass makes both, and no day is lost.
func (c *Collector) writeConsumption(ctx context.Context, store *store, stamp stamp) error {
	today, err := time.Parse(dateLayout, stamp.date)
	if err != nil {
		return err
	}
	kept, outgoing := c.reportDirectories()
	for ago := 1; ago <= 2; ago++ {
		day := today.AddDate(0, 0, -ago).Format(dateLayout)
		path := filepath.Join(kept, day+".xml")
		if exists(path) || exists(path+".uploaded") {
			continue
		}
		use, err := store.consumption(ctx, day)
		if err != nil {
			return err
		}
		content := c.consumptionReport(day, use)
		for _, target := range []string{filepath.Join(outgoing, day+".xml"), path} {
			if err := wholefile.Write(target, content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// consumption is a report's data for one day.
type consumption struct {
	cpu, memory nullFloat // of the machine: percent, bytes
	heating     float64
	users       map[string]*userConsumption
}

// userConsumption has averages over the samples of a day (COL-37).
type userConsumption struct {
	cpu, memory, disk nullFloat // percent, bytes, KiB
}

func (s *store) consumption(ctx context.Context, day string) (*consumption, error) {
	use := &consumption{heating: -1, users: map[string]*userConsumption{}}
	err := s.query(ctx, func(scan func(...any) error) error { return scan(&use.cpu, &use.memory) },
		"SELECT SUM(cpu_percent) / COUNT(cpu_percent), SUM(memory_used) / COUNT(memory_used) FROM system WHERE date = ?", day)
	if err != nil {
		return nil, err
	}
	err = s.query(ctx, func(scan func(...any) error) error { return scan(&use.heating) },
		"SELECT coalesce(zero_emission_ratio, -1) FROM heating ORDER BY date DESC, time DESC LIMIT 1")
	if err != nil {
		return nil, err
	}
	user := func(name string) *userConsumption {
		if use.users[name] == nil {
			use.users[name] = &userConsumption{}
		}
		return use.users[name]
	}
	err = s.query(ctx, func(scan func(...any) error) error {
		var name string
		var cpu, memory nullFloat
		err := scan(&name, &cpu, &memory)
		user(name).cpu, user(name).memory = cpu, memory
		return err
	}, `SELECT coalesce(partition, ''), SUM(cpu_percent) / COUNT(DISTINCT time), SUM(memory_rss) / COUNT(DISTINCT time)
		FROM user WHERE date = ? GROUP BY partition`, day)
	if err != nil {
		return nil, err
	}
	return use, s.query(ctx, func(scan func(...any) error) error {
		var name string
		var disk nullFloat
		err := scan(&name, &disk)
		user(name).disk = disk
		return err
	}, "SELECT coalesce(partition, ''), SUM(disk_used) / COUNT(DISTINCT time) FROM folder WHERE date = ? GROUP BY partition", day)
}

// A movement is the amount of something that was used.
type movement struct{ resource, title, reference, quantity string }

// consumptionReport is COL-37.
func (c *Collector) consumptionReport(day string, use *consumption) []byte {
	const mebibyte, kibibytes = 1 << 20, 1024
	var movements []movement
	add := func(resource, title, reference string, quantity nullFloat, unit float64) {
		if quantity.Valid {
			movements = append(movements, movement{resource: "service_module/" + resource, title: title, reference: reference, quantity: pythonFloat(quantity.Float64 / unit)})
		}
	}
	add("cpu_load_percent", "CPU Load Percent Average", c.ComputerID, use.cpu, 1)
	add("memory_used", "Used Memory", c.ComputerID, use.memory, 1)
	heating := pythonFloat(use.heating)
	if use.heating == -1 {
		heating = "-1"
	}
	movements = append(movements, movement{resource: "service_module/zero_emission_ratio", title: "Zero Emission Ratio", reference: c.ComputerID, quantity: heating})
	each := func(resource, title string, unit float64, quantity func(*userConsumption) nullFloat) {
		for _, partition := range c.Partitions {
			if u := use.users[partition.User]; u != nil {
				add(resource, title+" for "+partition.User, partition.User, quantity(u), unit)
			}
		}
	}
	each("cpu_load_percent", "CPU Load Percent Average", 1, func(u *userConsumption) nullFloat { return u.cpu })
	each("memory_used", "Memory Used Average", mebibyte, func(u *userConsumption) nullFloat { return u.memory })
	each("disk_used", "Partition Disk Used Average", kibibytes, func(u *userConsumption) nullFloat { return u.disk })
	return c.journal(day, movements)
}

func (c *Collector) journal(day string, movements []movement) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version='1.0' encoding='utf-8'?><journal><transaction type="Sale Packing List">`)
	element := func(name, text string) { fmt.Fprintf(&b, "<%[1]s>%[2]s</%[1]s>", name, xmlText(text)) }
	element("title", "Eco Information for "+c.ComputerID+" ")
	element("start_date", day+" 00:00:00")
	element("stop_date", day+" 23:59:59")
	element("reference", day+"-global")
	element("currency", "")
	element("payment_mode", "")
	element("category", "")
	b.WriteString(`<arrow type="Destination"/>`)
	for _, m := range movements {
		b.WriteString("<movement>")
		element("resource", m.resource)
		element("title", m.title)
		element("reference", m.reference)
		element("quantity", m.quantity)
		element("price", "0.0")
		element("VAT", "")
		element("category", "")
		b.WriteString("</movement>")
	}
	b.WriteString("</transaction></journal>")
	return b.Bytes()
}

// xmlText escapes a text as ASCII, like the original's reports.
func xmlText(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r < ' ' && r != '\t' && r != '\n':
			b.WriteString("&#65533;") // not allowed in XML
		case r > '~':
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"bufio"
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sliceUse is what the kernel has counted in a partition's control group since
// it was created. That includes processes that have ended, however short they
// were.
type sliceUse struct {
	user      string
	seconds   float64 // of processors
	memory    float64 // bytes now
	peak      float64 // maximum in bytes, 0 if the kernel doesn't report it
	read      float64 // bytes from disks
	written   float64 // bytes to disks
	transfers float64
	processes float64
}

// readSlices returns the use of the partitions that have a control group.
func (c *Collector) readSlices() (found []sliceUse) {
	if c.Slice == nil {
		return nil
	}
	for _, partition := range c.Partitions {
		directory := c.Slice(partition.ID())
		file := func(name string) string {
			content, _ := os.ReadFile(filepath.Join(directory, name))
			return string(content)
		}
		stat := file("cpu.stat")
		if stat == "" {
			continue
		}
		values := parseFlat(stat)
		use := sliceUse{
			user: partition.User, seconds: values["usage_usec"] / 1e6,
			memory: parseNumber(file("memory.current")), peak: parseNumber(file("memory.peak")),
			processes: parseNumber(file("pids.current")),
		}
		addTransfers(&use, file("io.stat"))
		found = append(found, use)
	}
	if found != nil {
		c.Logger.Debug("Control groups were read", slog.Int("count", len(found)))
	}
	return found
}

// parseFlat reads lines with a name and a number.
func parseFlat(content string) map[string]float64 {
	values := map[string]float64{}
	for line := range strings.Lines(content) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[name] = parseNumber(text)
	}
	return values
}

// parseNumber reads a count; anything else, as for a missing controller, is 0.
func parseNumber(text string) float64 {
	value, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return 0
	}
	return float64(value)
}

// addTransfers sums io.stat over all devices: "8:0 rbytes=1 wbytes=2 rios=3".
func addTransfers(use *sliceUse, content string) {
	words := bufio.NewScanner(bytes.NewReader([]byte(content)))
	words.Split(bufio.ScanWords)
	for words.Scan() {
		name, text, _ := strings.Cut(words.Text(), "=")
		switch value := parseNumber(text); name {
		case "rbytes":
			use.read += value
		case "wbytes":
			use.written += value
		case "rios", "wios":
			use.transfers += value
		}
	}
}

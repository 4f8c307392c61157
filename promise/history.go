// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"
)

const (
	logDate = "2006-01-02 15:04:05"
	// maxHistory bounds how much of the end of a log is read.
	maxHistory = 1 << 20
)

// logLine is a line of a promise log: date, level, transaction, text (PROM-16).
var logLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2}\s+-?\s*(\w+)\s+-?\s+(\d+-\d{3})\s+-?\s*(.*)`)
})

// past is a run of a promise, as recorded in its log.
type past struct {
	failed  bool
	message string
}

// parseHistory returns the last runs in a log, newest first. Lines without a
// date belong to the run before them; empty ones are ignored.
func parseHistory(log []byte, limit int) []past {
	var runs []past
	transaction, continuation := "", ""
	lines := bytes.Split(log, []byte("\n"))
	for i := len(lines) - 1; i >= 0; i-- {
		if len(lines[i]) == 0 {
			continue
		}
		line := strings.ToValidUTF8(string(lines[i]), "\ufffd")
		match := logLine().FindStringSubmatch(line)
		if match == nil {
			continuation = "\n" + line + continuation
			continue
		}
		if len(runs) == 0 || match[2] != transaction {
			if len(runs) == limit {
				break
			}
			transaction = match[2]
			runs = append(runs, past{})
		}
		run := &runs[len(runs)-1]
		run.failed = run.failed || match[1] == "ERROR" || match[1] == "CRITICAL"
		run.message = strings.TrimSpace(match[3]+continuation) + "\n" + run.message
		continuation = ""
	}
	for i := range runs {
		runs[i].message = strings.TrimSpace(runs[i].message)
	}
	return runs
}

// judge returns an executable's test, which one bad run makes fail, or its
// anomaly, which takes three (PROM-31).
func judge(runs []past, mode Mode) (failed bool, message string) {
	if len(runs) == 0 {
		return false, "No result found!"
	}
	wanted := 1
	if mode == Anomaly {
		wanted = 3
	}
	failures := 0
	for _, run := range runs[:min(wanted, len(runs))] {
		if run.failed {
			failures++
		}
	}
	return runs[0].failed && failures == wanted, runs[0].message
}

// logEntry is a text in a promise log.
type logEntry struct {
	level, text string
}

// appendLog writes a run into a promise's log, under a transaction other than that of
// the run before. It returns the end of the log, with that run even if it could not be
// written.
func (r *run) appendLog(title string, entries []logEntry) (log []byte, err error) {
	now := r.Now()
	number := r.Random()
	var text strings.Builder
	name := logFolder + "/" + title + ".log"
	err = r.files.do(func() error {
		before, errRead := r.files.readEnd(name, maxHistory)
		transaction := fmt.Sprintf("%d-%03d", now.Unix(), number)
		if transaction == lastTransaction(before) {
			transaction = fmt.Sprintf("%d-%03d", now.Unix(), 100+(number-99)%900)
		}
		for _, entry := range entries {
			fmt.Fprintf(&text, "%s - %s - %s - %s\n", now.Local().Format(logDate), entry.level, transaction, entry.text)
		}
		log = append(before, text.String()...)
		if errors.Is(errRead, fs.ErrNotExist) {
			errRead = nil
		}
		return errors.Join(errRead, r.files.append(name, text.String()))
	})
	return log, err
}

// lastTransaction is that of the last run in a log, "" without one.
func lastTransaction(log []byte) string {
	for len(log) > 0 {
		begin := bytes.LastIndexByte(log, '\n') + 1
		if match := logLine().FindSubmatch(log[begin:]); match != nil {
			return string(match[2])
		}
		log = log[:max(0, begin-1)]
	}
	return ""
}

// readEnd returns the last lines of a regular file, at most limit bytes. Call
// it within do.
func (f *files) readEnd(name string, limit int64) ([]byte, error) {
	file, info, err := f.openRegular(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := max(0, info.Size()-limit)
	content, err := io.ReadAll(io.NewSectionReader(file, start, limit))
	if start > 0 {
		_, content, _ = bytes.Cut(content, []byte("\n"))
	}
	return content, err
}

// append adds text to the end of a regular file. Call it within do.
func (f *files) append(name, text string) error {
	file, _, err := f.openRegular(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

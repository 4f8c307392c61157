// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// state of a check within a run.
type state int

const (
	waiting state = iota
	decided       // its result is known
)

// check is one promise.
type check struct {
	kind              Kind
	name, title, path string
	cached            *schedule     // nil: none, or not valid
	previous          *stored       // the last result, if any
	unready           bool          // it could not be prepared, so it fails (PROM-26)
	before            *check        // the previous one that is due with the same title, and so the same files
	ended             chan struct{} // closed when nothing more is done for it

	// The run's mutex guards the rest once promises run.
	state     state
	result    Result
	begun     bool       // its kind has started to run promises
	announced bool       // in the log
	logged    bool       // completely
	own       []logEntry // what an executable has added to its log
}

// schedule is the content of a cache file (PROM-23).
type schedule struct {
	Tested     bool    `json:"is_tested"`
	Anomaly    bool    `json:"is_anomaly_detected"`
	NextRun    float64 `json:"next_run_after"` // Unix time, seconds
	ModuleFile string  `json:"module_file"`
}

// look lists the promises, reads their state, and decides those that don't have
// to run.
func (r *run) look() error {
	err := r.files.do(r.files.makeFolders)
	if err != nil && os.Geteuid() == 0 {
		if errGive := giveFolders(r.Root); errGive == nil {
			err = r.files.do(r.files.makeFolders)
		}
	}
	if err != nil {
		return err
	}
	if err := r.files.do(r.list); err != nil {
		return err
	}
	now := float64(r.Now().UnixNano()) / 1e9
	for _, c := range r.checks {
		if c.unready {
			r.failUnready(c)
		} else {
			r.decide(c, now)
		}
	}
	return nil
}

// failUnready fails a promise whose cache file can be neither read nor
// replaced, since it is a directory; the others run (PROM-26).
func (r *run) failUnready(c *check) {
	c.state, c.result.Failed = decided, true
	c.result.Message = fmt.Sprintf("Error: %s is a directory: remove it", filepath.Join(r.Directory, cacheFolder, c.title))
}

func (r *run) list() error {
	for _, kind := range Kinds() {
		names, err := r.files.names(kind.Folder())
		if err != nil {
			return err
		}
		for _, name := range names {
			if kind.accepts(r, name) {
				r.add(kind, name)
			}
		}
	}
	return nil
}

func (r *run) add(kind Kind, name string) {
	c := &check{kind: kind, name: name, title: titleOf(name), path: r.path(kind, name), ended: make(chan struct{})}
	c.result = Result{Title: c.title, Name: name, Path: c.path, Kind: kind}
	c.cached, c.unready = r.readSchedule(c.title)
	c.previous = r.readStored(c.title)
	r.checks = append(r.checks, c)
}

// end says that nothing more is done for a check.
func (c *check) end() {
	if !c.isEnded() {
		close(c.ended)
	}
}

func (c *check) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// titleOf returns the name without its last extension, as Python's splitext
// does: leading dots don't begin an extension.
func titleOf(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || strings.Trim(name[:dot], ".") == "" {
		return name
	}
	return name[:dot]
}

// readSchedule reads the cache file of a promise; nil if there is none, or it
// isn't valid. blocked means that it is a directory.
func (r *run) readSchedule(title string) (cached *schedule, blocked bool) {
	name := cacheFolder + "/" + title
	content, err := r.files.read(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			info, err := r.files.directory.Lstat(name)
			blocked = err == nil && info.IsDir()
		}
		return nil, blocked
	}
	if cached = parseSchedule(content); cached == nil {
		return nil, false
	}
	if _, err := os.Stat(cached.ModuleFile); err != nil {
		return nil, false // written by another promise
	}
	return cached, false
}

// parseSchedule returns nil if data is not a cache file.
func parseSchedule(content []byte) *schedule {
	var fields map[string]json.RawMessage
	var cached schedule
	if json.Unmarshal(content, &fields) != nil || json.Unmarshal(content, &cached) != nil {
		return nil
	}
	for _, name := range []string{"is_tested", "is_anomaly_detected", "next_run_after", "module_file"} {
		if fields[name] == nil {
			return nil
		}
	}
	if !strings.HasPrefix(cached.ModuleFile, "/") || math.IsNaN(cached.NextRun) {
		return nil
	}
	return &cached
}

// decide skips a check that is disabled or not due (PROM-22).
func (r *run) decide(c *check, now float64) {
	if c.cached == nil {
		return
	}
	enabled := c.cached.Tested
	if r.Mode == Anomaly {
		enabled = c.cached.Anomaly
	}
	if enabled && (r.Mode == Forced || now >= c.cached.NextRun) {
		return
	}
	c.state, c.result.Skipped = decided, true
	if enabled {
		c.result = c.last()
	}
}

// last returns the last result of a promise that doesn't run.
func (c *check) last() Result {
	result := c.result
	result.Skipped = true
	if s := c.previous; s != nil {
		result.Failed, result.Message = s.Result.Failed, s.message()
		result.Duration = durationOf(s.ExecutionTime)
		result.Date, _ = time.Parse(resultDate, s.Result.Date)
	}
	return result
}

// cacheText returns the cache file of an executable (PROM-23).
func cacheText(path string, info fs.FileInfo, now time.Time) []byte {
	stamp := seconds(now)
	return fmt.Appendf(nil, `{"is_tested": true, "is_anomaly_detected": true, "periodicity": %d, "next_run_after": %s, "timestamp": %s, "module_file": %s, "module_file_mtime": %s}`,
		executablePeriod, pythonFloat(stamp+executablePeriod*60), pythonFloat(stamp), asciiJSON(path), pythonFloat(seconds(info.ModTime())))
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

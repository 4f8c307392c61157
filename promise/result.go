// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"slapos/slap"
)

const (
	testResult    = "Test Result"
	anomalyResult = "Anomaly Result"
	resultDate    = "2006-01-02T15:04:05+0000" // of a UTC time
	messageLimit  = 5000                       // characters (PROM-14)
)

// stored is a result file (PROM-25).
type stored struct {
	Title         string  `json:"title"`
	Name          string  `json:"name"`
	Path          string  `json:"path"`
	ExecutionTime float64 `json:"execution-time"`
	Result        struct {
		Type    string  `json:"type"`
		Failed  bool    `json:"failed"`
		Date    string  `json:"date"`
		Message *string `json:"message"`
	} `json:"result"`
}

// message returns the message of the result, as Python prints it.
func (s *stored) message() string {
	if s.Result.Message == nil {
		return "None"
	}
	return *s.Result.Message
}

func (r *run) readStored(title string) *stored {
	name := resultFolder + "/" + title + ".status.json"
	content, err := r.files.read(name)
	if err != nil {
		return nil
	}
	result, err := parseStored(content)
	if err != nil {
		r.logger.Warn("A stored promise result is not readable.", "file", name, "error", err)
		return nil
	}
	return result
}

func parseStored(content []byte) (*stored, error) {
	var result stored
	if err := json.Unmarshal(content, &result); err != nil {
		return nil, err
	}
	if kind := result.Result.Type; kind != testResult && kind != anomalyResult {
		return nil, fmt.Errorf("unknown result type %q", kind)
	}
	if _, err := time.Parse(resultDate, result.Result.Date); err != nil {
		return nil, err
	}
	if result.Result.Message != nil {
		message := shorten(*result.Result.Message)
		result.Result.Message = &message
	}
	return &result, nil
}

// text returns the file's content, byte for byte as Python's json writes it.
func (s *stored) text() []byte {
	message := "null"
	if s.Result.Message != nil {
		message = asciiJSON(*s.Result.Message)
	}
	return fmt.Appendf(nil, `{"title": %s, "name": %s, "path": %s, "execution-time": %s, "result": {"type": %s, "failed": %t, "date": %s, "message": %s}}`,
		asciiJSON(s.Title), asciiJSON(s.Name), asciiJSON(s.Path), pythonFloat(s.ExecutionTime),
		asciiJSON(s.Result.Type), s.Result.Failed, asciiJSON(s.Result.Date), message)
}

// outcome is the outcome of a promise that ran.
type outcome struct {
	resultType string // empty: no result, and nothing is stored
	failed     bool
	message    *string
	date       string // of a result file; empty: now
	duration   time.Duration
	timedOut   bool
}

// silent is the outcome of a promise without a result.
func (r *run) silent(c *check, duration time.Duration) outcome {
	return r.lacking(c, duration, "Error: No output returned by the promise")
}

// late is the outcome of a promise without a result in time.
func (r *run) late(c *check, duration time.Duration) outcome {
	o := r.lacking(c, duration, fmt.Sprintf("Error: Promise timed out after %g seconds", r.Timeout.Seconds()))
	o.timedOut = true
	return o
}

// lacking is a failure; only a repeated failure is an anomaly (PROM-24).
func (r *run) lacking(c *check, duration time.Duration, message string) outcome {
	o := outcome{resultType: testResult, failed: true, message: &message, duration: duration}
	if r.Mode == Anomaly {
		o.resultType, o.failed = anomalyResult, c.isSuspect()
	}
	return o
}

// isSuspect reports whether the last result was bad, too.
func (c *check) isSuspect() bool {
	return c.previous != nil && (c.previous.Result.Failed || strings.Contains(strings.ToLower(c.previous.message()), "error:"))
}

// settle stores and logs the outcome of a check.
func (r *run) settle(c *check, o outcome) {
	s := &stored{Title: c.title, Name: c.name, Path: c.path, ExecutionTime: r.executionTime(o)}
	s.Result.Type, s.Result.Failed, s.Result.Date = o.resultType, o.failed, o.date
	if o.message != nil {
		message := shorten(*o.message)
		s.Result.Message = &message
	}
	if s.Result.Date == "" {
		s.Result.Date = r.Now().UTC().Format(resultDate)
	}
	if o.resultType != "" {
		err := r.files.do(func() error { return r.files.replace(resultFolder+"/"+c.title+".status.json", s.text()) })
		if err != nil {
			r.logger.Warn("The result of a promise could not be stored.", "promise", c.name, "error", err)
		}
	}
	r.mutex.Lock()
	c.state, c.result.Failed, c.result.Duration = decided, o.failed, o.duration
	if o.resultType != "" {
		c.result.Message = s.message()
		c.result.Date, _ = time.Parse(resultDate, s.Result.Date)
	}
	result := c.result
	r.mutex.Unlock()
	if r.Observer != nil {
		r.Observer.Ended(result)
	}
	r.logKnown()
}

// executionTime is in seconds, to the millisecond. Readers of result files take
// 0 as a promise that did not run.
func (r *run) executionTime(o outcome) float64 {
	if o.timedOut {
		return r.Timeout.Seconds()
	}
	return max(1, math.Round(o.duration.Seconds()*1000)) / 1000
}

// begin is called when the promises of a kind start to run.
func (r *run) begin(checks []*check) {
	r.mutex.Lock()
	for _, c := range checks {
		c.begun = true
	}
	r.mutex.Unlock()
	r.logKnown()
}

// logKnown logs the known results in the order of the checks, up to the first
// unknown one, and names the check that it waits for: output of promises then
// follows that line.
func (r *run) logKnown() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for r.next < len(r.checks) && r.checks[r.next].state == decided {
		r.logOne(r.checks[r.next])
		r.next++
	}
	if r.next < len(r.checks) && r.checks[r.next].begun {
		r.announce(r.checks[r.next])
	}
}

// logRest logs what remains after an early end.
func (r *run) logRest() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for ; r.next < len(r.checks); r.next++ {
		if r.checks[r.next].state == decided {
			r.logOne(r.checks[r.next])
		}
	}
}

func (r *run) logOne(c *check) {
	if c.logged {
		return
	}
	c.logged = true
	if c.unready {
		log := r.logger.With("promise", c.name)
		log.Error(c.result.Message)
		log.Warn(fmt.Sprintf("Promise %s skipped.", c.name))
		return
	}
	if !c.result.Skipped {
		r.announce(c)
	}
	for _, entry := range c.own {
		r.logger.With("promise", c.name).Log(context.Background(), levelOf(entry.level), entry.text, "logger", c.name)
	}
	if c.result.Failed {
		r.logger.With("promise", c.name).Error(c.result.Message)
	}
}

func (r *run) announce(c *check) {
	if !c.announced {
		r.logger.With("promise", c.name).Info(fmt.Sprintf("Checking promise %s...", c.name))
		c.announced = true
	}
}

// levelOf returns the level of a Python level's name.
func levelOf(name string) slog.Level {
	switch name {
	case "DEBUG":
		return slog.LevelDebug
	case "WARNING":
		return slog.LevelWarn
	case "ERROR":
		return slog.LevelError
	case "CRITICAL":
		return slog.LevelError + 4
	}
	return slog.LevelInfo
}

// shorten keeps the end of a message (PROM-14).
func shorten(message string) string {
	length := utf8.RuneCountInString(message)
	if length <= messageLimit || length == messageLimit+3 && strings.HasPrefix(message, "...") {
		return message
	}
	for ; length > messageLimit; length-- {
		_, size := utf8.DecodeRuneInString(message)
		message = message[size:]
	}
	return "..." + message
}

// asciiJSON returns a string as Python's json.dumps writes it.
func asciiJSON(text string) string { return string(slap.AppendPythonJSON(nil, text)) }

// asciiOnly escapes what is not ASCII in a JSON text.
func asciiOnly(text string) string {
	var b strings.Builder
	for _, character := range text {
		if character < utf8.RuneSelf {
			b.WriteRune(character)
		} else {
			quoted := asciiJSON(string(character))
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

func pythonFloat(f float64) string { return slap.PythonRepr(f) }

// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"slapos/promise"
	"slapos/slap"
	"slapos/slap/confined"
)

const (
	// mostPromiseText is what a master gets of a promise's message, in bytes.
	mostPromiseText = 1 << 10
	// mostFailing is how many failing promises it gets.
	mostFailing = 1000
	// promisesAgain is when it gets them again, though nothing changed.
	promisesAgain = time.Hour
)

// promiseNote is the agent's note of what it last told about promises.
func (d *deployment) promiseNote() string { return d.ID.Partition + ".promises" }

// tellPromises tells a master that takes it which promises fail (GRID-111): when that
// changed, or each hour. It is for people to see: a failure changes nothing here.
func (d *deployment) tellPromises(ctx context.Context, report promise.Report) {
	if !d.Node.Master.TakesPromises() {
		return
	}
	if err := d.sendPromises(ctx, report); err != nil {
		d.Log.Debug("What promises say is not reported", "error", err)
	}
}

func (d *deployment) sendPromises(ctx context.Context, report promise.Report) error {
	state, err := d.Node.OpenState()
	if err != nil {
		return err
	}
	defer state.Close()
	told, digest := d.promiseReport(report)
	known, info, err := state.ReadFile(d.promiseNote())
	if err != nil && len(report.Promises) == 0 {
		return nil // nobody expects otherwise
	}
	if err == nil && string(known) == digest {
		if age := d.Node.Now().Sub(info.ModTime()); age >= 0 && age < promisesAgain {
			return nil
		}
	}
	if err := d.Node.Master.ReportPromises(ctx, d.ID, told); err != nil {
		return err
	}
	if len(report.Promises) == 0 {
		return state.Clear(d.promiseNote())
	}
	return state.Write(d.promiseNote(), []byte(digest), confined.AgentFile)
}

// promiseReport returns what a master gets, and a digest that is another one when it
// should get that: numbers in messages, which differ each time, don't count, but the
// instance does, and what was wanted of it.
func (d *deployment) promiseReport(report promise.Report) (told slap.PromiseReport, digest string) {
	sum := sha256.New()
	timestamp, _ := d.Wanted.Timestamp()
	fmt.Fprintf(sum, "%q %q %q %d\n", d.Node.MasterURL, d.Wanted.InstanceGUID, timestamp, len(report.Promises))
	for _, result := range report.Promises {
		if !result.Failed {
			told.Passed++
			continue
		}
		if len(told.Failing) == mostFailing {
			continue
		}
		message := cut(d.Node.Hide(result.Message), mostPromiseText)
		told.Failing = append(told.Failing, slap.PromiseFailure{Name: result.Title, Message: message})
		fmt.Fprintf(sum, "%q %q\n", result.Title, strings.Map(withoutDigits, message))
	}
	return told, fmt.Sprintf("%x", sum.Sum(nil))
}

func withoutDigits(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}

// cut keeps the beginning of a text, whole characters up to a number of bytes.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"strings"

	"slapos/proxy/store"
	"slapos/proxy/usage"
)

// shownReports is how many usage reports a page shows, the newest.
const shownReports = 5

// shownText bounds what is shown of a report that nobody understands, in bytes.
const shownText = 16 << 10

// usageReport is a usage report as it is shown.
type usageReport struct {
	Time float64
	*usage.Report
	// Text is the report itself, when it is none of those that nodes send.
	Text string
}

func usageOf(report store.UsageReport) usageReport {
	parsed, err := usage.Parse(report.Computer, report.Report)
	if err == nil {
		return usageReport{Time: report.Time, Report: parsed}
	}
	text := report.Report
	if len(text) > shownText {
		text = text[:shownText] + " …"
	}
	return usageReport{Time: report.Time, Text: strings.ToValidUTF8(text, "\uFFFD")}
}

package panel

import (
	"encoding/xml"
	"strings"

	"slapos/proxy/store"
)

// shownReports is how many usage reports a page shows, the newest.
const shownReports = 5

// shownText bounds what is shown of a report that nobody understands, in bytes.
const shownText = 16 << 10

// usage is a usage report as it is shown.
type usage struct {
	Time      float64
	Movements []movement
	// Text is the report itself, when it is none of those that nodes send.
	Text string
}

// movement is a line of a report (SLAP-60): how much of what, and whose.
type movement struct {
	Reference string `xml:"reference"`
	Title     string `xml:"title"`
	Resource  string `xml:"resource"`
	Quantity  string `xml:"quantity"`
}

func usageOf(report store.UsageReport) usage {
	var journal struct {
		XMLName   xml.Name   `xml:"journal"`
		Movements []movement `xml:"transaction>movement"`
	}
	u := usage{Time: report.Time}
	if err := xml.Unmarshal([]byte(report.Report), &journal); err != nil {
		u.Text = report.Report
		if len(u.Text) > shownText {
			u.Text = u.Text[:shownText] + " …"
		}
		u.Text = strings.ToValidUTF8(u.Text, "\uFFFD")
		return u
	}
	u.Movements = journal.Movements
	return u
}

// SPDX-License-Identifier: GPL-3.0-or-later

package promise

import (
	"reflect"
	"testing"
	"time"

	"slapos/slap/testkit"
)

// likeSlapos writes a result as slapos.core does, and reads ours.
const likeSlapos = `
from datetime import datetime
from slapos.grid.promise import generic
def text(result): return json.dumps(result.serialize()).encode()
for line in sys.stdin:
  c = json.loads(line)
  kind = {"Test Result": generic.TestResult, "Anomaly Result": generic.AnomalyResult}[c["Type"]]
  item = kind(problem=c["Failed"], message=c["Message"], date=datetime.fromtimestamp(c["Date"]))
  result = generic.PromiseQueueResult(path=c["Path"], name=c["Name"], title=c["Title"], item=item, execution_time=float(c["Seconds"]))
  again = generic.PromiseQueueResult()
  again.load(json.loads(c["Ours"]))
  answer({"theirs": text(result), "ours, read by slapos.core": text(again)})
`

// A result file has slapos.core's bytes, whatever a promise says, and each program
// reads the other's (PROM-14, PROM-25).
func TestResultsLikeSlapos(t *testing.T) {
	random := testkit.NewRandom(t)
	type settings struct {
		Title, Name, Path, Type, Ours string
		Failed                        bool
		Message                       *string
		Date                          int64
		Seconds                       float64
	}
	text := func() string {
		return random.Text("a", "Z 9", "\n", "\"", "\\", "/", "é", "€", "😀", "\t", "\x00", "\x1b[31m", "\x7f", "\u2028", "<b>&", "\r", "%s", "\ufffd")
	}
	cases := make([]settings, random.Cases(500, 20000))
	want := make([]*stored, len(cases))
	for i := range cases {
		c := settings{
			Title: text(), Name: text(), Path: "/srv/" + text(), Type: random.One(testResult, anomalyResult), Failed: random.IntN(2) == 0,
			Date: int64(random.IntN(1 << 32)), Seconds: float64(random.IntN(100000)+1) / 1000,
		}
		if random.IntN(8) > 0 {
			message := text()
			for random.IntN(4) == 0 {
				message += text() + message + text()
			}
			if random.IntN(10) == 0 {
				for len(message) < 20000 {
					message += "é1\n" + message
				}
			}
			c.Message = &message
		}
		s := &stored{Title: c.Title, Name: c.Name, Path: c.Path, ExecutionTime: c.Seconds}
		s.Result.Type, s.Result.Failed, s.Result.Date = c.Type, c.Failed, time.Unix(c.Date, 0).Format(resultDate)
		if c.Message != nil {
			message := shorten(*c.Message)
			s.Result.Message = &message
		}
		c.Ours = string(s.text())
		cases[i], want[i] = c, s
	}
	next := 0
	files := testkit.Original(t, likeSlapos, cases, func(c settings, theirs map[string][]byte) {
		for what, content := range theirs {
			if string(content) != c.Ours {
				t.Errorf("%s: %q\nwe: %q", what, content, c.Ours)
			}
		}
		if read, err := parseStored(theirs["theirs"]); err != nil || !reflect.DeepEqual(read, want[next]) {
			t.Errorf("%s is read as %+v, %v", theirs["theirs"], read, err)
		}
		next++
	})
	t.Logf("%d files of %d results", files, len(cases))
}

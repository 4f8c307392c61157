// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// value is a parameter or connection value as it is shown.
type value struct {
	Name string
	Text string
	// Long is true for text that needs several lines.
	Long bool
}

// valuesOf lists what a dictionary holds. JSON under "_" is what a release
// means by its values: its members are listed.
func valuesOf(d slap.Dict) []value {
	var list []value
	for _, name := range slices.Sorted(maps.Keys(d)) {
		text := slap.PythonString(d[name])
		if members, ok := membersOf(text); ok && name == "_" {
			list = append(list, members...)
			continue
		}
		list = append(list, valueOf(name, text))
	}
	return list
}

func valueOf(name, text string) value {
	return value{name, text, strings.Contains(text, "\n") || len(text) > 400}
}

// maximumMembers bounds a text that is taken apart, in bytes: with the blanks
// before deep values it is much longer.
const maximumMembers = 256 << 10

// membersOf lists the members of a JSON object in their order.
func membersOf(text string) (list []value, ok bool) {
	if len(text) > maximumMembers || pyjson.Bounded(text) != nil {
		return nil, false
	}
	members, err := pyjson.Members([]byte(text))
	if err != nil {
		return nil, false
	}
	for _, member := range members {
		var plain string
		if json.Unmarshal(member.Value, &plain) == nil && member.Value[0] == '"' {
			list = append(list, valueOf(member.Key, plain))
			continue
		}
		var indented bytes.Buffer
		if json.Indent(&indented, member.Value, "", "  ") != nil {
			return nil, false
		}
		list = append(list, valueOf(member.Key, indented.String()))
	}
	return list, true
}

// isLink reports whether a value is an address that a browser can open.
func isLink(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func formatTime(seconds any) string {
	at, ok := seconds.(float64)
	if p, isPointer := seconds.(*float64); isPointer && p != nil {
		at, ok = *p, true
	}
	if !ok || at == 0 {
		return "never"
	}
	return time.Unix(int64(at), 0).UTC().Format("2006-01-02 15:04:05 UTC")
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// ago says how long something lasts, "" if that isn't known.
func ago(since float64) string {
	if since == 0 {
		return ""
	}
	switch passed := time.Since(time.Unix(int64(since), 0)); {
	case passed < 2*time.Minute:
		return fmt.Sprintf("%d s", max(0, int(passed.Seconds())))
	case passed < 2*time.Hour:
		return fmt.Sprintf("%d min", int(passed.Minutes()))
	case passed < 48*time.Hour:
		return fmt.Sprintf("%d h", int(passed.Hours()))
	default:
		return fmt.Sprintf("%d days", int(passed.Hours()/24))
	}
}

// instanceNeeds is how a template shows instances: with boxes to choose them by, with the
// listing that they are of.
func instanceNeeds(rows []store.InstanceOverview, of any, choose bool) map[string]any {
	return map[string]any{"Rows": rows, "Of": of, "Choose": choose}
}

// column is the head of a column that a list can be sorted by.
type column struct {
	Name, Sorted string
	At           template.URL
}

func columnOf(list interface {
	Sorted(string) string
	Sort(string) template.URL
}, order, name string) column {
	return column{name, list.Sorted(order), list.Sort(order)}
}

// eventName is the query of the page of the instance that an event is about.
func eventName(e store.Event) template.URL {
	return template.URL(query(store.Name{Title: e.Title, Root: e.Root, Shared: e.Kind == store.KindShared}).Encode()) //nolint:gosec // it is encoded
}

// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"slapos/proxy/store"
)

// shownTree is how many instances of a tree a page lists.
const shownTree = 200

// instancePage is all of an instance.
type instancePage struct {
	*store.Instance
	Actual             store.Actual
	Promises           store.PromiseCounts
	Failing            []store.FailingPromise
	Values, Parameters []value
	Hosted             []*store.Instance
	Tree               []store.InstanceOverview
	Events             []store.Event
	// Log is the event that has the text of the last failure, 0 without one, Tail its end.
	Log  int64
	Tail string
	// Own is true for a root, whose state is ours to choose: that of others
	// is their requester's.
	Own bool
}

func (p *Panel) instance(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	name := nameOf(r.URL.Query())
	instance, err := p.store.Instance(ctx, name)
	if errors.Is(err, store.ErrNotFound) && name.Title != "" {
		return p.former(w, r, name)
	}
	if err != nil {
		return missing(err)
	}
	id := instance.Partition.ID
	conditions, err := p.store.Conditions(ctx, id.Computer)
	if err != nil {
		return err
	}
	page := instancePage{Instance: instance, Actual: conditions.Of(instance), Values: valuesOf(instance.Connection),
		Parameters: valuesOf(instance.Parameters), Own: name.Root == ""}
	if !name.Shared {
		page.Promises, page.Failing = conditions.Promises(id)
		if page.Hosted, err = p.store.List(ctx, store.HostedBy(name)); err != nil {
			return missing(err)
		}
		if name.Root == "" {
			tree, err := p.store.FindInstances(ctx, store.InstanceFilter{Root: name.Title, Window: store.Window{Limit: shownTree}})
			if err != nil {
				return err
			}
			page.Tree = tree.Rows
		}
	}
	if page.Events, err = p.eventsOf(r, name); err != nil {
		return err
	}
	if err := p.addLog(r, &page); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "instance.html", view{Title: "Instance " + name.Title, Section: "instances", Page: page})
}

// eventsOf are the events of an instance, also of a former one of that name.
func (p *Panel) eventsOf(r *http.Request, name store.Name) ([]store.Event, error) {
	found, err := p.events(r, store.EventFilter{Title: name.Title, Limit: 4 * shownEvents})
	var events []store.Event
	for _, event := range found {
		if event.Root == name.Root && (event.Kind == store.KindShared) == name.Shared && len(events) < shownEvents {
			events = append(events, event)
		}
	}
	return events, err
}

// addLog finds the text of the last failure.
func (p *Panel) addLog(r *http.Request, page *instancePage) error {
	for _, event := range page.Events {
		if event.HasLog && page.Log == 0 {
			page.Log = event.ID
		}
	}
	if page.Actual.Event != 0 {
		page.Log = page.Actual.Event
	}
	if page.Log == 0 {
		return nil
	}
	text, err := p.store.Log(r.Context(), page.Log)
	if errors.Is(err, store.ErrNotFound) {
		page.Log = 0
		return nil
	}
	page.Tail = tail(text, 30)
	return err
}

// tail is the end of a text, at most that many lines and 8 KiB.
func tail(text string, lines int) string {
	text = strings.TrimRight(text, "\n")
	at := len(text)
	for range lines {
		i := strings.LastIndexByte(text[:at], '\n')
		if i < 0 {
			at = 0
			break
		}
		at = i
	}
	text = strings.TrimPrefix(text[at:], "\n")
	if len(text) > 8<<10 {
		text = "… " + text[len(text)-8<<10:]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// formerPage is what is known of an instance that is gone.
type formerPage struct {
	store.Name
	Events []store.Event
}

func (p *Panel) former(w http.ResponseWriter, r *http.Request, name store.Name) error {
	events, err := p.eventsOf(r, name)
	if err != nil {
		return err
	}
	if len(events) == 0 {
		return ErrNoPage
	}
	return p.show(w, r, http.StatusNotFound, "former.html", view{Title: "Instance " + name.Title, Section: "instances",
		Page: formerPage{name, events}})
}

// logPage is the text of a failure.
type logPage struct {
	Event int64
	Lines int
	Text  string
}

// log shows the text of a failure, or gives it as a file.
func (p *Panel) log(w http.ResponseWriter, r *http.Request) error {
	event, err := strconv.ParseInt(r.URL.Query().Get("event"), 10, 64)
	if err != nil {
		return ErrNoPage
	}
	text, err := p.store.Log(r.Context(), event)
	if err != nil {
		return missing(err)
	}
	if r.URL.Query().Get("download") != "" {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Content-Disposition", "attachment; filename=failure-"+strconv.FormatInt(event, 10)+".log")
		h.Set("Content-Length", strconv.Itoa(len(text)))
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(text)) // a client that went away needs no answer
		return nil
	}
	return p.show(w, r, http.StatusOK, "log.html", view{Title: "Log of a failure", Page: logPage{event, strings.Count(text, "\n") + 1, text}})
}

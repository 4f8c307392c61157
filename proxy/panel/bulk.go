// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"slapos/proxy/store"
	"slapos/slap"
)

// maximumBulk bounds how many instances are changed at once: a form can't have
// more than a page of them.
const maximumBulk = 2 * pageSize

// bulkPage asks whether several instances are to change.
type bulkPage struct {
	State, Verb string
	Instances   []bulkLine
	// Skipped can't change in that way.
	Skipped []bulkLine
}

// bulkLine is an instance that is to change, and what depends on it.
type bulkLine struct {
	store.Name
	Value   string // in the form
	Where   slap.PartitionID
	Wanted  string
	Why     string // it is skipped
	Hosted  []*store.Instance
	Tree    []store.InstanceOverview
	InTree  int
	Gone    bool // with its data
	Already bool
}

var verbs = map[slap.State]string{slap.StateStarted: "Start", slap.StateStopped: "Stop", slap.StateDestroyed: "Destroy"}

// bulk changes the state of several instances, once somebody has seen what that
// breaks.
func (p *Panel) bulk(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	state := slap.State(form.Get("state"))
	if verbs[state] == "" || len(form["i"]) > maximumBulk {
		return ErrNoPage
	}
	page := bulkPage{State: string(state), Verb: verbs[state]}
	for _, value := range form["i"] {
		line, err := p.bulkLine(r, value, state)
		if err != nil {
			return err
		}
		if line.Why != "" {
			page.Skipped = append(page.Skipped, line)
		} else {
			page.Instances = append(page.Instances, line)
		}
	}
	if form.Get("sure") == "" || len(page.Instances) == 0 {
		problem := ""
		if len(page.Instances) == 0 {
			problem = "Choose instances that can change in this way."
		}
		return p.show(w, r, http.StatusOK, "bulk.html", view{Title: page.Verb + " " + plural(len(page.Instances), "instance"),
			Section: "instances", Problem: problem, Page: page})
	}
	for _, line := range page.Instances {
		if err := p.store.SetState(r.Context(), line.Name, state); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return goTo(w, "instances", url.Values{}, "bulk-"+string(state))
}

// bulkLine finds out about one of them.
func (p *Panel) bulkLine(r *http.Request, value string, state slap.State) (bulkLine, error) {
	values, err := url.ParseQuery(value)
	if err != nil {
		return bulkLine{}, ErrNoPage
	}
	line := bulkLine{Name: nameOf(values), Value: value, Gone: state == slap.StateDestroyed}
	instance, err := p.store.Instance(r.Context(), line.Name)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNoHost):
		line.Why = "it isn't there any more"
		return line, nil
	case err != nil:
		return line, err
	case line.Root != "":
		line.Why = "another instance requested it: " + line.Root
		return line, nil
	case line.Shared && state != slap.StateDestroyed:
		line.Why = "a shared instance follows its host"
		return line, nil
	}
	line.Where, line.Wanted = instance.Partition.ID, instance.State
	line.Already = instance.State == string(state)
	if line.Shared || state == slap.StateStarted {
		return line, nil
	}
	if line.Hosted, err = p.store.List(r.Context(), store.HostedBy(line.Name)); err != nil {
		return line, fmt.Errorf("what %s hosts: %w", line.Name, err)
	}
	if state == slap.StateDestroyed {
		tree, err := p.store.FindInstances(r.Context(), store.InstanceFilter{Root: line.Title, Window: store.Window{Limit: pageSize}})
		if err != nil {
			return line, err
		}
		line.Tree, line.InTree = tree.Rows, tree.Total
	}
	return line, nil
}

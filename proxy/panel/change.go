// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// supplyPage is the form that supplies a release.
type supplyPage struct {
	URL       string
	Computer  string
	Computers []string
}

func (p *Panel) supplyForm(w http.ResponseWriter, r *http.Request) error {
	return p.showSupply(w, r, http.StatusOK, r.URL.Query(), "")
}

func (p *Panel) showSupply(w http.ResponseWriter, r *http.Request, status int, values url.Values, problem string) error {
	page := supplyPage{URL: values.Get("url"), Computer: values.Get("computer")}
	if page.Computer == "" {
		page.Computer = p.options.Computer
	}
	var err error
	if page.Computers, _, err = p.choices(r.Context()); err != nil {
		return err
	}
	return p.show(w, r, status, "supply.html", view{Title: "Supply software", Problem: problem, Page: page})
}

func (p *Panel) supply(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	software := store.Software{URL: strings.TrimSpace(form.Get("url")), Computer: form.Get("computer"), State: slap.StateAvailable}
	if software.URL == "" || software.Computer == "" {
		return p.showSupply(w, r, http.StatusUnprocessableEntity, form, "Name a software release and a computer.")
	}
	if _, err := p.store.Node(r.Context(), software.Computer); errors.Is(err, store.ErrNotFound) {
		return p.showSupply(w, r, http.StatusUnprocessableEntity, form, "There is no computer "+software.Computer+".")
	} else if err != nil {
		return err
	}
	if err := p.store.Supply(r.Context(), software); err != nil {
		return err
	}
	return goTo(w, "node", url.Values{"id": {software.Computer}}, "supplied")
}

// removePage asks whether a release is to go, and says who still uses it.
type removePage struct {
	URL, Computer string
	Instances     []store.InstanceOverview
	Total         int
}

func (p *Panel) removeForm(w http.ResponseWriter, r *http.Request) error {
	page := removePage{URL: r.URL.Query().Get("url"), Computer: r.URL.Query().Get("computer")}
	if _, err := p.store.Node(r.Context(), page.Computer); err != nil {
		return missing(err)
	}
	found, err := p.store.FindInstances(r.Context(), store.InstanceFilter{Node: page.Computer, Release: page.URL})
	if err != nil {
		return err
	}
	page.Instances, page.Total = found.Rows, found.Total
	return p.show(w, r, http.StatusOK, "remove.html", view{Title: "Remove software", Page: page})
}

func (p *Panel) remove(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	software := store.Software{URL: form.Get("url"), Computer: form.Get("computer"), State: slap.StateDestroyed}
	known, err := p.store.Software(r.Context(), software.Computer)
	if err != nil {
		return missing(err)
	}
	for _, one := range known {
		if one.URL == software.URL {
			if err := p.store.Supply(r.Context(), software); err != nil {
				return err
			}
			return goTo(w, "node", url.Values{"id": {software.Computer}}, "removed")
		}
	}
	return ErrNoPage
}

// state starts or stops a root instance.
func (p *Panel) state(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	state := slap.State(form.Get("state"))
	if state != slap.StateStarted && state != slap.StateStopped {
		return ErrNoPage
	}
	return p.setState(w, r, form, state)
}

func (p *Panel) destroyForm(w http.ResponseWriter, r *http.Request) error {
	name := nameOf(r.URL.Query())
	line, err := p.bulkLine(r, query(name).Encode(), slap.StateDestroyed)
	if err != nil {
		return err
	}
	if line.Why != "" {
		return ErrNoPage // not ours to choose: no page leads here
	}
	return p.show(w, r, http.StatusOK, "destroy.html", view{Title: "Destroy instance " + name.Title, Page: line})
}

func (p *Panel) destroy(w http.ResponseWriter, r *http.Request) error {
	form, err := fieldsIn(r)
	if err != nil {
		return err
	}
	return p.setState(w, r, form, slap.StateDestroyed)
}

func (p *Panel) setState(w http.ResponseWriter, r *http.Request, form url.Values, state slap.State) error {
	name := nameOf(form)
	if name.Root != "" || name.Shared && state != slap.StateDestroyed {
		return ErrNoPage // not ours to choose: no page has such a form
	}
	if err := p.store.SetState(r.Context(), name, state); err != nil {
		return missing(err)
	}
	if name.Shared {
		return goTo(w, "instances", url.Values{}, string(state))
	}
	return goTo(w, "instance", query(name), string(state))
}

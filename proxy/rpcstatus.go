// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"errors"
	"net/http"
	"sort"

	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/pyjson"
)

// What an answer lists at most (PROXY-194).
const (
	maximumNodes     = 1000
	maximumAttention = 500
	maximumEvents    = 1000
)

// actualObject is the condition of something, the same in all answers.
func actualObject(a store.Actual) object {
	return pyjson.Of(
		"condition", string(a.Condition), "since", seconds(a.Since), "message", a.Message,
		"reported", seconds(a.Reported), "failures", a.Failures, "event", a.Event,
	)
}

// seconds is a time in whole seconds, which all tools read.
func seconds(time float64) int64 { return int64(time) }

// rpcStatus tells how everything is: what needs attention by name, the rest in
// numbers.
func (p *Proxy) rpcStatus(r *http.Request, _ slap.Dict) (any, error) {
	o, err := p.store.Overview(r.Context())
	if err != nil {
		return nil, err
	}
	last, err := p.store.LastEvent(r.Context())
	if err != nil {
		return nil, err
	}
	nodes, attention := []object{}, []object{}
	total := 0
	add := func(kind, computer, subject, title, guid string, a store.Actual) {
		if total++; len(attention) < maximumAttention {
			attention = append(attention, pyjson.Of("kind", kind, "computer_guid", computer, "subject", subject, "title", title,
				"instance_guid", guid, "actual", actualObject(a)))
		}
	}
	counts := map[string]map[slap.Condition]int64{"nodes": {}, "releases": {}, "instances": {}}
	// Those that need attention come first, if there are too many.
	order := make([]int, len(o.Nodes))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return o.Nodes[order[i]].Attention > o.Nodes[order[j]].Attention })
	for _, i := range order {
		n := o.Nodes[i]
		counts["nodes"][n.Condition]++
		if n.NeedsAttention() {
			add(store.KindNode, n.Computer, "", "", "", n.Actual)
		}
		if len(nodes) < maximumNodes {
			nodes = append(nodes, pyjson.Of("computer_guid", n.Computer, "actual", actualObject(n.Actual), "partitions", n.Partitions,
				"busy", n.Busy, "releases", n.Releases, "attention", n.Attention))
		}
	}
	for _, release := range o.Releases {
		counts["releases"][release.Condition]++
		if release.NeedsAttention() {
			add(store.KindRelease, release.Computer, release.URL, "", "", release.Actual)
		}
	}
	for _, i := range o.Instances {
		counts["instances"][i.Condition]++
		if i.NeedsAttention() {
			kind := store.KindInstance
			if i.Shared {
				kind = store.KindShared
			}
			add(kind, i.Computer, i.Partition, i.Title, rpcGUID(i.Name), i.Actual)
		}
	}
	for _, e := range o.Refused {
		add(store.KindInstance, e.Computer, "", e.Title, "", store.Actual{Condition: slap.ConditionRequested, Since: e.Time, Message: e.Message, Stuck: true})
	}
	return pyjson.Of(
		"time", seconds(o.Now),
		"counts", pyjson.Of(
			"nodes", countObject(counts["nodes"], slap.NodeConditions()),
			"releases", countObject(counts["releases"], slap.ReleaseConditions()),
			"instances", countObject(counts["instances"], slap.InstanceConditions()),
		),
		"node_list", nodes, "attention_list", attention, "attention_count", total, "last_event", last,
	), nil
}

// countObject has a number for each condition.
func countObject(counts map[slap.Condition]int64, conditions []slap.Condition) object {
	var o object
	for _, condition := range conditions {
		o.Set(string(condition), counts[condition])
	}
	return o
}

// rpcInstanceStatus tells how an instance is.
func (p *Proxy) rpcInstanceStatus(r *http.Request, input slap.Dict) (any, error) {
	name, err := nameOf(input)
	if err != nil {
		return nil, err
	}
	instance, err := p.store.Instance(r.Context(), name)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNoHost) {
		return nil, noInstance(input)
	}
	if err != nil {
		return nil, err
	}
	id := instance.Partition.ID
	c, err := p.store.Conditions(r.Context(), id.Computer)
	if err != nil {
		return nil, err
	}
	counts, failing := c.Promises(id)
	promises := []object{}
	for _, promise := range failing {
		promises = append(promises, pyjson.Of("name", promise.Name, "message", promise.Message, "since", seconds(promise.Since)))
	}
	return pyjson.Of(
		"title", name.Title, "instance_guid", rpcGUID(name), "computer_guid", id.Computer, "compute_partition_id", id.Partition,
		"software_release_uri", instance.Partition.SoftwareRelease, "wanted", instance.State, "actual", actualObject(c.Of(instance)),
		"promises", pyjson.Of("passed", counts.Passed, "failed", counts.Failed, "reported", seconds(counts.Time), "failing", promises),
	), nil
}

// rpcReleaseStatus tells how a release on a computer is.
func (p *Proxy) rpcReleaseStatus(r *http.Request, input slap.Dict) (any, error) {
	computer, url := text(input, "computer_guid"), text(input, "software_release_uri")
	c, err := p.store.Conditions(r.Context(), computer)
	if err != nil {
		return nil, err
	}
	wanted, supplied := c.Wanted(computer, url)
	if !supplied {
		return nil, refuse(http.StatusForbidden, "%s is not supplied to %s.", url, computer)
	}
	return pyjson.Of("computer_guid", computer, "software_release_uri", url, "wanted", string(wanted),
		"actual", actualObject(c.Release(store.Software{URL: url, Computer: computer, State: wanted}))), nil
}

// rpcEvents lists what happened.
func (p *Proxy) rpcEvents(r *http.Request, input slap.Dict) (any, error) {
	whole := func(key string) int64 {
		n, _ := input[key].(int64)
		return n
	}
	events, err := p.store.Events(r.Context(), store.EventFilter{
		Computer: text(input, "computer_guid"), Kind: text(input, "kind"), Subject: text(input, "subject"), Title: text(input, "title"),
		Event: text(input, "event"), Actor: text(input, "actor"), Search: text(input, "search"), After: whole("after"), Before: whole("before"), Limit: int(min(whole("limit"), maximumEvents)),
	})
	if err != nil {
		return nil, err
	}
	result := []object{}
	for _, e := range events {
		result = append(result, pyjson.Of("id", e.ID, "time", seconds(e.Time), "computer_guid", e.Computer, "kind", e.Kind, "subject", e.Subject,
			"title", e.Title, "root_instance_title", e.Root, "event", e.Event, "state", e.State, "message", e.Message, "actor", e.Actor, "has_log", e.HasLog))
	}
	return pyjson.Of("result_list", result), nil
}

// rpcEventLog is the text of an error.
func (p *Proxy) rpcEventLog(r *http.Request, input slap.Dict) (any, error) {
	id, _ := input["event"].(int64)
	text, err := p.store.Log(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusForbidden, "No log of event %d found.", id)
	}
	if err != nil {
		return nil, err
	}
	return pyjson.Of("event", id, "text", text), nil
}

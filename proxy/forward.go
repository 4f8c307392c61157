// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"slapos/proxy/store"
	"slapos/slap"
)

// statusUnreachable is the status of a master that can't be reached.
const statusUnreachable = 523

// mayForward reports whether a request might be forwarded.
func (p *Proxy) mayForward(order store.Order) bool {
	return len(p.options.Masters) > 0 || order.Filter["master_url"] != nil
}

// masterFor is the external master that a request is for, nil when it is for
// us (PROXY-70).
func (p *Proxy) masterFor(r *http.Request, order store.Order) (*Master, error) {
	if given, _ := order.Filter["master_url"].(string); given != "" && !p.isSelf(r, given) {
		for i := range p.options.Masters {
			if p.options.Masters[i].URL == given {
				return &p.options.Masters[i], nil
			}
		}
		text := fmt.Sprintf("External SlapOS Master URL %s is not listed in multimaster list.", given)
		p.log.Warn(oneLine(text))
		return nil, &configurationError{text}
	}
	for i := range p.options.Masters {
		if slices.Contains(p.options.Masters[i].Releases, order.SoftwareRelease) {
			return &p.options.Masters[i], nil
		}
	}
	return nil, nil
}

// isSelf reports whether a URL is our own: by the name that the client uses for
// us, else by fetching the run id from it.
func (p *Proxy) isSelf(r *http.Request, given string) bool {
	if given == fmt.Sprintf("http://%s:%s/", r.Host, p.options.Port) {
		return true
	}
	root, err := url.Parse(slap.NormalizeURL(given))
	if err != nil || root.Scheme != "http" && root.Scheme != "https" {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, root.Scheme+"://"+root.Host+"/getRunId", nil)
	if err != nil {
		return false
	}
	answer, err := p.web.Do(ask)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	id, err := io.ReadAll(io.LimitReader(answer.Body, 64))
	return err == nil && answer.StatusCode == http.StatusOK && string(id) == p.runID
}

// forward asks another master for an instance, and notes that it did
// (PROXY-71 to PROXY-75).
func (p *Proxy) forward(ctx context.Context, master *Master, order store.Order, requester store.Requester) (outcome, error) {
	client, err := p.clientOf(master)
	if err != nil {
		return outcome{}, err
	}
	defer client.Close()
	request := order.Request
	request.Reference = requester.ID + "_" + order.Reference
	request.Requester = slap.PartitionID{}
	if master.Computer != "" && master.Partition != "" {
		request.Requester = slap.PartitionID{Computer: master.Computer, Partition: master.Partition}
	} else {
		request.Filter = slap.Dict{}
		maps.Copy(request.Filter, order.Filter)
		request.Filter["source_instance_id"] = request.Reference
	}
	state := string(request.State)
	if state == "" {
		state = "None"
	}
	p.log.Info(oneLine(fmt.Sprintf("Forwarding request of %s (state=%s) to %s ", request.Reference, state, master.URL)))
	instance, err := client.Request(ctx, request)
	if err != nil && !errors.Is(err, slap.ErrNotReady) {
		return outcome{}, err
	}
	if err := p.store.Forwarded(ctx, request.Reference, master.URL, order.State); err != nil {
		return outcome{}, err
	}
	if err != nil {
		return outcome{}, err
	}
	return outcome{partition: forwarded(instance, master, order), requester: requester}, nil
}

func (p *Proxy) clientOf(master *Master) (*slap.Client, error) {
	if strings.HasPrefix(master.URL, "https") && (master.Key == "" || master.Certificate == "") {
		text := fmt.Sprintf("External master %s configuration did not specify key or certificate.", master.URL)
		p.log.Warn(text)
		return nil, &configurationError{text}
	}
	client, err := slap.NewClient(slap.ClientConfig{
		MasterURL: master.URL, CertFile: master.Certificate, KeyFile: master.Key,
		CAFile: p.options.CAFile, Insecure: p.options.Insecure, Home: p.options.Home, Logger: p.log,
	})
	if err != nil {
		return nil, fmt.Errorf("external master %s: %w", master.URL, err)
	}
	return client, nil
}

// forwarded gives the answer of another master the form of PROXY-75.
func forwarded(instance *slap.Instance, master *Master, order store.Order) *slap.Partition {
	partition := instance.AsPartition()
	if partition.Extra == nil {
		partition.Extra = slap.Dict{}
	}
	partition.SoftwareRelease = nil
	partition.Extra["_master_url"] = master.URL
	partition.Extra["_connection_helper"] = nil
	partition.Extra["_hateoas_navigator"] = nil
	partition.Extra["_software_release_document"] = order.SoftwareRelease
	if order.Shared {
		partition.Extra["_synced"] = true
	}
	return partition
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"errors"
	"net/http"

	"slapos/proxy/store"
	"slapos/slap"
)

// outcome is where a request for an instance ended: allocated here, or what
// another master or a short-cut made of it.
type outcome struct {
	instance  *store.Instance
	partition *slap.Partition
	requester store.Requester // of the latter
}

// configurationError says why a request can't be forwarded (PROXY-70).
type configurationError struct{ text string }

func (e *configurationError) Error() string { return e.text }

// request decides who answers (PROXY-61).
func (p *Proxy) request(r *http.Request, order store.Order) (outcome, error) {
	ctx := r.Context()
	// Whatever a node asks for, it asks in the name of a partition.
	order.OnlyPartition = identityOf(r).scope() != nil
	if order.Shared {
		master, err := p.masterFor(r, order)
		if err != nil {
			return outcome{}, p.blameRequester(ctx, order, err)
		}
		if master == nil {
			if partition := frontend(originOf(r), order); partition != nil {
				p.log.Warn("a frontend is answered by its own address", "instance", order.Reference, "frontend", partition.Reference)
				resolved, err := p.store.Resolve(ctx, order)
				return outcome{partition: partition, requester: resolved.Requester}, err
			}
		}
	}
	if p.mayForward(order) {
		resolved, err := p.store.Resolve(ctx, order)
		if err != nil {
			return outcome{}, err
		}
		if !resolved.Allocated {
			master, err := p.masterFor(r, order)
			if err != nil {
				return outcome{}, err
			}
			if master != nil {
				return p.forward(ctx, master, order, resolved.Requester)
			}
		}
	}
	instance, err := p.store.Request(ctx, order)
	var full *store.AllocationError
	if errors.As(err, &full) {
		p.log.Warn(oneLine(full.Reason))
	}
	return outcome{instance: instance}, err
}

// blameRequester prefers an error about the requester, which the original
// looks at first.
func (p *Proxy) blameRequester(ctx context.Context, order store.Order, err error) error {
	if _, worse := p.store.Resolve(ctx, order); worse != nil {
		return worse
	}
	return err
}

// requestComputerPartition is the SLAP face of it (PROXY-60).
func (p *Proxy) requestComputerPartition(w http.ResponseWriter, r *http.Request) error {
	order, err := orderOf(r)
	if err != nil {
		return err
	}
	result, err := p.request(r, order)
	var full *store.AllocationError
	switch {
	case errors.As(err, &full):
		return refuse(http.StatusNotFound, "%s", full.Reason)
	case err != nil:
		return answerFor(err)
	case result.partition != nil:
		return writeMarshalled(w, result.partition)
	}
	return writeMarshalled(w, marshalInstance(result.instance))
}

// answerFor gives a request that can't be forwarded the status of PROXY-60.
func answerFor(err error) error {
	var configuration *configurationError
	switch {
	case errors.As(err, &configuration):
		return refuse(http.StatusNotFound, "%s", configuration.text)
	case errors.Is(err, slap.ErrNotReady):
		return refuse(http.StatusRequestTimeout, "Resource not ready")
	case errors.Is(err, slap.ErrConnection):
		return refuse(statusUnreachable, "%s", err.Error())
	}
	return err
}

// unlessUnknown forgives an instance that the store doesn't know: both
// protocols call what can't be done to it a success (PROXY-41, PROXY-42,
// PROXY-120 to PROXY-122).
func unlessUnknown(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

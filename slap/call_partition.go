// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"fmt"
	"net/http"
)

// Partition fetches a partition (registerComputerPartition).
func (c *Client) Partition(ctx context.Context, id PartitionID) (*Partition, error) {
	if id.Computer == "" || id.Partition == "" {
		return nil, notFound("partition %q of computer %q: a name is missing", id.Partition, id.Computer) // SLAP-41
	}
	return fetch[*Partition](ctx, c, call{path: "registerComputerPartition", query: Form{
		{"computer_reference", id.Computer},
		{"computer_partition_reference", id.Partition},
	}})
}

// Request requests an instance (requestComputerPartition). ErrNotReady means
// that the Master accepted the request but has not placed the instance yet: ask
// again later.
func (c *Client) Request(ctx context.Context, r Request) (*Instance, error) {
	form, err := r.Form()
	if err != nil {
		return nil, err
	}
	answer, err := c.do(ctx, call{
		method: http.MethodPost, path: "requestComputerPartition", body: form, partition: r.Requester,
	})
	if err != nil {
		return nil, err
	}
	v, err := Unmarshal(answer)
	if err != nil {
		return nil, c.answerError(call{path: "requestComputerPartition"}, err)
	}
	switch v := v.(type) {
	case *Instance:
		return v, nil
	case *Partition: // a proxy that forwards requests (PROXY-75)
		return v.AsInstance(), nil
	}
	return nil, c.answerError(call{path: "requestComputerPartition"}, fmt.Errorf("%s where an instance belongs", kindName(v)))
}

// Complete fetches what the answer to a request for a shared instance lacks:
// state, GUID, and missing parameters, all of them the host's (SLAP-57).
func (c *Client) Complete(ctx context.Context, i *Instance) error {
	if i.RequestedState != "" && i.GUID != "" && i.Parameters != nil && i.ConnectionParameters != nil {
		return nil
	}
	host, err := c.Partition(ctx, i.ID())
	if err != nil {
		return err
	}
	i.RequestedState, i.GUID = host.RequestedState, host.InstanceGUID
	if i.Parameters == nil {
		i.Parameters = host.Parameters
	}
	if i.ConnectionParameters == nil {
		i.ConnectionParameters = host.ConnectionParameters
	}
	if i.SoftwareReleaseURL == "" && host.SoftwareRelease != nil {
		i.SoftwareReleaseURL = host.SoftwareRelease.URL
	}
	return nil
}

// SetConnection publishes the connection parameters of the instance in a
// partition, or of the shared instance slaveReference that it hosts
// (setComputerPartitionConnectionXml). It always posts (SLAP-55).
func (c *Client) SetConnection(ctx context.Context, id PartitionID, parameters Dict, slaveReference string) error {
	xml, err := marshalText(orEmpty(parameters))
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", id.Partition, err)
	}
	if slaveReference == "" {
		slaveReference = "None" // SLAP-4
	}
	return c.report(ctx, "setComputerPartitionConnectionXml", id,
		Field{"connection_xml", xml}, Field{"slave_reference", slaveReference})
}

// Started reports that the instance was started.
func (c *Client) Started(ctx context.Context, id PartitionID) error {
	return c.report(ctx, "startedComputerPartition", id)
}

// Stopped reports that the instance was stopped.
func (c *Client) Stopped(ctx context.Context, id PartitionID) error {
	return c.report(ctx, "stoppedComputerPartition", id)
}

// Destroyed reports that the instance is gone and the partition free.
func (c *Client) Destroyed(ctx context.Context, id PartitionID) error {
	return c.report(ctx, "destroyedComputerPartition", id)
}

// InstanceError reports what went wrong with an instance. If the report itself
// fails, the caller logs that and goes on (SLAP-46).
func (c *Client) InstanceError(ctx context.Context, id PartitionID, text string) error {
	return c.report(ctx, "softwareInstanceError", id, Field{"error_log", text})
}

// SharedInstanceError is [Client.InstanceError] for a shared instance that the
// partition hosts.
func (c *Client) SharedInstanceError(ctx context.Context, id PartitionID, slaveReference, text string) error {
	return c.report(ctx, "softwareInstanceError", id,
		Field{"error_log", text}, Field{"slave_reference", slaveReference})
}

// InstanceBang asks the Master to have the instance processed again (SLAP-61).
func (c *Client) InstanceBang(ctx context.Context, id PartitionID, message string) error {
	return c.report(ctx, "softwareInstanceBang", id, Field{"message", message})
}

// Rename renames the instance in a partition or, unless slaveReference is
// empty, the shared instance that it hosts.
func (c *Client) Rename(ctx context.Context, id PartitionID, name, slaveReference string) error {
	fields := []Field{{"new_name", name}}
	if slaveReference != "" {
		fields = append(fields, Field{"slave_reference", slaveReference})
	}
	return c.report(ctx, "softwareInstanceRename", id, fields...)
}

// Certificate fetches the certificate and the key of an instance, both PEM.
func (c *Client) Certificate(ctx context.Context, id PartitionID) (certificate, key string, err error) {
	d, err := fetch[Dict](ctx, c, call{
		path: "getComputerPartitionCertificate", query: id.fields(), most: maxConfirmation,
	})
	return text(d, "certificate"), text(d, "key"), err
}

// IPList fetches the addresses of all instances in the tree that the
// partition's instance belongs to (getHostingSubscriptionIpList).
func (c *Client) IPList(ctx context.Context, id PartitionID) ([]Address, error) {
	list, err := fetch[[]any](ctx, c, call{path: "getHostingSubscriptionIpList", query: id.fields()})
	return addresses(list), err
}

// RelatedInstances tells the Master which instances a partition requests
// (updateComputerPartitionRelatedInstanceList), so that others may be removed.
func (c *Client) RelatedInstances(ctx context.Context, id PartitionID, references []string) error {
	xml, err := marshalText(anySlice(references))
	if err != nil {
		return fmt.Errorf("instances requested by %s: %w", id.Partition, err)
	}
	return c.report(ctx, "updateComputerPartitionRelatedInstanceList", id, Field{"instance_reference_xml", xml})
}

// PartitionStatus fetches getComputerPartitionStatus, which the original has
// but does not use.
func (c *Client) PartitionStatus(ctx context.Context, id PartitionID) (Dict, error) {
	return fetch[Dict](ctx, c, call{path: "getComputerPartitionStatus", query: id.fields()})
}

func (id PartitionID) fields() Form {
	return Form{{"computer_id", id.Computer}, {"computer_partition_id", id.Partition}}
}

// report makes a call about a partition, in its name.
func (c *Client) report(ctx context.Context, path string, id PartitionID, more ...Field) error {
	if id.Partition == "" {
		return &kindError{ErrNotReady, path + ": the partition has no name yet"} // SLAP-44, getId
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: path, body: append(id.fields(), more...), partition: id,
		most: maxConfirmation,
	})
	return err
}

// fetch makes a call whose answer is a value of type T.
func fetch[T any](ctx context.Context, c *Client, call call) (T, error) {
	var zero T
	if call.method == "" {
		call.method = http.MethodGet
	}
	answer, err := c.do(ctx, call)
	if err != nil {
		return zero, err
	}
	v, err := Unmarshal(answer)
	if err != nil {
		return zero, c.answerError(call, err)
	}
	t, ok := v.(T)
	if !ok {
		return zero, c.answerError(call, fmt.Errorf("%s where %s belongs", kindName(v), kindName(any(zero))))
	}
	return t, nil
}

// answerError says which answer can't be read, and whose it is.
func (c *Client) answerError(call call, err error) error {
	return fmt.Errorf("answer of %s to %s: %w", server(c.master), call.path, err)
}

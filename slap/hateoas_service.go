// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// The queries of SLAP-73. Values are not escaped, as in the original.
const (
	queryServices      = `portal_type:"Instance Tree" AND validation_state:validated`
	queryComputers     = `portal_type:"Compute Node" AND validation_state:validated`
	queryInstances     = `portal_type:("Software Instance", "Slave Instance") AND validation_state:validated`
	queryInstallations = `portal_type:"Software Installation" AND validation_state:validated`
)

// noNews is the Master's text for missing news (SLAP-77).
const noNews = "#error no data found"

// Service is a row of the list of services.
type Service struct {
	Title              string
	SoftwareReleaseURL string
}

// Services lists the user's services, in the Master's order. Of several with
// the same title, the last counts.
func (h *Hateoas) Services(ctx context.Context) ([]Service, error) {
	rows, err := h.Search(ctx, queryServices, "title", "url_string")
	if err != nil {
		return nil, err
	}
	var services []Service
	for _, row := range rows {
		s := Service{row.Text("title"), row.Text("url_string")}
		i := slices.IndexFunc(services, func(o Service) bool { return o.Title == s.Title })
		if i >= 0 {
			services[i] = s
		} else {
			services = append(services, s)
		}
	}
	return services, nil
}

// ServiceInformation is what a Master knows about a service (SLAP-75).
type ServiceInformation struct {
	*Document
	SoftwareReleaseURL string // url_string
	SoftwareType       string // source_reference
	Shared             bool   // root_slave
	RequestedState     string // slap_state
	// Parameters are those of text_content. If "_" is the only one, its value
	// is parsed as JSON, or stays text if it isn't JSON.
	Parameters Dict
	// ConnectionParameters are read from either form of connection_parameter_list.
	ConnectionParameters Dict
	// News is the JSON list of the instances' messages, nil if the Master has
	// none (the member "instance" of the field news).
	News json.RawMessage
}

// Service fetches a service by its title. If there is none, the error matches
// ErrNotFound.
func (h *Hateoas) Service(ctx context.Context, title string) (*ServiceInformation, error) {
	query := queryServices + fmt.Sprintf(` AND title:="%s"`, title)
	d, err := h.one(ctx, query, "title", title, "This document does not exist.")
	if err != nil {
		return nil, err
	}
	info, err := serviceInformation(d)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", title, err)
	}
	return info, nil
}

func serviceInformation(d *Document) (*ServiceInformation, error) {
	info := &ServiceInformation{
		Document:           d,
		SoftwareReleaseURL: d.Text("url_string"),
		SoftwareType:       d.Text("source_reference"),
		Shared:             isTrue(d.Fields["root_slave"]),
		RequestedState:     d.Text("slap_state"),
	}
	var err error
	if info.Parameters, err = DecodeInstance([]byte(d.Text("text_content"))); err != nil {
		return nil, err
	}
	if inner, ok := info.Parameters["_"].(string); ok && len(info.Parameters) == 1 {
		var value any
		if json.Unmarshal([]byte(inner), &value) == nil {
			info.Parameters["_"] = value
		}
	}
	if info.ConnectionParameters, err = connectionParameters(d.Fields["connection_parameter_list"]); err != nil {
		return nil, err
	}
	var news struct {
		Instance json.RawMessage `json:"instance"`
	}
	if json.Unmarshal(d.Fields["news"], &news) == nil {
		info.News = news.Instance
	}
	return info, nil
}

// connectionParameters reads a Master's list of keys and values, or a proxy's
// <instance> document.
func connectionParameters(raw json.RawMessage) (Dict, error) {
	if len(raw) == 0 || raw[0] != '[' {
		return DecodeInstance([]byte(jsonText(raw)))
	}
	var list []struct {
		Key   string `json:"connection_key"`
		Value any    `json:"connection_value"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("connection parameters: %w", err)
	}
	d := Dict{}
	for _, item := range list {
		d[item.Key] = item.Value
	}
	return d, nil
}

// isTrue reports whether Python takes a field's value for true.
func isTrue(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	switch string(raw) {
	case "", "null", "false", "0", "0.0", `""`, "[]", "{}":
		return false
	}
	return true
}

// one follows the only row with the given value in a column (SLAP-74).
func (h *Hateoas) one(ctx context.Context, query, column, value, missing string) (*Document, error) {
	rows, err := h.Search(ctx, query, column, "relative_url")
	if err != nil {
		return nil, err
	}
	if len(rows) > 1 {
		return nil, fmt.Errorf("the Master knows %d documents of %s %q", len(rows), column, value)
	}
	if len(rows) == 0 || rows[0].Text(column) != value {
		return nil, notFound("%s", missing)
	}
	return h.Document(ctx, rows[0].Text("relative_url"))
}

// Instances lists the instances in the tree of a service, with all columns of
// SLAP-73.
func (h *Hateoas) Instances(ctx context.Context, title string) ([]Row, error) {
	return h.Search(ctx, queryInstances+fmt.Sprintf(` AND default_specialise_title:="%s"`, title),
		"uid", "title", "relative_url", "portal_type", "url_string", "text_content",
		"getConnectionXmlAsDict", "SoftwareInstance_getNewsDict")
}

// Installations lists the software installations of a computer, or of all
// computers if reference is empty.
func (h *Hateoas) Installations(ctx context.Context, computer string) ([]Row, error) {
	query := queryInstallations
	if computer != "" {
		query += fmt.Sprintf(` AND default_aggregate_reference:="%s"`, computer)
	}
	return h.Search(ctx, query, "uid", "relative_url", "url_string", "SoftwareInstallation_getNewsDict")
}

// ComputerSummary is a row of the list of computers, with news.
type ComputerSummary struct {
	Title     string
	Reference string
}

// Computers lists the user's computers, in the Master's order. Of several with
// the same title, the last counts.
func (h *Hateoas) Computers(ctx context.Context) ([]ComputerSummary, error) {
	rows, err := h.Search(ctx, queryComputers, "title", "reference")
	if err != nil {
		return nil, err
	}
	var computers []ComputerSummary
	for _, row := range rows {
		c := ComputerSummary{row.Text("title"), row.Text("reference")}
		i := slices.IndexFunc(computers, func(o ComputerSummary) bool { return o.Title == c.Title })
		if i >= 0 {
			computers[i] = c
		} else {
			computers = append(computers, c)
		}
	}
	return computers, nil
}

// ComputerInformation is what a Master knows about a computer.
type ComputerInformation struct {
	*Document
	ComputerSummary
	// News of the computer and of its partitions, by reference.
	News          string
	PartitionNews map[string]string
}

// Computer fetches a computer by its reference. If there is none, the error
// matches ErrNotFound.
func (h *Hateoas) Computer(ctx context.Context, reference string) (*ComputerInformation, error) {
	query := queryComputers + fmt.Sprintf(` AND reference:="%s"`, reference)
	d, err := h.one(ctx, query, "reference", reference, "This computer does not exist.")
	if err != nil {
		return nil, err
	}
	info := &ComputerInformation{
		Document:        d,
		ComputerSummary: ComputerSummary{d.Text("title"), d.Text("reference")},
		PartitionNews:   map[string]string{},
	}
	var news struct {
		Computer  newsItem            `json:"computer"`
		Partition map[string]newsItem `json:"partition"`
	}
	if json.Unmarshal(d.Fields["news"], &news) == nil {
		info.News = news.Computer.Text
		for name, item := range news.Partition {
			info.PartitionNews[name] = item.Text
		}
	}
	return info, nil
}

type newsItem struct {
	Text string `json:"text"`
}

// ComputerNews fetches the last message about a computer (SLAP-77).
func (h *Hateoas) ComputerNews(ctx context.Context, computer string) (string, error) {
	info, err := h.Computer(ctx, computer)
	if err != nil {
		return "", err
	}
	return info.News, nil
}

// PartitionNews fetches the last message about a partition, or a text that says
// there is none.
func (h *Hateoas) PartitionNews(ctx context.Context, id PartitionID) (string, error) {
	info, err := h.Computer(ctx, id.Computer)
	if err != nil {
		return "", err
	}
	if text, ok := info.PartitionNews[id.Partition]; ok {
		return text, nil
	}
	return noNews, nil
}

// InstallationNews fetches the last message about a release on a computer, or a
// text that says there is none.
func (h *Hateoas) InstallationNews(ctx context.Context, computer, url string) (string, error) {
	rows, err := h.Installations(ctx, computer)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		var news newsItem
		if row.Text("url_string") == url && json.Unmarshal(row["SoftwareInstallation_getNewsDict"], &news) == nil {
			return news.Text, nil
		}
	}
	return noNews, nil
}

// Token fetches a token for registering a computer (SLAP-76).
func (h *Hateoas) Token(ctx context.Context) (string, error) {
	root, err := h.links(ctx)
	if err != nil {
		return "", err
	}
	if root.Links.Self.Href == "" {
		return "", fmt.Errorf("%s offers none: the computers of a local master need none", h.root)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := h.get(ctx, call{path: root.Links.Self.Href + "/computer_module/Base_getComputerToken"}, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", fmt.Errorf("%s: the Master gave no token", h.root)
	}
	return answer.Token, nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"net/http"
	"slices"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// rules says of each path who may use it, beside the owner and administrators. A
// path without a rule is theirs alone, and fails TestRules.
//
// Users request, supply and look at everything. Read-only ones look at what has no
// parameters, no connection parameters and no logs in it: those have secrets
// (JOIN-21). Nodes and partitions act for themselves.
func rules() map[string]rule {
	all := map[string]rule{
		"/":               {user: true, reader: onlyReads},
		"/getRunId":       {open: true},
		"/healthz":        {open: true},
		"/readyz":         {open: true},
		"/version":        {member: true},
		"/openapi.json":   {member: true},
		"/metrics":        {user: true, reader: onlyReads},
		"/hateoas":        {user: true, reader: onlyReads},
		"/hateoas/...":    {user: true, reader: readsComputers},
		"/panel":          {user: true, reader: onlyReads},
		"/panel/...":      {user: true, reader: readsPanel},
		"/http_proxy/...": {user: true},
		"/shacache/...":   {user: true, reader: onlyReads, form: downloads},
		joinPath:          {open: true},
		renewPath:         {member: true},
		leavePath:         {member: true},
	}
	for _, some := range []map[string]rule{slapRules(), nodeMethodRules(), instanceMethodRules()} {
		for path, r := range some {
			all[path] = r
		}
	}
	return all
}

// slapRules are those of the SLAP protocol.
func slapRules() map[string]rule {
	computer := rule{form: ofComputer("computer_id")}
	partition := rule{form: ofPartition("computer_id", "computer_partition_id")}
	usersToo := func(r rule) rule {
		r.user = true
		return r
	}
	anything := func(*scoped, fields) error { return nil }
	return map[string]rule{
		"/getFullComputerInformation":       usersToo(computer),
		"/getComputerInformation":           usersToo(computer),
		"/registerComputerPartition":        {user: true, form: ofPartition("computer_reference", "computer_partition_reference")},
		"/loadComputerConfigurationFromXML": {form: ofDescription},
		"/supplySupply":                     {user: true},
		"/destroyedSoftwareRelease":         computer,
		"/buildingSoftwareRelease":          computer,
		"/availableSoftwareRelease":         computer,
		"/softwareReleaseError":             computer,
		"/softwareInstanceError":            partition,
		"/startedComputerPartition":         partition,
		"/stoppedComputerPartition":         partition,
		"/useComputer":                      computer,
		"/computerBang":                     usersToo(computer),
		"/getComputerPartitionStatus":       {user: true, reader: onlyReads, form: anything},
		"/getComputerPartitionCertificate":  {form: ofNode("computer_id")},

		"/getSoftwareReleaseListFromSoftwareProduct": {user: true, reader: onlyReads, form: anything},

		"/requestComputerPartition":                   {user: true, form: ofRequester},
		"/setComputerPartitionConnectionXml":          {form: ofPublisher},
		"/softwareInstanceBang":                       usersToo(partition),
		"/updateComputerPartitionRelatedInstanceList": partition,
		"/softwareInstanceRename":                     {user: true},
		"/destroyedComputerPartition":                 {form: ofNode("computer_id")},
	}
}

// nodeMethodRules are those of the methods of JSON-RPC about computers.
func nodeMethodRules() map[string]rule {
	nodes := func(s *scoped, in slap.Dict) error { return s.own(text(in, "computer_guid")) }
	partition := func(s *scoped, in slap.Dict) error {
		return s.ownPartition(slap.PartitionID{Computer: text(in, "computer_guid"), Partition: text(in, "compute_partition_id")})
	}
	anything := func(*scoped, slap.Dict) error { return nil }
	return map[string]rule{
		"/slapos.get.v0.hateoas_url":                    {user: true, reader: anyRequest, input: anything},
		"/slapos.post.v0.compute_node_certificate":      {input: nodes},
		"/slapos.remove.v0.compute_node_certificate":    {input: nodes},
		"/slapos.post.v0.compute_node_usage":            {input: nodes},
		"/slapos.get.v0.compute_node_status":            {user: true, reader: anyRequest, input: nodes},
		"/slapos.post.v0.software_installation":         {user: true},
		"/slapos.put.v0.software_installation_error":    {input: nodes},
		"/slapos.allDocs.v0.compute_node_instance_list": {user: true, reader: anyRequest, input: nodes},
		"/slapos.put.v0.compute_node_bang":              {user: true, input: nodes},
		"/slapos.put.v0.compute_node_format":            {input: nodes},
		"/slapos.allDocs.WIP.compute_node_list":         {user: true, reader: anyRequest},
		"/slapos.get.v0.compute_partition":              {user: true, input: partition},
		"/slapos.get.v1.status":                         {user: true, reader: anyRequest},
		"/slapos.get.v1.software_installation_status":   {user: true, reader: anyRequest, input: nodes},
		"/slapos.put.v1.software_instance_promise_list": {input: partition},

		"/slapos.allDocs.v0.compute_node_software_installation_list": {user: true, reader: anyRequest, input: nodes},
		"/slapos.put.v0.software_installation_reported_state":        {input: nodes},
	}
}

// instanceMethodRules are those of the methods about instances, which are known by
// their names.
func instanceMethodRules() map[string]rule {
	named := func(s *scoped, in slap.Dict) error {
		name, err := nameOf(in)
		if err != nil {
			return err
		}
		return s.ownNamed(name)
	}
	nodeNamed := func(s *scoped, in slap.Dict) error {
		if s.partition != "" {
			return s.refuses("act for the whole node")
		}
		return named(s, in)
	}
	return map[string]rule{
		"/slapos.get.v0.software_instance_certificate": {input: nodeNamed},
		"/slapos.allDocs.v0.instance_tree_list":        {user: true, reader: anyRequest},
		"/slapos.get.v0.instance_tree":                 {user: true},
		"/slapos.get.v0.software_instance":             {user: true, input: named},
		"/slapos.post.v0.software_instance": {user: true, input: func(s *scoped, _ slap.Dict) error {
			return s.requester(authorization(s.r), slap.PartitionID{})
		}},
		"/slapos.put.v0.software_instance_bang":                 {user: true, input: named},
		"/slapos.put.v0.software_instance_title":                {user: true},
		"/slapos.put.v0.software_instance_error":                {input: named},
		"/slapos.allDocs.v0.instance_node_instance_list":        {user: true, input: named},
		"/slapos.put.v0.software_instance_reported_state":       {input: nodeNamed},
		"/slapos.get.v1.software_instance_status":               {user: true, reader: anyRequest, input: named},
		"/slapos.allDocs.v1.event_list":                         {user: true, reader: anyRequest},
		"/slapos.get.v1.event_log":                              {user: true},
		"/slapos.put.v0.software_instance_connection_parameter": {input: named},
	}
}

func anyRequest(*http.Request) bool { return true }

// readsComputers is what HATEOAS tells without parameters: which computers there are.
func readsComputers(r *http.Request) bool {
	path := strings.TrimPrefix(r.URL.Path, "/hateoas/")
	query := queryOf(r)
	asked := query.get("query")
	return onlyReads(r) && (path == "" && (!query.has("mode") || query.get("mode") == "search" && strings.HasPrefix(asked, queryNodes)) ||
		strings.HasPrefix(path, "computers/"))
}

// panelForReaders are the pages of the panel without parameters and logs.
var panelForReaders = []string{"", "nodes", "node", "computer", "instances", "software", "release", "events"}

func readsPanel(r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, "/panel/")
	return onlyReads(r) && (slices.Contains(panelForReaders, name) || strings.HasPrefix(name, "static/"))
}

// downloads is what nodes may of the cache.
func downloads(s *scoped, _ fields) error {
	if !onlyReads(s.r) {
		return s.refuses("upload to the cache")
	}
	return nil
}

func ofComputer(field string) func(*scoped, fields) error {
	return func(s *scoped, f fields) error { return s.own(f.get(field)) }
}

// ofNode is for the node alone, whatever its partition.
func ofNode(field string) func(*scoped, fields) error { return ofComputer(field) }

func ofPartition(computer, partition string) func(*scoped, fields) error {
	return func(s *scoped, f fields) error {
		return s.ownPartition(slap.PartitionID{Computer: f.get(computer), Partition: f.get(partition)})
	}
}

func ofRequester(s *scoped, f fields) error {
	return s.requester(authorization(s.r), slap.PartitionID{Computer: f.get("computer_id"), Partition: f.get("computer_partition_id")})
}

// ofDescription lets a node format itself.
func ofDescription(s *scoped, f fields) error {
	description, err := parseDescription([]byte(f.get("xml")))
	if err != nil {
		return refuse(http.StatusBadRequest, "The description of the computer can't be read.")
	}
	return s.own(description.Reference)
}

// ofPublisher is ofPartition; a shared instance, which is known by a name that is
// not of one computer, must be here.
func ofPublisher(s *scoped, f fields) error {
	id := slap.PartitionID{Computer: f.get("computer_id"), Partition: f.get("computer_partition_id")}
	if err := s.ownPartition(id); err != nil {
		return err
	}
	if reference := f.get("slave_reference"); reference != "" && reference != "None" {
		return s.ownNamed(store.Reference{Text: reference, Host: id.Partition})
	}
	return nil
}

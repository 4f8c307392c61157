// SPDX-License-Identifier: GPL-3.0-or-later

package panel

import (
	"net/http"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// overviewPage is the first page.
type overviewPage struct {
	Computers []computerLine
	Instances []instanceLine
	// Search narrows the instances down.
	Search string
}

// finder is the field to find instances with, on the page of a computer that
// of its id.
type finder struct{ ID, Search string }

func (p overviewPage) Finder() finder { return finder{Search: p.Search} }
func (p computerPage) Finder() finder { return finder{p.Computer, p.Search} }

// computerLine is a computer in a list.
type computerLine struct {
	store.Computer
	Instances, Free, Software int
}

// instanceLine is an instance in a list.
type instanceLine struct {
	store.Name
	State           string
	SoftwareType    string
	SoftwareRelease string
	At              slap.PartitionID
	Addresses       []slap.Address
}

func (p *Panel) overview(w http.ResponseWriter, r *http.Request) error {
	page := overviewPage{Search: r.URL.Query().Get("q")}
	computers, err := p.store.Computers(r.Context())
	if err != nil {
		return err
	}
	counts, err := p.store.Statistics(r.Context())
	if err != nil {
		return err
	}
	for _, computer := range computers {
		line := computerLine{Computer: computer}
		for _, count := range counts {
			switch {
			case count.Computer != computer.Reference:
			case count.State == "free":
				line.Free += int(count.Count)
			default:
				line.Instances += int(count.Count)
			}
		}
		software, err := p.store.Software(r.Context(), computer.Reference)
		if err != nil {
			return err
		}
		line.Software = len(software)
		page.Computers = append(page.Computers, line)
	}
	roots, err := p.store.List(r.Context(), store.Roots())
	if err != nil {
		return err
	}
	page.Instances = search(instanceLines(roots), page.Search)
	return p.show(w, r, http.StatusOK, "overview.html", view{Title: "Overview", Page: page})
}

// instanceLines lists instances. Shared ones that were destroyed are known for
// ever, and not shown.
func instanceLines(instances []*store.Instance) []instanceLine {
	var lines []instanceLine
	for _, i := range instances {
		switch {
		case !i.Shared:
			lines = append(lines, lineOf(i.Partition))
		case i.Hosted():
			lines = append(lines, instanceLine{Name: i.Name, State: i.State, SoftwareType: i.SoftwareType,
				SoftwareRelease: i.Partition.SoftwareRelease, At: i.Partition.ID})
		}
	}
	return lines
}

// partitionLines lists the instances in partitions.
func partitionLines(partitions []*store.Partition) []instanceLine {
	var lines []instanceLine
	for _, partition := range partitions {
		if partition.Busy {
			lines = append(lines, lineOf(partition))
		}
	}
	return lines
}

func lineOf(p *store.Partition) instanceLine {
	return instanceLine{Name: p.Name(), State: p.State, SoftwareType: p.SoftwareType, SoftwareRelease: p.SoftwareRelease,
		At: p.ID, Addresses: p.Addresses}
}

// search keeps the instances that hold all words somewhere.
func search(lines []instanceLine, text string) []instanceLine {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 {
		return lines
	}
	var kept []instanceLine
	for _, line := range lines {
		all := strings.ToLower(strings.Join([]string{line.Title, line.Root, line.State, line.SoftwareType, line.SoftwareRelease,
			line.At.Computer, line.At.Partition}, " "))
		found := true
		for _, word := range words {
			found = found && strings.Contains(all, word)
		}
		if found {
			kept = append(kept, line)
		}
	}
	return kept
}

// computerPage is all of a computer.
type computerPage struct {
	*store.Node
	Address   string
	Instances []instanceLine
	Free      int
	Search    string
	Usage     []usageReport
}

func (p *Panel) computer(w http.ResponseWriter, r *http.Request) error {
	reference := r.URL.Query().Get("id")
	node, err := p.store.Node(r.Context(), reference)
	if err != nil {
		return missing(err)
	}
	page := computerPage{Node: node, Search: r.URL.Query().Get("q")}
	computers, err := p.store.Computers(r.Context())
	if err != nil {
		return err
	}
	for _, computer := range computers {
		if computer.Reference == reference && computer.Address != nil {
			page.Address = *computer.Address
		}
	}
	for _, partition := range node.Partitions {
		if !partition.Busy {
			page.Free++
		}
	}
	page.Instances = search(partitionLines(node.Partitions), page.Search)
	reports, err := p.store.Usage(r.Context(), reference, shownReports)
	if err != nil {
		return err
	}
	for _, report := range reports {
		page.Usage = append(page.Usage, usageOf(report))
	}
	return p.show(w, r, http.StatusOK, "computer.html", view{Title: "Computer " + reference, Page: page})
}

// instancePage is all of an instance.
type instancePage struct {
	*store.Instance
	Values, Parameters []value
	Hosted             []*store.Instance
	Tree               []instanceLine
	// Own is true for a root, whose state is ours to choose: that of others
	// is their requester's.
	Own bool
}

func (p *Panel) instance(w http.ResponseWriter, r *http.Request) error {
	name := nameOf(r.URL.Query())
	instance, err := p.store.Instance(r.Context(), name)
	if err != nil {
		return missing(err)
	}
	page := instancePage{Instance: instance, Values: valuesOf(instance.Connection), Parameters: valuesOf(instance.Parameters), Own: name.Root == ""}
	if !name.Shared {
		if page.Hosted, err = p.store.List(r.Context(), store.HostedBy(name)); err != nil {
			return missing(err)
		}
		if name.Root == "" {
			tree, err := p.store.List(r.Context(), store.InTree(name.Title))
			if err != nil {
				return err
			}
			page.Tree = instanceLines(tree)
		}
	}
	return p.show(w, r, http.StatusOK, "instance.html", view{Title: "Instance " + name.Title, Page: page})
}

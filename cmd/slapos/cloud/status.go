// SPDX-License-Identifier: GPL-3.0-or-later

package cloud

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"slapos/grid/agent"
	"slapos/grid/supervisor"
	"slapos/slap"
)

// Status is what slapos standalone status --json prints.
type Status struct {
	Root      string           `json:"root"`
	Running   bool             `json:"running"`
	Master    string           `json:"master,omitempty"` // its address
	Programs  []ProgramStatus  `json:"programs"`
	Releases  []ReleaseStatus  `json:"releases"`
	Instances []InstanceStatus `json:"instances"`
	// Failing are the releases and partitions that the agent couldn't bring to the
	// state that is wanted.
	Failing []FailingStatus `json:"failing"`
	Free    int             `json:"free_partitions"`
}

type ProgramStatus struct {
	Name  string `json:"name"`
	State string `json:"state"` // of the supervisor
	Exit  int    `json:"exit_code"`
}

type FailingStatus struct {
	Name  string `json:"name"`
	Error string `json:"error"`
}

type ReleaseStatus struct {
	URL   string `json:"url"`
	State string `json:"state"` // installed, wanted or unwanted
}

type InstanceStatus struct {
	Partition string          `json:"partition"`
	State     string          `json:"state"` // that is requested
	URL       string          `json:"url"`
	Services  []ProgramStatus `json:"services"`
}

// Status looks at the cloud, which runs if its supervisor answers.
func (c *Cloud) Status(ctx context.Context) (*Status, error) {
	status := &Status{Root: c.options.Root, Programs: []ProgramStatus{}, Releases: []ReleaseStatus{}, Instances: []InstanceStatus{}, Failing: []FailingStatus{}}
	client := c.system()
	defer client.Close()
	programs, err := client.AllProcessInfo(ctx)
	if err != nil {
		return status, nil // it does not run
	}
	status.Running, status.Master = true, c.MasterURL()
	for _, p := range programs {
		if !strings.HasPrefix(p.Name, passPrefix) || p.State != 0 { // those that somebody started
			status.Programs = append(status.Programs, ProgramStatus{Name: p.Name, State: p.Statename, Exit: p.Exitstatus})
		}
	}
	token, err := slap.ReadToken(c.Settings.TokenFile)
	if err != nil {
		return nil, err
	}
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: c.MasterURL(), Token: token, Home: c.options.Root, Logger: c.options.Logger})
	if err != nil {
		return nil, err
	}
	defer master.Close()
	computer, err := master.FullComputerInformation(ctx, Computer)
	if err != nil {
		return nil, fmt.Errorf("the master at %s: %w", c.MasterURL(), err)
	}
	for _, r := range computer.SoftwareReleases {
		status.Releases = append(status.Releases, c.releaseStatus(r))
	}
	status.Failing = append(status.Failing, c.failing(ctx)...)
	services := c.serviceStatus(ctx)
	for _, p := range computer.Partitions {
		if p.SoftwareRelease == nil {
			status.Free++
			continue
		}
		status.Instances = append(status.Instances, InstanceStatus{
			Partition: p.Reference, State: string(p.RequestedState), URL: p.SoftwareRelease.URL, Services: append([]ProgramStatus{}, services[p.Reference]...),
		})
	}
	return status, nil
}

// failing asks the agent, as far as it answers.
func (c *Cloud) failing(ctx context.Context) (failing []FailingStatus) {
	told, err := agent.Ask(ctx, c.Path("inst"))
	if err != nil {
		return nil
	}
	for _, t := range told.Tasks {
		if t.Error != "" {
			failing = append(failing, FailingStatus{t.Name, t.Error})
		}
	}
	return failing
}

func (c *Cloud) releaseStatus(r *slap.SoftwareRelease) ReleaseStatus {
	sum := md5.Sum([]byte(r.URL))
	_, err := os.Stat(c.Path("soft/" + hex.EncodeToString(sum[:]) + "/.completed"))
	switch {
	case r.RequestedState == slap.StateDestroyed:
		return ReleaseStatus{URL: r.URL, State: "unwanted"}
	case err != nil:
		return ReleaseStatus{URL: r.URL, State: "wanted"}
	}
	return ReleaseStatus{URL: r.URL, State: "installed"}
}

// serviceStatus lists the services of partitions, as far as their supervisor
// knows them.
func (c *Cloud) serviceStatus(ctx context.Context) map[string][]ProgramStatus {
	client := supervisor.NewClient(c.services().Socket())
	defer client.Close()
	all, err := client.AllProcessInfo(ctx)
	if err != nil {
		return nil
	}
	services := map[string][]ProgramStatus{}
	for _, p := range all {
		services[p.Group] = append(services[p.Group], ProgramStatus{Name: p.Name, State: p.Statename, Exit: p.Exitstatus})
	}
	return services
}

// Text is the status for people.
func (status *Status) Text() string {
	if !status.Running {
		return fmt.Sprintf("Nothing is running in %s.\n", status.Root)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Cloud in %s, master %s\n\n", status.Root, status.Master)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range status.Programs {
		fmt.Fprintf(w, "%s\t%s\n", p.Name, p.text())
	}
	fmt.Fprintln(w)
	for _, r := range status.Releases {
		fmt.Fprintf(w, "release\t%s\t%s\n", r.State, r.URL)
	}
	for _, i := range status.Instances {
		running, total := 0, 0
		var other []string
		for _, p := range i.Services {
			total++
			if p.State == "RUNNING" {
				running++
			} else {
				other = append(other, p.Name+" "+p.text())
			}
		}
		services := fmt.Sprintf("%d of %d services run", running, total)
		if len(other) > 0 {
			services += " (" + strings.Join(other, ", ") + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Partition, i.State, i.URL, services)
	}
	for _, f := range status.Failing {
		line, _, _ := strings.Cut(f.Error, "\n")
		fmt.Fprintf(w, "failing\t%s\t%s\n", f.Name, line)
	}
	w.Flush()
	if status.Free == 1 {
		b.WriteString("1 partition is free.\n")
	} else {
		fmt.Fprintf(&b, "%d partitions are free.\n", status.Free)
	}
	return b.String()
}

func (p ProgramStatus) text() string {
	switch {
	case p.State == "STOPPED":
		return "not run yet"
	case p.State != "EXITED":
		return strings.ToLower(p.State)
	case p.Exit == 0:
		return "done"
	}
	return fmt.Sprintf("failed with exit code %d", p.Exit)
}

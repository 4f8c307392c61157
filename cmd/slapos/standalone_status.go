// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"slapos/grid/supervisor"
	"slapos/slap"
)

func newStandaloneStatusCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show what your cloud does",
		Description: `Shows the cloud's own programs, the releases, and the instances with their
services.

Exit codes: 0 it runs; 1 failed; 3 nothing runs.`,
		Flags: []cli.Flag{rootFlag(), jsonFlag("print JSON")},
		Action: func(c *cli.Context) error {
			s, err := e.newStandalone(c)
			if err != nil {
				return err
			}
			return s.tellStatus(c.Context, c.Bool("json"))
		},
	}
}

// standaloneStatus is what slapos standalone status --json prints.
type standaloneStatus struct {
	Root      string           `json:"root"`
	Running   bool             `json:"running"`
	Master    string           `json:"master,omitempty"` // its address
	Programs  []programStatus  `json:"programs"`
	Releases  []releaseStatus  `json:"releases"`
	Instances []instanceStatus `json:"instances"`
	Free      int              `json:"free_partitions"`
}

type programStatus struct {
	Name  string `json:"name"`
	State string `json:"state"` // of the supervisor
	Exit  int    `json:"exit_code"`
}

type releaseStatus struct {
	URL   string `json:"url"`
	State string `json:"state"` // installed, wanted or unwanted
}

type instanceStatus struct {
	Partition string          `json:"partition"`
	State     string          `json:"state"` // that is requested
	URL       string          `json:"url"`
	Services  []programStatus `json:"services"`
}

func (s *standaloneCloud) tellStatus(ctx context.Context, asJSON bool) error {
	status, err := s.status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(s.e.stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(status)
	} else {
		_, err = fmt.Fprint(s.e.stdout, status.text())
	}
	if err == nil && !status.Running {
		return &exitError{3, nil}
	}
	return err
}

func (s *standaloneCloud) status(ctx context.Context) (*standaloneStatus, error) {
	status := &standaloneStatus{Root: s.root, Programs: []programStatus{}, Releases: []releaseStatus{}, Instances: []instanceStatus{}}
	client := s.system()
	defer client.Close()
	programs, err := client.AllProcessInfo(ctx)
	if err != nil {
		return status, nil // it does not run
	}
	status.Running, status.Master = true, s.masterURL()
	for _, p := range programs {
		if !strings.HasSuffix(p.Name, "-all") || p.State != 0 {
			status.Programs = append(status.Programs, programStatus{p.Name, p.Statename, p.Exitstatus})
		}
	}
	master, err := slap.NewClient(slap.ClientConfig{MasterURL: s.masterURL(), Home: s.root, Logger: s.e.log})
	if err != nil {
		return nil, err
	}
	defer master.Close()
	computer, err := master.FullComputerInformation(ctx, standaloneComputer)
	if err != nil {
		return nil, fmt.Errorf("the master at %s: %w", s.masterURL(), err)
	}
	for _, r := range computer.SoftwareReleases {
		status.Releases = append(status.Releases, s.releaseStatus(r))
	}
	services := s.serviceStatus(ctx)
	for _, p := range computer.Partitions {
		if p.SoftwareRelease == nil {
			status.Free++
			continue
		}
		status.Instances = append(status.Instances, instanceStatus{
			Partition: p.Reference, State: string(p.RequestedState), URL: p.SoftwareRelease.URL, Services: append([]programStatus{}, services[p.Reference]...),
		})
	}
	return status, nil
}

func (s *standaloneCloud) releaseStatus(r *slap.SoftwareRelease) releaseStatus {
	sum := md5.Sum([]byte(r.URL))
	_, err := os.Stat(s.path("soft/" + hex.EncodeToString(sum[:]) + "/.completed"))
	switch {
	case r.RequestedState == slap.StateDestroyed:
		return releaseStatus{r.URL, "unwanted"}
	case err != nil:
		return releaseStatus{r.URL, "wanted"}
	}
	return releaseStatus{r.URL, "installed"}
}

// serviceStatus are the services of partitions, as far as their supervisor tells.
func (s *standaloneCloud) serviceStatus(ctx context.Context) map[string][]programStatus {
	client := supervisor.NewClient(s.services().Socket())
	defer client.Close()
	all, err := client.AllProcessInfo(ctx)
	if err != nil {
		return nil
	}
	services := map[string][]programStatus{}
	for _, p := range all {
		services[p.Group] = append(services[p.Group], programStatus{p.Name, p.Statename, p.Exitstatus})
	}
	return services
}

func (status *standaloneStatus) text() string {
	if !status.Running {
		return fmt.Sprintf("Nothing runs in %s.\n", status.Root)
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
	w.Flush()
	fmt.Fprintf(&b, "%d partitions are free.\n", status.Free)
	return b.String()
}

func (p programStatus) text() string {
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

// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"slapos/cmd/slapos/argv"
	"slapos/grid/supervisor"
)

// completionPatience limits how long a shell waits for the master or the
// supervisor.
const completionPatience = 3 * time.Second

// A completion is a possible word at the cursor, and what it means.
type completion struct{ word, meaning string }

// A completionSource looks up words; path is what --cfg says.
type completionSource func(ctx context.Context, e *environment, path string) ([]completion, error)

// argumentSources look up values for arguments, by the name of the command and
// that of the argument in its ArgsUsage.
var argumentSources = map[string]completionSource{
	"request REFERENCE":         completeServices,
	"request SOFTWARE_URL":      completeReleases,
	"supply SOFTWARE_URL":       completeReleases,
	"supply NODE":               completeComputers,
	"remove SOFTWARE_URL":       completeReleases,
	"remove NODE":               completeComputers,
	"service info REFERENCE":    completeServices,
	"computer info REFERENCE":   completeComputers,
	"service events REFERENCE":  completeServices,
	"service restart REFERENCE": completeServices,
	"service log REFERENCE":     completeServices,
	"computer events REFERENCE": completeComputers,
	"computer log REFERENCE":    completeComputers,
	"computer log SOFTWARE_URL": completeReleases,
	"node restart ...":          completePrograms,
	"node start ...":            completePrograms,
	"node status ...":           completePrograms,
	"node stop ...":             completePrograms,
	"node tail ...":             completePrograms,
}

// optionSources do the same for values of options, by their first names.
var optionSources = map[string]completionSource{
	"only-cp": completePartitions,
	"only-sr": completeSoftware,
	"state":   completeStates,
}

// completeValues lists possible values of the last word; the words follow the
// name of the program. Where anything is possible, there are none.
func (a *application) completeValues(ctx context.Context, words []string) ([]completion, error) {
	p := argv.PlaceOf(a.commands, a.e.global.flags(), words)
	switch {
	case p.Command == nil:
		return nil, nil
	case p.Option != nil && argv.Choices(p.Option) != nil:
		return plainCompletions(argv.Choices(p.Option)), nil
	case p.Command.Name == "help" && p.Option == nil:
		return a.completeCommand(p.Arguments), nil
	}
	source := argumentSources[strings.Join(p.Path, " ")+" "+argumentName(p.Command.ArgsUsage, len(p.Arguments))]
	if p.Option != nil {
		source = optionSources[p.Option.Names()[0]]
	}
	if source == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	return source(ctx, a.e, p.Values["cfg"])
}

// argumentName is the name of an argument in ArgsUsage; the last one stands
// for those that follow it.
func argumentName(declared string, index int) string {
	names := strings.Fields(declared)
	if len(names) == 0 || index >= len(names) && !strings.HasSuffix(declared, argv.PassThrough) {
		return ""
	}
	return names[min(index, len(names)-1)]
}

func plainCompletions(words []string) []completion {
	var list []completion
	for _, word := range words {
		list = append(list, completion{word: word})
	}
	return list
}

// completeCommand lists the words that may follow the first ones of a command.
func (a *application) completeCommand(typed []string) []completion {
	var list []completion
	a.each(func(path []string, command *cli.Command) {
		if len(path) <= len(typed) || !slices.Equal(path[:len(typed)], typed) {
			return
		}
		next := completion{word: path[len(typed)], meaning: command.Usage}
		if len(path) > len(typed)+1 {
			next.meaning = "commands of " + next.word
		}
		if !slices.Contains(list, next) {
			list = append(list, next)
		}
	})
	return list
}

func completeStates(context.Context, *environment, string) ([]completion, error) {
	return plainCompletions([]string{"started", "stopped", "destroyed"}), nil
}

func completeServices(ctx context.Context, e *environment, path string) ([]completion, error) {
	master, done, err := e.openHateoas(ctx, clientOptions{configuration: path})
	if err != nil {
		return nil, err
	}
	defer done()
	services, err := master.Services(ctx)
	var list []completion
	for _, service := range services {
		list = append(list, completion{word: service.Title, meaning: service.SoftwareReleaseURL})
	}
	return list, err
}

// completeReleases lists the software of the user's services.
func completeReleases(ctx context.Context, e *environment, path string) ([]completion, error) {
	services, err := completeServices(ctx, e, path)
	var list []completion
	for _, service := range services {
		if !slices.ContainsFunc(list, func(c completion) bool { return c.word == service.meaning }) {
			list = append(list, completion{word: service.meaning, meaning: "software of " + service.word})
		}
	}
	return list, err
}

func completeComputers(ctx context.Context, e *environment, path string) ([]completion, error) {
	master, done, err := e.openHateoas(ctx, clientOptions{configuration: path})
	if err != nil {
		return nil, err
	}
	defer done()
	computers, err := master.Computers(ctx)
	var list []completion
	for _, computer := range computers {
		list = append(list, completion{word: computer.Reference, meaning: computer.Title})
	}
	return list, err
}

// completePartitions lists the directories of partitions. Only root and their
// owners see more than the name.
func completePartitions(_ context.Context, e *environment, path string) ([]completion, error) {
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		return nil, err
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return nil, err
	}
	format, err := configuration.Section("slapformat")
	if err != nil {
		return nil, err
	}
	prefix := textOption(format, "partition_base_name", defaultPartitionPrefix)
	paths, err := filepath.Glob(filepath.Join(slapos["instance_root"], prefix+"*"))
	var list []completion
	for _, path := range paths {
		software, _ := os.Readlink(filepath.Join(path, "software_release"))
		list = append(list, completion{word: filepath.Base(path), meaning: software})
	}
	return list, err
}

// completeSoftware lists the software of this node, installed or attempted,
// with the URL that its profile extends.
func completeSoftware(_ context.Context, e *environment, path string) ([]completion, error) {
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		return nil, err
	}
	slapos, err := configuration.Section("slapos")
	if err != nil {
		return nil, err
	}
	profiles, err := filepath.Glob(filepath.Join(slapos["software_root"], "*", "buildout.cfg"))
	var list []completion
	for _, profile := range profiles {
		url := ""
		if text, err := os.ReadFile(profile); err == nil {
			_, rest, _ := strings.Cut(string(text), "extends = ")
			url, _, _ = strings.Cut(rest, "\n")
		}
		list = append(list, completion{word: filepath.Base(filepath.Dir(profile)), meaning: url})
	}
	return list, err
}

func completePrograms(ctx context.Context, e *environment, path string) ([]completion, error) {
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		return nil, err
	}
	layout, err := e.supervisorLayout(configuration)
	if err != nil {
		return nil, err
	}
	client := supervisor.NewClient(layout.Socket())
	programs, err := client.AllProcessInfo(ctx)
	list := []completion{{word: "all", meaning: "all programs"}}
	for i, program := range programs {
		if i == 0 || programs[i-1].Group != program.Group {
			list = append(list, completion{word: program.Group + ":*", meaning: "all of " + program.Group})
		}
		list = append(list, completion{word: program.Group + ":" + program.Name, meaning: program.Statename})
	}
	return list, err
}

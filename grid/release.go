// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"slapos/grid/buildout"
	"slapos/manager"
	"slapos/slap"
	"slapos/slap/confined"
)

// A release is one Software Release while the pass works on it:
//
//	             ┌ announce ─ space ─ fetch ─┬─ found ───────────────────────┐
//	available ───┤                           └─ directory ─ netrc ─ profile ─┤
//	             │ complete: nothing            ─ bootstrap ─ buildout ─ upload
//	             └──────────────────────────────── tell the master ─ complete ┘
//	destroyed ─── remove ─ tell the master
//
// What makes a release complete is the file .completed in its directory: it
// appears after the master knows, and goes before anything else changes there.
type release struct {
	pass      *pass
	url       string
	state     slap.State
	directory string
	log       *slog.Logger

	root    *confined.Directory // the directory, once it is there
	fetched bool                // from the cache
	builder *buildout.Builder
	end     func() // of the builder's right to build alone
	// bootstrapSkipped: the marker file of that name was left (GRID-34).
	bootstrapSkipped bool
}

// completedFile marks a release that is built and reported. It holds the time.
const completedFile = ".completed"

var installSteps = []step[*release]{
	{name: "announce", do: (*release).announce},
	{name: "forget completion", do: (*release).forgetCompletion},
	{name: "free space", do: (*release).checkSpace},
	{name: "fetch", do: (*release).fetch},
	{name: "directory", do: (*release).makeDirectory},
	{name: "netrc", do: (*release).copyNetrc},
	{name: "profile", do: (*release).writeProfile},
	{name: "bootstrap", do: (*release).bootstrap},
	{name: "buildout", do: (*release).runBuildout},
	{name: "upload", do: (*release).upload},
	{name: "report", do: (*release).reportAvailable},
	{name: "complete", do: (*release).complete},
}

var removeSteps = []step[*release]{
	{name: "remove", do: (*release).remove},
	{name: "report", do: (*release).reportDestroyed},
}

func (p *pass) newRelease(wanted *slap.SoftwareRelease, log *slog.Logger) *release {
	directory := p.releaseDirectory(wanted.URL)
	return &release{
		pass: p, url: wanted.URL, state: wanted.State(), directory: directory,
		log: log.With("release", wanted.URL),
	}
}

// process does what the master wants of the release, with the managers' hooks
// around it (GRID-22).
func (r *release) process(ctx context.Context) error {
	defer r.close()
	software := &manager.Software{URL: r.url, Path: r.directory, State: r.state}
	for _, m := range r.pass.Managers {
		if err := m.Software(ctx, software); err != nil {
			return err
		}
	}
	if err := runSteps(ctx, r, r.log, r.steps()); err != nil {
		return err
	}
	for _, m := range r.pass.Managers {
		if err := m.SoftwareTearDown(ctx, software); err != nil {
			return err
		}
	}
	return nil
}

// steps are what is to be done.
func (r *release) steps() []step[*release] {
	switch {
	case !r.pass.isWanted(r.url):
		return nil
	case r.state == slap.StateDestroyed:
		return removeSteps
	case r.state == slap.StateAvailable && (r.pass.Force || !r.isComplete()):
		return installSteps
	}
	return nil
}

// isWanted tells whether Only names the release, by its URL or md5 sum, or
// names none.
func (p *pass) isWanted(url string) bool {
	for _, name := range p.Only {
		if name == url || name == md5Sum(url) {
			return true
		}
	}
	return len(p.Only) == 0
}

func (r *release) isComplete() bool {
	_, err := os.Lstat(filepath.Join(r.directory, completedFile))
	return err == nil
}

// exists tells whether there is anything in the place of the directory.
func (r *release) exists() bool {
	_, err := os.Lstat(r.directory)
	return !errors.Is(err, fs.ErrNotExist)
}

func (r *release) close() {
	if r.end != nil {
		r.end()
	}
	if r.root != nil {
		r.root.Close()
	}
}

// begin opens the directory and makes sure that nobody else builds there.
func (r *release) begin(ctx context.Context) error {
	root, err := confined.Open(r.directory)
	if err != nil {
		return err
	}
	r.root = root
	p := r.pass
	r.builder = &buildout.Builder{
		Directory: r.directory, Environment: p.Environment, Python: p.Python,
		Script: p.Buildout, Debug: p.BuildoutDebug, Logger: r.log,
	}
	r.end, err = r.builder.Begin(ctx)
	return err
}

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
	"slapos/grid/pass"
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
	node      *node
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

var installSteps = []pass.Step[*release]{
	{Name: "announce", Do: (*release).announce},
	{Name: "forget completion", Do: (*release).forgetCompletion},
	{Name: "free space", Do: (*release).checkSpace},
	{Name: "fetch", Do: (*release).fetch},
	{Name: "directory", Do: (*release).makeDirectory},
	{Name: "netrc", Do: (*release).copyNetrc},
	{Name: "profile", Do: (*release).writeProfile},
	{Name: "bootstrap", Do: (*release).bootstrap},
	{Name: "buildout", Do: (*release).runBuildout},
	{Name: "upload", Do: (*release).upload},
	{Name: "report", Do: (*release).reportAvailable},
	{Name: "complete", Do: (*release).complete},
}

var removeSteps = []pass.Step[*release]{
	{Name: "remove", Do: (*release).remove},
	{Name: "report", Do: (*release).reportDestroyed},
}

func (p *node) newRelease(wanted *slap.SoftwareRelease, log *slog.Logger) *release {
	directory := p.releaseDirectory(wanted.URL)
	return &release{
		node: p, url: wanted.URL, state: wanted.State(), directory: directory,
		log: log.With("release", wanted.URL),
	}
}

// process does what the master wants of the release, with the managers' hooks
// around it (GRID-22).
func (r *release) process(ctx context.Context) error {
	defer r.close()
	software := &manager.Software{URL: r.url, Path: r.directory, State: r.state}
	for _, m := range r.node.Managers {
		if err := m.Software(ctx, software); err != nil {
			return err
		}
	}
	if err := pass.RunSteps(ctx, r, r.log, r.steps()); err != nil {
		return err
	}
	for _, m := range r.node.Managers {
		if err := m.SoftwareTearDown(ctx, software); err != nil {
			return err
		}
	}
	return nil
}

// steps are what is to be done.
func (r *release) steps() []pass.Step[*release] {
	switch {
	case !r.node.isWanted(r.url):
		return nil
	case r.state == slap.StateDestroyed:
		return removeSteps
	case r.state == slap.StateAvailable && (r.node.Force || !r.isComplete()):
		return installSteps
	}
	return nil
}

// isWanted tells whether Only names the release, by its URL or md5 sum, or
// names none.
func (p *node) isWanted(url string) bool {
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
	p := r.node
	r.builder = &buildout.Builder{
		Directory: r.directory, Environment: p.Environment, Python: p.Python,
		Script: p.Buildout, Debug: p.BuildoutDebug, Logger: r.log,
	}
	r.end, err = r.builder.Begin(ctx)
	return err
}

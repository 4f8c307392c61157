// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"log/slog"
	"slices"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/confined"
)

// A release is one Software Release during a pass.
type release struct {
	node      *pass.Node
	options   *Options
	uploads   *uploads
	url       string
	state     slap.State
	place     *confined.Place // of all releases
	name      string          // in place
	directory string          // its path
	log       *slog.Logger

	root    *confined.Directory // the directory, once it is open
	fetched bool                // from the cache
	builder *buildout.Builder
	end     func() // gives up the right to build alone
	// bootstrapSkipped means that the skipMarker was there (GRID-34).
	bootstrapSkipped bool
}

// The steps of a release, see the package's drawing. fetchedSteps or buildSteps
// follow beginSteps.
var (
	beginSteps = []pass.Step[*release]{
		{Name: "announce", Do: (*release).announce},
		{Name: "forget completion", Do: (*release).forgetCompletion},
		{Name: "free space", Do: (*release).checkSpace},
		{Name: "fetch", Do: (*release).fetch},
	}
	fetchedSteps = []pass.Step[*release]{
		{Name: "report", Do: (*release).reportAvailable},
		{Name: "directory", Do: (*release).openDirectory},
		{Name: "complete", Do: (*release).complete},
	}
	buildSteps = []pass.Step[*release]{
		{Name: "directory", Do: (*release).makeDirectory},
		{Name: "netrc", Do: (*release).copyNetrc},
		{Name: "profile", Do: (*release).writeProfile},
		{Name: "bootstrap", Do: (*release).bootstrap},
		{Name: "buildout", Do: (*release).runBuildout},
		{Name: "upload", Do: (*release).upload},
		{Name: "report", Do: (*release).reportAvailable},
		{Name: "complete", Do: (*release).complete},
	}
	removeSteps = []pass.Step[*release]{
		{Name: "remove", Do: (*release).remove},
		{Name: "report", Do: (*release).reportDestroyed},
	}
)

func (p *releasePass) newRelease(wanted *slap.SoftwareRelease, log *slog.Logger) *release {
	return &release{
		node: p.node, options: &p.options, uploads: &p.uploads, place: p.place,
		url: wanted.URL, state: wanted.State(), name: buildout.ReleaseName(wanted.URL),
		directory: buildout.ReleaseDirectory(p.node.SoftwareRoot, wanted.URL),
		log:       log.With("release", wanted.URL),
	}
}

// process does what the master wants with the release (GRID-22).
func (r *release) process(ctx context.Context) error {
	defer r.close()
	switch {
	case !r.isNamed():
		return nil
	case r.state == slap.StateDestroyed:
		return pass.RunSteps(ctx, r, r.log, removeSteps)
	case r.state == slap.StateAvailable && (r.node.Force || !r.isComplete()):
		return r.install(ctx)
	}
	return nil
}

func (r *release) install(ctx context.Context) error {
	if err := pass.RunSteps(ctx, r, r.log, beginSteps); err != nil {
		return err
	}
	if r.fetched {
		return pass.RunSteps(ctx, r, r.log, fetchedSteps)
	}
	return pass.RunSteps(ctx, r, r.log, buildSteps)
}

// isNamed reports whether Only is empty or names the release, by its URL or md5
// sum.
func (r *release) isNamed() bool {
	only := r.node.Only
	return len(only) == 0 || slices.Contains(only, r.url) || slices.Contains(only, buildout.ReleaseName(r.url))
}

// exists reports whether there is anything at the directory's path.
func (r *release) exists() bool { return r.place.Exists(r.name) }

// has reports whether there is a release that contains something of that name.
func (r *release) has(name string) bool {
	root, err := r.place.Open(r.name, r.place.UID)
	if err != nil {
		return false
	}
	defer root.Close()
	return root.Exists(name)
}

func (r *release) close() {
	if r.end != nil {
		r.end()
	}
	if r.root != nil {
		r.root.Close()
	}
}

// openDirectory opens the directory that the cache filled.
func (r *release) openDirectory(context.Context) pass.Outcome { return pass.Ended(r.open()) }

// open opens the directory, which must belong to the owner of software_root
// (GRID-101).
func (r *release) open() (err error) {
	r.root, err = r.place.Open(r.name, r.place.UID)
	return err
}

// begin opens the directory and locks out other builds there.
func (r *release) begin(ctx context.Context) (err error) {
	if err := r.open(); err != nil {
		return err
	}
	n := r.node
	locks, err := n.StateDirectory()
	if err != nil { // a node without an instance root
		r.log.Debug("No lock keeps another agent from building here", "error", err)
	}
	r.builder = &buildout.Builder{
		Directory: r.directory, Root: r.root, Environment: n.Environment, Python: n.Python,
		Script: n.Buildout, Locks: locks, Debug: n.BuildoutDebug, Logger: r.log,
	}
	r.end, err = r.builder.Begin(ctx)
	return err
}

// SPDX-License-Identifier: GPL-3.0-or-later

package software

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/promise/process"
	"slapos/slap/confined"
)

// makeDirectory makes the directory of the release, with the owner of the
// directory of all releases (GRID-29), and begins the build there.
func (r *release) makeDirectory(ctx context.Context) pass.Outcome {
	created := true
	err := r.place.Make(r.name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		created, err = false, nil
	}
	if err != nil {
		return pass.Failed(err)
	}
	if err := r.begin(ctx); err != nil {
		return pass.Failed(err)
	}
	if created {
		if err := r.root.Chmod(".", 0o755); err != nil {
			return pass.Failed(err)
		}
	}
	return pass.Ended(r.root.MakeDirectory("extends-cache", 0o755))
}

// copyNetrc copies the owner's logins into the build's home, which isn't the
// owner's (GRID-30).
func (r *release) copyNetrc(context.Context) pass.Outcome {
	const name = ".netrc"
	user, err := process.LookupUser(r.root.UID, r.root.GID)
	if err != nil {
		return pass.Failed(fmt.Errorf("owner of %s: %w", r.directory, err))
	}
	if filepath.Clean(user.Home) == filepath.Clean(r.directory) {
		return pass.Skipped
	}
	if err := r.root.Clear(name); err != nil {
		return pass.Failed(err)
	}
	logins, err := readLogins(filepath.Clean(user.Home), name, user.UID)
	if errors.Is(err, fs.ErrNotExist) {
		return pass.Skipped
	}
	if err != nil {
		return pass.Failed(err)
	}
	return pass.Ended(r.root.Write(name, logins, confined.Attributes{Mode: 0o600, UID: r.root.UID, GID: r.root.GID}))
}

// readLogins reads a file that may be anything, since the user can replace it.
// It must belong to the user, as must the home, and must not be a link, not
// even one that root made.
func readLogins(home, name string, uid int) ([]byte, error) {
	root, err := confined.Open(home)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	content, info, err := root.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if fileOwner, _ := confined.Owner(info); fileOwner != uid && !root.IsOneName(info) {
		return nil, fmt.Errorf("%s belongs to another user: chown it to user %d", root.Join(name), uid)
	}
	return content, nil
}

// writeProfile writes buildout.cfg if it is missing, and records the revision
// of a profile in a local git repository (GRID-31).
func (r *release) writeProfile(ctx context.Context) pass.Outcome {
	const name = "buildout.cfg"
	before, err := r.root.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pass.Failed(err)
	}
	profile := before
	if err != nil {
		profile = buildout.ReleaseProfile(r.url, string(r.node.SharedParts), string(r.node.BuildTimeParts))
	}
	if revision, ok := buildout.GitRevision(ctx, r.url, r.node.Environment); ok {
		profile = buildout.NoteRevision(profile, revision, r.node.Now())
	}
	if string(profile) == string(before) {
		return pass.Skipped
	}
	return pass.Ended(r.root.Write(name, profile, confined.Attributes{Mode: 0o644, UID: r.root.UID, GID: r.root.GID}))
}

// networkCacheOptions are passed to buildout in this order (GRID-32).
var networkCacheOptions = []string{
	"signature-private-key-file", "upload-cache-url", "upload-dir-url",
	"shacache-ca-file", "shacache-cert-file", "shacache-key-file",
	"shadir-ca-file", "shadir-cert-file", "shadir-key-file",
}

// parameters returns those of both calls of buildout (GRID-32).
func (r *release) parameters() []string {
	parameters := []string{
		"buildout:extends-cache=" + filepath.Join(r.directory, "extends-cache"),
		"buildout:directory=" + r.directory,
	}
	cache := r.options.BuildoutNetworkCache
	if cache["signature-private-key-file"] != "" || cache["upload-cache-url"] != "" || cache["upload-dir-url"] != "" {
		parameters = append(parameters, "buildout:networkcache-section=networkcache")
	}
	for _, name := range networkCacheOptions {
		if value := cache[name]; value != "" {
			parameters = append(parameters, "networkcache:"+name+"="+value)
		}
	}
	if !r.node.Force {
		parameters = append(parameters, "-N")
	}
	return append(parameters, "-c", filepath.Join(r.directory, "buildout.cfg"))
}

// skipMarker says that the last attempt left the bootstrap out.
const skipMarker = "bin/buildout-bootstrap-skipped"

// bootstrap makes bin/buildout. If that exists, only every other attempt makes
// it again: either may have caused the failure (GRID-34).
func (r *release) bootstrap(ctx context.Context) pass.Outcome {
	if r.root.Exists(skipMarker) {
		if err := r.root.Clear(skipMarker); err != nil {
			return pass.Failed(err)
		}
	} else if r.root.Exists(buildout.ReleaseScript) {
		if err := r.root.Write(skipMarker, nil, confined.AgentFile); err != nil {
			return pass.Failed(err)
		}
		r.bootstrapSkipped = true
		return pass.Skipped
	}
	r.step("bootstrapping")
	return pass.Ended(r.builder.Bootstrap(ctx, r.parameters()...))
}

func (r *release) runBuildout(ctx context.Context) pass.Outcome {
	r.step("building")
	if err := r.builder.Run(ctx, buildout.Script{Root: r.root, Name: buildout.ReleaseScript}, r.parameters()...); err != nil {
		return pass.Failed(err)
	}
	if r.bootstrapSkipped {
		return pass.Ended(r.root.Clear(skipMarker))
	}
	return pass.Done
}

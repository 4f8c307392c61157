// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"slapos/grid/buildout"
	"slapos/slap/confined"
)

// releases has what instances need to know of their Software Releases, each
// read once per pass.
type releases struct {
	// place holds them. It is opened when first needed.
	place              func() (*confined.Place, error)
	maximumPeriodicity int // default for releases that set none
	log                *slog.Logger

	periodicities, interpreters sync.Map // by directory
}

func newReleases(softwareRoot string, maximumPeriodicity int, log *slog.Logger) releases {
	place := sync.OnceValues(func() (*confined.Place, error) { return confined.OpenPlace(softwareRoot) })
	return releases{place: place, maximumPeriodicity: maximumPeriodicity, log: log}
}

func (r *releases) close() {
	if place, err := r.place(); err == nil {
		place.Close()
	}
}

// open opens the directory of a release, which must belong to the owner of
// software_root (GRID-101).
func (r *releases) open(release string) (*confined.Directory, error) {
	place, err := r.place()
	if err != nil {
		return nil, err
	}
	return place.Open(filepath.Base(release), place.UID)
}

// periodicity returns the release's periodicity, or else the node's (GRID-46).
func (r *releases) periodicity(release string) int {
	if release == "" {
		return r.maximumPeriodicity
	}
	read, _ := r.periodicities.LoadOrStore(release, sync.OnceValue(func() int {
		periodicity, err := r.readPeriodicity(release)
		if err == nil {
			return periodicity
		}
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Error(fmt.Sprintf("Ignored the periodicity of %s: %v", release, err))
		}
		return r.maximumPeriodicity
	}))
	return read.(func() int)()
}

// readPeriodicity removes a file that isn't a number.
func (r *releases) readPeriodicity(release string) (int, error) {
	const name = "periodicity"
	root, err := r.open(release)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	content, err := root.Read(name)
	if err != nil {
		return 0, err
	}
	periodicity, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s is not a whole number", filepath.Join(release, name)), root.Clear(name))
	}
	return periodicity, nil
}

// interpreter returns the Python of a release, empty if it names none (GRID-44).
func (r *releases) interpreter(release string) (string, error) {
	if release == "" {
		return "", nil
	}
	read, _ := r.interpreters.LoadOrStore(release, sync.OnceValues(func() (string, error) {
		root, err := r.open(release)
		if confined.IsAbsent(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		defer root.Close()
		name, err := buildout.Interpreter(buildout.Script{Root: root, Name: buildout.ReleaseScript})
		if errors.Is(err, fs.ErrNotExist) {
			return "", nil
		}
		return name, err
	}))
	return read.(func() (string, error))()
}

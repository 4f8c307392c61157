// SPDX-License-Identifier: GPL-3.0-or-later

package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap/confined"
)

const (
	softwareLink  = "software_release"
	profileFile   = "buildout.cfg"
	partitionMode = 0o750
)

func (d *deployment) checkSpace(context.Context) pass.Outcome {
	d.Log.Info(fmt.Sprintf("Installing Computer Partition %s...", d.ID.Partition))
	return pass.Ended(pass.CheckFreeSpace(d.Path, d.options.MinFreeSpace, "instance_min_free_space"))
}

// linkRelease links to the software, for the partition's user (GRID-56).
func (d *deployment) linkRelease(context.Context) pass.Outcome {
	if d.url == "" {
		return pass.Failed(fmt.Errorf("Partition %s has no software release: the master names none.", d.ID.Partition))
	}
	return pass.Ended(d.Root.Link(d.release, softwareLink))
}

func (d *deployment) checkMode(context.Context) pass.Outcome {
	if mode := d.Root.Mode.Perm() | d.Root.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky); mode != partitionMode {
		return pass.Failed(fmt.Errorf("Wrong permissions in %s: actual permissions are: 0%o, wanted are 0%o: chmod 0%o %s", d.Path, unixMode(mode), partitionMode, partitionMode, d.Path))
	}
	return pass.Done
}

// unixMode has the special bits where chmod has them.
func unixMode(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// writeProfile makes the instance's profile from the release's template and the
// node's additions.
func (d *deployment) writeProfile(context.Context) pass.Outcome {
	if err := d.openRelease(); err != nil {
		return pass.Failed(err)
	}
	template, err := d.readTemplate()
	if err != nil {
		return pass.Failed(err)
	}
	profile := buildout.InstanceProfile(template, buildout.InstanceSettings{
		ComputerID: d.ID.Computer, PartitionID: d.ID.Partition,
		MasterURL: d.Node.MasterURL, SoftwareURL: d.url,
		KeyFile: d.KeyFile, CertFile: d.CertificateFile,
		SharedParts: string(d.Node.SharedParts), BuildTimeParts: string(d.Node.BuildTimeParts),
		RequestedState:    string(d.Wanted.RequestedState),
		StorageHome:       d.options.StorageHome,
		IPv4GlobalNetwork: d.options.IPv4GlobalNetwork,
	})
	return pass.Ended(d.Root.Write(profileFile, profile, confined.Attributes{Mode: 0o640, UID: -1, GID: d.Root.GID}))
}

// readTemplate reads instance.cfg of the release, or template.cfg of an old
// one.
func (d *deployment) readTemplate() ([]byte, error) {
	for _, name := range []string{"instance.cfg", "template.cfg"} {
		template, err := d.software.ReadGiven(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return template, err
		}
	}
	return nil, &unbuiltError{fmt.Errorf("Software Release %s is not correctly installed.\nMissing file: %s", d.url, filepath.Join(d.release, "instance.cfg"))}
}

// runBuildout deploys the instance with the release's buildout, or with its
// replacement in the release.
func (d *deployment) runBuildout(ctx context.Context) pass.Outcome {
	if err := d.checkOwner(); err != nil {
		return pass.Failed(err)
	}
	d.Step("deploying")
	n := d.Node
	locks, err := n.StateDirectory()
	if err != nil {
		return pass.Failed(err)
	}
	builder := &buildout.Builder{
		Directory: d.Path, Root: d.Root, Environment: d.environment(), Python: n.Python, Script: n.Buildout,
		Locks: locks, Debug: n.BuildoutDebug, Timeout: d.options.PartitionTimeout, Logger: d.Log,
	}
	end, err := builder.Begin(ctx)
	if err != nil {
		return pass.Failed(err)
	}
	defer end()
	script, err := d.chooseBuildout(ctx, builder)
	if err != nil {
		return pass.Failed(err)
	}
	if _, err := script.Root.Stat(script.Name); errors.Is(err, fs.ErrNotExist) {
		if err := builder.Bootstrap(ctx, "buildout:bin-directory="+filepath.Dir(d.ownBuildout().Path())); err != nil {
			return pass.Failed(err)
		}
		script = d.ownBuildout()
	}
	return pass.Ended(builder.Run(ctx, script))
}

// ownBuildout returns the path of the partition's buildout.
func (d *deployment) ownBuildout() buildout.Script {
	return buildout.Script{Root: d.Root, Name: "sbin/buildout"}
}

// checkOwner refuses a user that nothing may run as, before anything runs.
func (d *deployment) checkOwner() error {
	_, err := d.Owner()
	return err
}

// chooseBuildout runs the release's bootstrap program, if it has one, which
// makes the partition's own buildout.
func (d *deployment) chooseBuildout(ctx context.Context, builder *buildout.Builder) (script buildout.Script, err error) {
	const bin = "bin"
	if err := d.openRelease(); err != nil {
		return script, err
	}
	entries, err := d.software.Entries(bin)
	if err != nil {
		return script, err
	}
	var bootstraps []buildout.Script
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "bootstrap") {
			bootstraps = append(bootstraps, buildout.Script{Root: d.software, Name: bin + "/" + entry.Name()})
		}
	}
	switch len(bootstraps) {
	case 0:
		script = buildout.Script{Root: d.software, Name: buildout.ReleaseScript}
		d.Log.Info(fmt.Sprintf("Falling back to default buildout '%s'", script.Path()))
		return script, nil
	case 1:
		return d.ownBuildout(), builder.BootstrapBy(ctx, bootstraps[0])
	}
	return script, fmt.Errorf("Software Release %s has more than one bootstrap program in %s: %d", d.url, d.software.Join(bin), len(bootstraps))
}

// lockRetention notes how long the partition is kept after its destruction is
// requested.
func (d *deployment) lockRetention(context.Context) pass.Outcome {
	if err := d.openRelease(); err != nil {
		return pass.Failed(err)
	}
	return pass.Ended(d.LockRetention(d.software.UID, d.software.GID))
}

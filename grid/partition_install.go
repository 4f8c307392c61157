// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"slapos/grid/buildout"
	"slapos/grid/pass"
	"slapos/slap"
	"slapos/slap/confined"
)

const (
	softwareLink  = "software_release"
	profileFile   = "buildout.cfg"
	partitionMode = 0o750
)

func (t *partition) checkSpace(context.Context) (pass.Outcome, error) {
	t.log.Info(fmt.Sprintf("Installing Computer Partition %s...", t.id.Partition))
	return pass.Done, pass.CheckFreeSpace(t.path, t.node.Instance.MinFreeSpace, "instance_min_free_space")
}

// linkRelease shows the partition's user where the software is (GRID-56).
func (t *partition) linkRelease(context.Context) (pass.Outcome, error) {
	if t.url == "" {
		return "", fmt.Errorf("Partition %s has no software release: the master names none.", t.id.Partition)
	}
	return pass.Done, t.root.Link(t.release, softwareLink)
}

func (t *partition) checkMode(context.Context) (pass.Outcome, error) {
	if mode := t.root.Mode.Perm() | t.root.Mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky); mode != partitionMode {
		return "", fmt.Errorf("Wrong permissions in %s: actual permissions are: 0%o, wanted are 0%o", t.path, unixMode(mode), partitionMode)
	}
	return pass.Done, nil
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

// writeProfile makes the profile of the instance from the template of the
// release and what the node adds.
func (t *partition) writeProfile(context.Context) (pass.Outcome, error) {
	if info, err := os.Stat(t.release); err != nil || !info.IsDir() {
		return "", fmt.Errorf("Software Release %s is not present on system.\nCannot deploy instance.", t.url)
	}
	template, err := t.readTemplate()
	if err != nil {
		return "", err
	}
	profile := append(template, buildout.InstanceTail(buildout.InstanceSettings{
		ComputerID: t.id.Computer, PartitionID: t.id.Partition,
		MasterURL: t.node.MasterURL, SoftwareURL: t.url,
		KeyFile: t.keyFile, CertFile: t.certificateFile,
		SharedParts: t.node.SharedParts, BuildTimeParts: t.node.BuildTimeParts,
		RequestedState:    string(t.wanted.RequestedState),
		StorageHome:       t.node.Instance.StorageHome,
		IPv4GlobalNetwork: t.node.Instance.IPv4GlobalNetwork,
	})...)
	return pass.Done, t.root.Write(profileFile, profile, confined.Attributes{Mode: 0o640, UID: -1, GID: t.root.GID})
}

// readTemplate reads instance.cfg of the release, which old ones call
// template.cfg.
func (t *partition) readTemplate() ([]byte, error) {
	release, err := confined.Open(t.release)
	if err != nil {
		return nil, err
	}
	defer release.Close()
	for _, name := range []string{"instance.cfg", "template.cfg"} {
		template, err := release.Read(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return template, err
		}
	}
	return nil, fmt.Errorf("Software Release %s is not correctly installed.\nMissing file: %s", t.url, filepath.Join(t.release, "instance.cfg"))
}

// runBuildout deploys the instance with the buildout of its release, or with
// what the release offers instead of it.
func (t *partition) runBuildout(ctx context.Context) (pass.Outcome, error) {
	if err := t.checkOwner(); err != nil {
		return "", err
	}
	t.step("deploying")
	p := t.node
	builder := &buildout.Builder{
		Directory: t.path, Environment: t.environment(), Python: p.Python, Script: p.Buildout,
		Debug: p.BuildoutDebug, Timeout: p.Instance.PartitionTimeout, Logger: t.log,
	}
	end, err := builder.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	own := filepath.Join(t.path, "sbin", "buildout")
	script, err := t.chooseBuildout(ctx, builder, own)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(script); errors.Is(err, fs.ErrNotExist) {
		if err := builder.Bootstrap(ctx, "buildout:bin-directory="+filepath.Dir(own)); err != nil {
			return "", err
		}
		script = own
	}
	return pass.Done, builder.Run(ctx, script)
}

// checkOwner refuses a user that nothing may run as, before anything does.
func (t *partition) checkOwner() error {
	_, err := t.owner()
	return err
}

// chooseBuildout runs the bootstrap program of the release, if it has one,
// which makes the partition's own buildout.
func (t *partition) chooseBuildout(ctx context.Context, builder *buildout.Builder, own string) (script string, err error) {
	bin := filepath.Join(t.release, "bin")
	entries, err := os.ReadDir(bin)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	var bootstraps []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "bootstrap") {
			bootstraps = append(bootstraps, filepath.Join(bin, entry.Name()))
		}
	}
	switch len(bootstraps) {
	case 0:
		t.log.Info(fmt.Sprintf("Falling back to default buildout '%s'", filepath.Join(bin, "buildout")))
		return filepath.Join(bin, "buildout"), nil
	case 1:
		return own, builder.BootstrapBy(ctx, bootstraps[0])
	}
	return "", fmt.Errorf("Software Release %s has more than one bootstrap program in %s: %d", t.url, bin, len(bootstraps))
}

// lockRetention notes for how long the partition is kept once it is destroyed.
func (t *partition) lockRetention(context.Context) (pass.Outcome, error) {
	info, err := os.Stat(t.release)
	if err != nil {
		return "", err
	}
	uid, gid := confined.Owner(info)
	return pass.Done, lockRetention(t.root, retentionDelay(t.filter(), t.log), uid, gid)
}

// filter is what the user asked for beside parameters.
func (t *partition) filter() slap.Dict {
	filter, _ := t.wanted.Extra["_filter_dict"].(slap.Dict)
	return filter
}

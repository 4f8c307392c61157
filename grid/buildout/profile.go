// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"slapos/promise/process"
	"slapos/slap"
	"slapos/slap/confined"
)

// ReleaseProfile is the buildout.cfg of a Software Release (GRID-29). The lists are
// options as configured, a path on each line. All is written as it is: buildout gives
// % no meaning.
func ReleaseProfile(url, sharedParts, buildTimeParts string) []byte {
	continued := func(value string) string { return strings.ReplaceAll(value, "\n", "\n\t") }
	return []byte("[buildout]\n" +
		"extends = " + continued(url) + "\n" +
		"shared-part-list = " + continued(sharedParts) + "\n" +
		"build-time-part-list = " + continued(buildTimeParts) + "\n\n")
}

// InstanceSettings are the node's values in an instance's profile, in the
// section slap-connection and others (GRID-57).
type InstanceSettings struct {
	ComputerID, PartitionID string
	MasterURL               string
	SoftwareURL             string
	KeyFile, CertFile       string // empty: none
	SharedParts             string // as configured, a path on each line
	BuildTimeParts          string // likewise
	RequestedState          string
	StorageHome             string
	IPv4GlobalNetwork       string
}

// InstanceProfile is the profile of an instance: the template of its release, whose
// lines end as Python reads them, and what the node adds. Releases restart services
// when its hash changes, so each byte is slapos.core's.
func InstanceProfile(template []byte, s InstanceSettings) []byte {
	connection := [][2]string{
		{"computer-id", s.ComputerID},
		{"partition-id", s.PartitionID},
		{"server-url", s.MasterURL},
		{"software-release-url", s.SoftwareURL},
		{"key-file", s.KeyFile},
		{"cert-file", s.CertFile},
	}
	var b strings.Builder
	lineEnds := strings.NewReplacer("\r\n", "\n", "\r", "\n")
	_, _ = lineEnds.WriteString(&b, string(template))
	b.WriteString("\n\n# This is beginning of zc.buildout profile's tail added by slapgrid\n")
	b.WriteString("[buildout]\n# put buildout generated binaries in specific directory\nbin-directory = ${buildout:directory}/sbin\n")
	b.WriteString("\n# protect software and run parts offline\noffline = true\n")
	b.WriteString("\n[slap-connection]\n")
	for _, option := range connection {
		b.WriteString(option[0] + " = " + option[1] + "\n")
	}
	b.WriteString("shared-part-list =\n  " + indented(s.SharedParts) + "\n")
	b.WriteString("build-time-part-list =\n  " + indented(s.BuildTimeParts) + "\n")
	b.WriteString("requested-state = " + s.RequestedState + "\n")
	b.WriteString("\n[slap_connection]\n# Kept for backward compatiblity\n")
	for _, option := range connection {
		b.WriteString(strings.ReplaceAll(option[0], "-", "_") + " = " + option[1] + "\n")
	}
	b.WriteString("\n[storage-configuration]\nstorage-home = " + s.StorageHome + "\n")
	b.WriteString("\n[network-information]\nglobal-ipv4-network = " + s.IPv4GlobalNetwork + "\n")
	b.WriteString("# This is end of zc.buildout profile's tail added by slapgrid\n")
	return []byte(b.String())
}

// indented puts two spaces before each line but the first, whatever ends one in Python.
func indented(text string) string {
	return strings.Join(slap.PythonLines(slap.PythonStrip(text)), "  ")
}

// gitPatience bounds the time for what is only a note.
const gitPatience = 30 * time.Second

// GitRevision describes the commit of a profile that is a local file in a git
// repository; it returns "" for any other. A repository names programs that git
// runs, so root's git runs as the user who owns it (GRID-99).
func GitRevision(ctx context.Context, url string, environment []string) (revision string, ok bool) {
	if info, err := os.Stat(url); err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return "", false
	}
	command := process.Command{
		Path: "/bin/sh", Args: []string{"-c", `exec "$0" describe --all --long --dirty 2>/dev/null`, git},
		Dir: filepath.Dir(url), Env: environment, KeepOutput: 4 << 10, Timeout: gitPatience,
	}
	if os.Geteuid() == 0 {
		// The way to it, without links: whoever owns one chooses where it leads.
		if command.Dir, err = filepath.EvalSymlinks(command.Dir); err != nil {
			return "", false
		}
		if command.Dir, err = filepath.Abs(command.Dir); err != nil {
			return "", false
		}
		uid, found := repositoryOwner(command.Dir)
		if !found {
			return "", false
		}
		if uid != 0 {
			if command.User, err = lookupUser(uid); err != nil {
				return "", false
			}
			command.Env = process.CleanEnvironment(environment, command.User.Home)
		}
	}
	result, err := command.Run(ctx)
	revision = strings.TrimSpace(result.Output)
	return revision, err == nil && result.ExitCode == 0 && revision != "" && !strings.ContainsAny(revision, "\n\r")
}

// repositoryOwner finds the owner of the files that git reads for a directory,
// whose path has no links, and of the directories above, who could exchange it:
// root, or one user beside root. Files of several users have no owner, nor has
// what everybody can exchange.
func repositoryOwner(directory string) (uid int, found bool) {
	counts := func(path string) bool {
		info, err := os.Lstat(path)
		if err != nil || info.IsDir() && info.Mode()&(0o002|fs.ModeSticky) == 0o002 {
			return false
		}
		owner, _ := confined.Owner(info)
		switch {
		case owner == 0 || owner == uid:
			return true
		case uid != 0:
			return false
		}
		uid = owner
		return true
	}
	for counts(directory) {
		if git := filepath.Join(directory, ".git"); !found && counts(git) {
			found = true
		} else if _, err := os.Lstat(git); !found && err == nil {
			break
		}
		if directory == "/" {
			return uid, found
		}
		directory = filepath.Dir(directory)
	}
	return 0, false
}

// lookupUser finds a user, with the groups that a login has.
func lookupUser(uid int) (*process.User, error) {
	entry, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(entry.Gid)
	if err != nil {
		return nil, err
	}
	return process.LookupUser(uid, gid)
}

// NoteRevision appends the revision to a profile as a comment, unless it is
// already the last line (GRID-31).
func NoteRevision(profile []byte, revision string, now time.Time) []byte {
	text := string(profile)
	last := strings.TrimRight(text, "\n")
	last = last[strings.LastIndexByte(last, '\n')+1:]
	if strings.Contains(last, revision) {
		return profile
	}
	stamp := now.UTC().Format("2006-01-02 15:04:05.000000")
	return []byte(text + "# " + stamp + " git revision: " + revision + "\n")
}

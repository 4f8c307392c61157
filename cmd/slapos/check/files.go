// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"slapos/cmd/slapos/pytext"
	"slapos/grid/pass"
)

// A file that a key names.
type file struct {
	section, key string
	secret       bool // for its owner alone
	// made means that a command makes it: only what is there counts.
	made bool
}

var namedFiles = []file{
	{"slapos", "key_file", true, false},
	{"slapos", "cert_file", false, false},
	{"slapos", "master_ca_file", false, false},
	{"slapos", "master_token_file", true, false},
	{"slapos", "python", false, false},
	{"slapos", "buildout", false, false},
	{"slapformat", "input_definition_file", false, false},
	{"slapformat", "computer_xml", false, true},
	{"slapconsole", "key_file", true, false},
	{"slapconsole", "cert_file", false, false},
	{"networkcache", "signature-private-key-file", true, false},
	{"networkcache", "signature_private_key_file", true, false},
	{"networkcache", "signature-passphrase-file", true, false},
	{"slapos", "signature_private_key_file", true, false},
	{"networkcache", "shacache-ca-file", false, false},
	{"networkcache", "shacache-cert-file", false, false},
	{"networkcache", "shacache-key-file", true, false},
	{"networkcache", "shadir-ca-file", false, false},
	{"networkcache", "shadir-cert-file", false, false},
	{"networkcache", "shadir-key-file", true, false},
	{"slapproxy", "listen_cert_file", false, false},
	{"slapproxy", "listen_key_file", true, false},
	{"slapproxy", "listen_client_ca_file", false, false},
	{"slapproxy", "listen_token_file", true, false},
	{"slapproxy", "webhook_secret_file", true, false},
	{"slapproxy", "shacache_signing_key_path", true, false},
}

// SecretFiles are the files with secrets that a configuration names.
func SecretFiles(c *pytext.Configuration) (paths []string) {
	for _, f := range namedFiles {
		section, err := c.Section(f.section)
		if path := section[f.key]; err == nil && f.secret && path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// files finds named files that aren't there, or that others may read or change.
func files(_ context.Context, s *Subject) (found []Finding) {
	found = append(found, exposed("the configuration", s.Configuration.Path(), false)...)
	seen := map[string]bool{}
	for _, f := range namedFiles {
		section, err := s.Configuration.Section(f.section)
		path := section[f.key]
		if f.key == "python" && !strings.Contains(path, "/") { // is looked for on PATH
			continue
		}
		if err != nil || path == "" || seen[f.key+path] {
			continue
		}
		seen[f.key+path] = true
		path = s.Expand(path)
		info, err := os.Stat(path)
		switch {
		case err != nil && f.made:
		case err != nil:
			found = append(found, unread(f.key, path, err))
		case info.IsDir():
			found = append(found, fault(f.key+" "+path+" is a directory", "name the file"))
		default:
			found = append(found, exposed(f.key, path, f.secret)...)
		}
	}
	return found
}

// exposed finds a file that others may change, or read if it is secret. Who the
// file's owner is doesn't matter, unless it is a partition's user: then its mode
// doesn't help.
func exposed(what, path string, secret bool) []Finding {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		return []Finding{fault(fmt.Sprintf("%s %s can be changed by everybody", what, path), "chmod o-w "+path)}
	case secret && mode&0o077 != 0:
		return []Finding{warning(fmt.Sprintf("%s %s can be read by others (mode %04o)", what, path, mode), "chmod 600 "+path+"; if somebody has read it, replace it")}
	}
	return nil
}

// directories finds roots that aren't there, or that everybody may change.
func directories(_ context.Context, s *Subject) (found []Finding) {
	add := func(key, path, remedy string) {
		if path == "" {
			return
		}
		info, err := os.Stat(path)
		switch {
		case !filepath.IsAbs(path):
			found = append(found, fault(key+" "+path+" isn't an absolute path", "begin it with a slash: commands run in any directory"))
		case err != nil:
			finding := unread(key, path, err)
			finding.Remedy = cmp.Or(remedy, finding.Remedy)
			found = append(found, finding)
		case !info.IsDir():
			found = append(found, fault(key+" "+path+" is not a directory", "move it away, or name another one"))
		case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
			found = append(found, fault(key+" "+path+" can be changed by everybody", "chmod o-w "+path))
		}
	}
	const formats = "slapos node format --now makes it"
	add("instance_root", s.slapos["instance_root"], formats)
	add("software_root", s.slapos["software_root"], formats)
	add("certificate_repository_path", s.slapos["certificate_repository_path"], formats)
	add("instance_storage_home", s.slapos["instance_storage_home"], "")
	for _, key := range []string{"shared_part_list", "build_time_part_list"} {
		for _, path := range pass.Lines(s.slapos[key]).List() {
			add(key, path, "mkdir -p "+path+", for the owner of software_root")
		}
	}
	if root := s.slapos["software_root"]; s.UID == 0 && ownerOf(root) == 0 && s.usersOfItsOwn() {
		found = append(found, fault("software_root "+root+" belongs to root, which builds nothing", "slapos node format --now changes the owner"))
	}
	return found
}

// usersOfItsOwn reports whether format makes users.
func (s *Subject) usersOfItsOwn() bool {
	return s.format != nil && !strings.EqualFold(s.format["alter_user"], "false") && s.slapos["root_check"] == ""
}

// ownerOf is -1 for what isn't there.
func ownerOf(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// partitions finds those that the passes would refuse.
func partitions(_ context.Context, s *Subject) (found []Finding) {
	prefix, given := s.format["partition_base_name"]
	root := s.slapos["instance_root"]
	entries, err := os.ReadDir(root)
	if err != nil || !given {
		return nil // directories says so
	}
	count := 0
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) || strings.Trim(entry.Name()[len(prefix):], "0123456789") != "" {
			continue
		}
		path := filepath.Join(root, entry.Name())
		info, err := os.Lstat(path)
		switch {
		case err != nil:
		case !info.IsDir():
			found = append(found, fault("partition "+path+" is not a directory", "move it away, then slapos node format --now"))
		case s.UID == 0 && ownerOf(path) == 0 && s.usersOfItsOwn():
			found = append(found, fault("partition "+path+" belongs to root, as whom nothing is run", "slapos node format --now changes the owner"))
		case info.Mode().Perm()&0o007 != 0:
			found = append(found, warning(fmt.Sprintf("partition %s is open to all users (mode %04o)", path, info.Mode().Perm()), "slapos node format --now, or chmod 750 "+path))
		}
		if err == nil && info.IsDir() {
			count++
		}
	}
	if count == 0 && s.format["input_definition_file"] == "" && s.format["partition_amount"] != "0" {
		found = append(found, fault("there is no partition in "+root, "slapos node format --now makes them"))
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	return found
}

// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// distribution finds name, version and code name as Python's package distro
// does: in os-release, else with lsb_release, else in a file named after the
// distribution (NC-41).
func distribution(ctx context.Context, root string) [3]string {
	var release map[string]string
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		if text, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			release = parseOSRelease(string(text))
			break
		}
	}
	codename, known := osCodename(release)
	if release["id"] != "" && release["version_id"] != "" && known {
		return [3]string{normalName(release["id"], osNames), release["version_id"], codename}
	}
	lsb := lsbRelease(ctx)
	file := releaseFile(root)
	name := firstOf(normalName(release["id"], osNames), normalName(lsb["distributor_id"], lsbNames), normalName(file["id"], fileNames))
	version := firstOf(release["version_id"], lsb["release"], file["version_id"],
		parseReleaseLine(release["pretty_name"])["version_id"], parseReleaseLine(lsb["description"])["version_id"])
	if version == "" && name == "debian" {
		text, _ := os.ReadFile(filepath.Join(root, "etc/debian_version")) // may be absent
		version, _, _ = strings.Cut(string(text), "\n")
	}
	if !known {
		codename = firstOf(lsb["codename"], file["codename"])
	}
	return [3]string{name, version, codename}
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// Other names that distributions have had.
var (
	osNames  = map[string]string{"ol": "oracle", "opensuse-leap": "opensuse"}
	lsbNames = map[string]string{
		"enterpriseenterpriseas": "oracle", "enterpriseenterpriseserver": "oracle",
		"redhatenterpriseworkstation": "rhel", "redhatenterpriseserver": "rhel", "redhatenterprisecomputenode": "rhel",
	}
	fileNames = map[string]string{"redhat": "rhel"}
)

func normalName(name string, names map[string]string) string {
	name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
	return firstOf(names[name], name)
}

// parseOSRelease reads shell assignments, and makes names lower case.
func parseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for _, word := range shellWords(text) {
		if name, value, found := strings.Cut(word, "="); found {
			values[strings.ToLower(name)] = value
		}
	}
	return values
}

// shellWords splits at blanks outside quotes. Comments go up to the end of the
// line.
func shellWords(text string) []string {
	var words []string
	var word strings.Builder
	var quote byte
	begun := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			if quote == '"' && text[i] != '"' && text[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(text[i])
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, begun = c, true
		case c == '#' && !begun:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if begun && quote == 0 {
		words = append(words, word.String())
	}
	return words
}

var codenameInVersion = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\((\D+)\)|,\s*(\D+)`) })

// osCodename looks for the code name in os-release. If it is there but empty,
// the distribution has none.
func osCodename(release map[string]string) (codename string, known bool) {
	for _, name := range []string{"version_codename", "ubuntu_codename"} {
		if codename, known = release[name]; known {
			return codename, true
		}
	}
	if match := codenameInVersion().FindStringSubmatch(release["version"]); match != nil {
		return firstOf(match[1], match[2]), true
	}
	return "", false
}

// lsbRelease runs the program lsb_release; without it there are no values.
func lsbRelease(ctx context.Context) map[string]string {
	values := map[string]string{}
	answer, err := exec.CommandContext(ctx, "lsb_release", "-a").Output()
	if err != nil {
		return values
	}
	for line := range strings.Lines(string(answer)) {
		if name, value, found := strings.Cut(line, ":"); found {
			values[strings.ToLower(strings.ReplaceAll(name, " ", "_"))] = strings.TrimSpace(value)
		}
	}
	return values
}

var (
	releaseFileName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\w+)[-_](?:release|version)$`) })
	otherFiles      = []string{
		"debian_version", "lsb-release", "oem-release", "os-release", "system-release",
		"plesk-release", "iredmail-release", "board-release", "ec2_version",
	}
)

// releaseFile reads the first file in /etc that is named after a distribution.
func releaseFile(root string) map[string]string {
	entries, err := os.ReadDir(filepath.Join(root, "etc"))
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		match := releaseFileName().FindStringSubmatch(entry.Name())
		if match == nil || slices.Contains(otherFiles, entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, "etc", entry.Name()))
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(string(text), "\n")
		values := parseReleaseLine(line)
		if values["name"] == "" {
			continue
		}
		values["id"] = match[1]
		if strings.Contains(strings.ToLower(values["name"]), "cloudlinux") {
			values["id"] = "cloudlinux"
		}
		return values
	}
	return nil
}

var releaseLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(.+?)(?: *release)? *([\d][a-z\d.+-]*)(?: STL)? *(?:\((.*)\).*)?$`)
})

// parseReleaseLine reads a line as "CentOS Linux release 7.9.2009 (Core)".
func parseReleaseLine(line string) map[string]string {
	values := map[string]string{}
	line = strings.TrimSpace(line)
	match := releaseLine().FindStringSubmatch(line)
	if match == nil {
		if line != "" {
			values["name"] = line
		}
		return values
	}
	values["name"], values["version_id"], values["codename"] = match[1], match[2], match[3]
	return values
}

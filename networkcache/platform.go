// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
)

// A Platform is what software is built for.
type Platform struct {
	// Multiarch is the compiler's name of the machine, such as x86_64-linux-gnu.
	Multiarch string
	// OS is the distribution's name, version and code name, as Python's package
	// distro returns them: debian, 12, bookworm.
	OS [3]string
}

// Compatible reports whether software built for other runs on p (NC-42).
func (p Platform) Compatible(other Platform) bool {
	return p.Multiarch == other.Multiarch && p.normalOS() == other.normalOS()
}

// normalOS treats Debian's releases as one per major version, and Raspbian as
// Debian.
func (p Platform) normalOS() [3]string {
	name := strings.ToLower(p.OS[0])
	if name == "raspbian" {
		name = "debian"
	}
	if name != "debian" {
		return [3]string{name, p.OS[1], p.OS[2]}
	}
	major, _, _ := strings.Cut(p.OS[1], ".")
	return [3]string{name, major, ""}
}

// EntryPlatform reads the platform of a release's entry (NC-40).
func EntryPlatform(e Entry) (Platform, error) {
	var about struct {
		Multiarch *string         `json:"multiarch"`
		Machine   string          `json:"machine"`
		OS        json.RawMessage `json:"os"`
	}
	if err := json.Unmarshal([]byte(e.Content), &about); err != nil {
		return Platform{}, fmt.Errorf("entry: %w", err)
	}
	if about.Multiarch == nil {
		return oldPlatform(about.Machine, about.OS)
	}
	var os []string
	if err := json.Unmarshal(about.OS, &os); err != nil || len(os) != 3 {
		return Platform{}, errors.New("entry: os is not a list of three texts")
	}
	return Platform{*about.Multiarch, [3]string(os)}, nil
}

var oldOS = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*\(\s*u?'([^'\\]*)'\s*,\s*u?'([^'\\]*)'\s*,\s*u?'([^'\\]*)'\s*,?\s*\)\s*$`)
})

// oldPlatform reads entries from before multiarch, whose os was the text of a
// Python tuple.
func oldPlatform(machine string, os json.RawMessage) (Platform, error) {
	if machine != "x86_64" {
		return Platform{}, errors.New("entry: no multiarch")
	}
	var tuple string
	if err := json.Unmarshal(os, &tuple); err != nil {
		return Platform{}, errors.New("entry: os is not a text")
	}
	parts := oldOS().FindStringSubmatch(strings.ReplaceAll(tuple, `"`, `'`))
	if parts == nil {
		return Platform{}, fmt.Errorf("entry: os is %.100q", tuple)
	}
	return Platform{"x86_64-linux-gnu", [3]string(parts[1:])}, nil
}

// DetectPlatform finds the platform of a machine whose files are below root,
// "/" for this one. It runs programs of this machine for what files don't say.
func DetectPlatform(ctx context.Context, root string) Platform {
	return Platform{multiarch(ctx), distribution(ctx, root)}
}

// multiarch asks the compiler, or uses what this program was built for (NC-41).
func multiarch(ctx context.Context) string {
	answer, err := exec.CommandContext(ctx, "gcc", "-dumpmachine").Output()
	if name := strings.TrimSpace(string(answer)); err == nil && name != "" {
		return name
	}
	names := map[string]string{
		"amd64": "x86_64-linux-gnu", "386": "i686-linux-gnu", "arm64": "aarch64-linux-gnu",
		"arm": "arm-linux-gnueabihf", "riscv64": "riscv64-linux-gnu",
		"ppc64le": "powerpc64le-linux-gnu", "s390x": "s390x-linux-gnu",
	}
	if name, found := names[runtime.GOARCH]; found {
		return name
	}
	return runtime.GOARCH + "-linux-gnu"
}

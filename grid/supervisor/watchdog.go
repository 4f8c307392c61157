// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"os"
	"path/filepath"
	"strings"
)

// installedWatchdog is the path of the program on nodes of the original.
const installedWatchdog = "/opt/slapos/bin/slapos-watchdog"

// Watchdog describes the event listener that tells the master when a service
// ends (GRID-72, GRID-79).
type Watchdog struct {
	Executable            string // path of this program
	MasterURL             string
	ComputerID            string
	CertificateRepository string // optional
	InstanceRoot          string
	CAFile                string // to verify the master with, instead of the system's (D-16)
	Insecure              bool   // the master isn't verified
	TokenFile             string // has the token that the master asks for (CLI-112)
}

// Command returns the listener's command line. Its program is the original's
// /opt/slapos/bin/slapos-watchdog if the node has it, else the link
// slapos-watchdog beside this program, else this program's own command of that
// name.
func (w Watchdog) Command() string {
	words := []string{w.program(), "--master-url", always(w.MasterURL) + " "}
	if w.CertificateRepository != "" {
		words = append(words, "--certificate-repository-path", always(w.CertificateRepository))
	}
	words = append(words, "--computer-id", always(w.ComputerID), "--instance-root", always(w.InstanceRoot))
	if !w.isOurs() {
		return strings.Join(words, " ")
	}
	if w.CAFile != "" {
		words = append(words, "--master-ca-file", always(w.CAFile))
	}
	if w.TokenFile != "" {
		words = append(words, "--master-token-file", always(w.TokenFile))
	}
	if w.Insecure {
		words = append(words, "--master-insecure")
	}
	return strings.Join(words, " ")
}

// isOurs reports whether the listener knows the options that the original's doesn't.
func (w Watchdog) isOurs() bool {
	installed, err := os.Stat(installedWatchdog)
	if err != nil {
		return true
	}
	us, err := os.Stat(w.Executable)
	return err == nil && os.SameFile(installed, us)
}

func (w Watchdog) program() string {
	beside := filepath.Join(filepath.Dir(w.Executable), "slapos-watchdog")
	for _, path := range []string{installedWatchdog, beside} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return quote(path)
		}
	}
	return quote(w.Executable) + " watchdog"
}

// always quotes a word, as in the original's line.
func always(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"os"
	"path/filepath"
	"strings"
)

// netrcLogin looks up a host in the .netrc file of a home directory (SLAP-5). A
// file that cannot be read, or does not name the host, has no login.
func netrcLogin(home, host string) (login, password string, ok bool) {
	if home == "" {
		return "", "", false
	}
	data, err := os.ReadFile(filepath.Join(home, ".netrc"))
	if err != nil {
		return "", "", false
	}
	return parseNetrc(string(data), host)
}

// parseNetrc finds the entry of host, else the default entry. An entry has the
// tokens login, password and account; it skips macro definitions.
func parseNetrc(text, host string) (login, password string, ok bool) {
	var entry struct {
		matches, fallback bool
		login, password   string
	}
	var best [2]string
	finish := func() bool {
		if entry.matches || entry.fallback && !ok {
			best, ok = [2]string{entry.login, entry.password}, true
		}
		return entry.matches
	}
	tokens := netrcTokens(text)
	for i := 0; i < len(tokens); i++ {
		value := ""
		if i+1 < len(tokens) {
			value = tokens[i+1]
		}
		switch tokens[i] {
		case "machine", "default":
			if finish() {
				return best[0], best[1], true
			}
			entry.login, entry.password = "", ""
			entry.fallback = tokens[i] == "default"
			entry.matches = !entry.fallback && value == host
			if !entry.fallback {
				i++
			}
		case "login", "user":
			entry.login = value
			i++
		case "password":
			entry.password = value
			i++
		case "account":
			i++
		}
	}
	finish()
	return best[0], best[1], ok
}

// netrcTokens splits a .netrc file into its words, without comments and macro
// definitions, which end at an empty line.
func netrcTokens(text string) []string {
	var tokens []string
	macro := false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			macro = false
		}
		if macro {
			continue
		}
		for i, word := range words {
			password := len(tokens) > 0 && tokens[len(tokens)-1] == "password"
			if strings.HasPrefix(word, "#") && !password {
				break
			}
			if word == "macdef" && i == 0 {
				macro = true
				break
			}
			tokens = append(tokens, strings.Trim(word, `"`))
		}
	}
	return tokens
}

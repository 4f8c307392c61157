// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"slapos/slap/wholefile"
)

// ReadToken reads the token for a Master (CLI-112): the first line of a file that
// its owner alone may read. No file, an empty name, is no token.
// Neither has who may not read the file: the user of a partition, whom the Master
// knows without one, or somebody whom it refuses.
func ReadToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	opened, err := os.Open(file)
	if errors.Is(err, fs.ErrPermission) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("master_token_file: %w", err)
	}
	defer opened.Close()
	text, err := io.ReadAll(io.LimitReader(opened, 4096))
	if err != nil {
		return "", fmt.Errorf("master_token_file: %w", err)
	}
	token, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if token = strings.TrimSpace(token); token == "" {
		return "", fmt.Errorf("master_token_file: %s has no token", file)
	}
	return token, nil
}

// MakeToken makes a file with a token that nobody can guess, which its owner alone
// can read, unless there is one.
func MakeToken(file string) error {
	if info, err := os.Lstat(file); err == nil && info.Mode().Perm()&0o077 == 0 {
		if _, err := ReadToken(file); err == nil {
			return nil
		}
	}
	return wholefile.Write(file, []byte(rand.Text()+"\n"), 0o600, wholefile.ExactMode(0o600))
}

// bear adds the token to a request that goes to the Master.
func (c *Client) bear(r *http.Request) bool {
	if c.config.Token == "" || !c.isMaster(r.URL) {
		return false
	}
	r.Header.Set("Authorization", "Bearer "+c.config.Token)
	return true
}

func (c *Client) isMaster(target *url.URL) bool {
	return target.Scheme == c.master.Scheme && target.Host == c.master.Host
}

// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"slapos/slap"
)

// A Master is what was found at master_url.
type Master struct {
	URL string `json:"url"`
	// Kind is "" if it doesn't answer.
	Kind slap.MasterKind `json:"kind"`
	// Offset is how many seconds the clock of this machine is ahead of its own.
	Offset float64 `json:"clock-offset"`

	tellsTime bool
}

const (
	masterPatience = 20 * time.Second
	// clockPatience is what joining and certificates bear; clockDoubt is more
	// than a clock that is set by the network goes wrong.
	clockPatience = 5 * time.Minute
	clockDoubt    = 10 * time.Second
)

// askMaster finds a master that doesn't answer, or not this machine.
func askMaster(ctx context.Context, s *Subject) (found []Finding) {
	limited, cancel := context.WithTimeout(ctx, masterPatience)
	defer cancel()
	s.master = &Master{URL: s.slapos["master_url"]}
	client, err := s.Client()
	if err != nil {
		return []Finding{fault("the master can't be asked: "+LineOf(err), "change the key, or the file that it names")}
	}
	defer func() { _ = client.Close() }()
	s.master.URL = client.MasterURL()
	id, err := client.Identify(limited)
	if err != nil {
		return []Finding{unreached(s.master.URL, err)}
	}
	s.master.Kind = id.Kind
	if s.master.tellsTime = !id.Date.IsZero(); s.master.tellsTime {
		s.master.Offset = s.Now().Truncate(time.Second).Sub(id.Date).Seconds() // the header has whole seconds
	}
	computer := s.slapos["computer_id"]
	if !s.isNode() || computer == "" {
		return nil
	}
	_, err = client.FullComputerInformation(limited, computer)
	var answer *slap.HTTPError
	switch {
	case err == nil:
	// A local master answers 500 for a computer that it doesn't know (PROXY-32).
	case errors.Is(err, slap.ErrNotFound), errors.As(err, &answer) && answer.Status == http.StatusInternalServerError && id.Kind != slap.KindOther:
		found = append(found, fault(fmt.Sprintf("the master %s doesn't know the computer %s", s.master.URL, computer), "slapos node format --now tells a local master of it; a SlapOS Master wants it registered first: slapos node register"))
	case errors.As(err, &answer) && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden):
		found = append(found, fault(fmt.Sprintf("the master %s refuses this machine as %s (status %d)", s.master.URL, computer, answer.Status), "look at key_file and cert_file, or master_token_file, and whether it was revoked"))
	default:
		found = append(found, fault(fmt.Sprintf("the master %s doesn't tell what is to be on %s: %s", s.master.URL, computer, LineOf(err)), "look at the log of the master, and whether master_url is its address"))
	}
	return found
}

// unreached says why a master doesn't answer.
func unreached(url string, err error) Finding {
	var failed *slap.ConnectionError
	reason := LineOf(err)
	if errors.As(err, &failed) {
		reason = LineOf(failed.Err)
	}
	remedy := "look at master_url, the firewall, and whether the master runs"
	switch {
	case strings.Contains(reason, "unknown authority"):
		remedy = "name its authority in master_ca_file"
	case strings.Contains(reason, "HTTP response to HTTPS"):
		remedy = "it speaks no TLS: begin master_url with http://"
	case strings.Contains(reason, "no such host"):
		remedy = "look at the name in master_url, and at /etc/resolv.conf"
	case errors.Is(err, context.DeadlineExceeded):
		reason = "no answer within " + masterPatience.String()
	}
	return fault("the master "+url+" can't be reached: "+reason, remedy)
}

// clockOf compares the clock with the master's.
func clockOf(_ context.Context, s *Subject) []Finding {
	if s.master == nil || !s.master.tellsTime {
		return nil
	}
	const remedy = "timedatectl set-ntp true, on the one that is wrong"
	off := time.Duration(s.master.Offset * float64(time.Second))
	behind := "ahead of"
	if off < 0 {
		behind, off = "behind", -off
	}
	text := fmt.Sprintf("the clock of this machine is %s %s that of the master", off, behind)
	switch {
	case off > clockPatience:
		return []Finding{fault(text, remedy)}
	case off > clockDoubt:
		return []Finding{warning(text, remedy)}
	}
	return nil
}

// LineOf is the last line of an error, which says what happened.
func LineOf(err error) string {
	text := strings.TrimSpace(err.Error())
	return text[strings.LastIndexByte(text, '\n')+1:]
}

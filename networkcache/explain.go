// SPDX-License-Identifier: GPL-3.0-or-later

package networkcache

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
)

// Explain says about each entry of a key, in the order in which they are tried,
// who signed it, and why it is used or not (NC-104). here is the node's platform
// for entries of built releases, nil for others.
func (c *Client) Explain(ctx context.Context, entries []Entry, here *Platform) (lines []string) {
	entries = append([]Entry(nil), entries...)
	newestFirst(entries)
	isUsed := false
	for _, entry := range entries {
		verdict := c.refusal(ctx, entry, here)
		switch {
		case verdict == "" && isUsed:
			verdict = "would do as well, but comes after the one that is used"
		case verdict == "":
			verdict, isUsed = "is used", true
		}
		who := "signed by nobody who is trusted"
		if certificate := c.trusted.SignerOf(entry); certificate != nil {
			who = "signed by " + certificate.Subject.CommonName
		}
		lines = append(lines, fmt.Sprintf("%.16s…, %s: %s", entry.SHA512(), who, verdict))
	}
	return lines
}

// refusal is why an entry isn't used, "" if it could be.
func (c *Client) refusal(ctx context.Context, entry Entry, here *Platform) string {
	if reason := c.trusted.refusal(entry); reason != "" {
		return reason
	}
	if entry.SHA512() == "" {
		return "it names no content (sha512)"
	}
	if here != nil {
		platform, err := EntryPlatform(entry)
		if err != nil {
			return err.Error()
		}
		if !platform.Compatible(*here) {
			return fmt.Sprintf("it was built for %.60s on %.40s, this node is %s on %s",
				strings.Join(platform.OS[:], " "), platform.Multiarch, strings.Join(here.OS[:], " "), here.Multiarch)
		}
	}
	if !c.has(ctx, entry.SHA512()) {
		return "shacache doesn't have its content"
	}
	return ""
}

// refusal is why an entry isn't trusted, "" if it is.
func (c Certificates) refusal(entry Entry) string {
	switch _, err := base64.StdEncoding.DecodeString(entry.Signature); {
	case entry.Signature == "":
		return "it has no signature"
	case err != nil:
		return "its signature is damaged: it is no base64"
	case len(c) == 0:
		return "signature-certificate-list has no certificate"
	case !c.Verify(entry):
		return fmt.Sprintf("its signature is of none of the %d certificates in signature-certificate-list, or the entry was changed", len(c))
	}
	return ""
}

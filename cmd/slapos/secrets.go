// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
)

// secretForms are how a password or a token stands in the text of an error: in a
// URL, in a connection string or a query, in a header. The groups of each
// stay. A number before a slash is the port of a URL without a user.
var secretForms = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile("(?i)(\\b(?:postgres|postgresql)[a-z+]*://[^\\s:@/\"'`]*:)[^\"'`]*(@)"),
		regexp.MustCompile("(\\b[A-Za-z][A-Za-z0-9+.-]*://[^\\s:@/\"'`]*:)[^\\s/\"'`]*(@)"),
		regexp.MustCompile(`(?i)(\b[a-z_-]*(?:password|passwd|secret|token|access_key|passphrase)\s*=\s*)(?:'[^']*'|"[^"]*"|[^\s&'"` + "`" + `]+)`),
		regexp.MustCompile(`(?i)(\bAuthorization: *(?:Basic|Bearer) +)\S+`),
	}
})

// hideSecrets replaces passwords and tokens in a text.
func hideSecrets(text string) string {
	for _, form := range secretForms() {
		text = form.ReplaceAllString(text, "${1}***${2}")
	}
	return text
}

// A secretHandler hides secrets in all that is not what the user asked for:
// warnings, errors and debug records. INFO tells results, such as a connection
// parameter with a password in it.
type secretHandler struct{ slog.Handler }

func (h secretHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo {
		return h.Handler.Handle(ctx, r)
	}
	hidden := slog.NewRecord(r.Time, r.Level, hideSecrets(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		switch value := a.Value.Resolve(); value.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(hideSecrets(value.String()))
		case slog.KindAny:
			a.Value = slog.StringValue(hideSecrets(fmt.Sprint(value.Any())))
		}
		hidden.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, hidden)
}

func (h secretHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return secretHandler{h.Handler.WithAttrs(attributes)}
}

func (h secretHandler) WithGroup(name string) slog.Handler {
	return secretHandler{h.Handler.WithGroup(name)}
}

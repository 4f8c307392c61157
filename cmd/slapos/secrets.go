// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A secretForm is tried only on texts with one of its hints, in lower case,
// since every line of a build passes here.
type secretForm struct {
	hints   []string
	pattern *regexp.Regexp
}

// secretForms are the ways a password or token appears in a text: in a URL
// (also a mistyped one, or with percent signs), in a connection string, a query
// or a document, in a header. The groups of each pattern stay. A number before
// a slash is the port of a URL without a user. A quoted value may contain
// escaped quotes, and its backslashes may be doubled: we hide too much rather
// than too little.
var secretForms = sync.OnceValue(func() []secretForm {
	return []secretForm{
		{hints: []string{"@"}, pattern: regexp.MustCompile("(?i)(\\b(?:postgres|postgresql)[a-z0-9+]*:/*[^\\s:@/\"'`]*:)[^\"'`]*(@)")},
		{hints: []string{"@"}, pattern: regexp.MustCompile("(\\b[A-Za-z][A-Za-z0-9+.-]*://[^\\s:@/\"'`]*:)[^\\s/\"'`]*(@)")},
		// A user name without a password that is long enough to be a token.
		{hints: []string{"@"}, pattern: regexp.MustCompile(`(://)[A-Za-z0-9_.~%+-]{20,}(@)`)},
		// A port that isn't a number is the part of a password before a slash.
		{hints: []string{"@"}, pattern: regexp.MustCompile("(://[^\\s:@/\"'`\\[]*:)[0-9]*[^0-9\\s/\"'`@][^\\s\"'`]*(@)")},
		{hints: []string{"@"}, pattern: regexp.MustCompile("(://[^\\s:@/\"'`\\[]*:)[0-9]*[^0-9\\s/\"'`@][^\"'`\\n@]*(@)")},
		{hints: []string{"invalid port"}, pattern: regexp.MustCompile(`(invalid port \\*")[^"\\]*()`)},
		// USER:PASSWORD@HOST without a scheme, or behind half of one.
		{hints: []string{"@"}, pattern: regexp.MustCompile("((?:^|[\\s\"'`(=/])[^\\s:@/\"'`(=]*:)[^\\s/\"'`]+(@)")},
		{hints: []string{"%40"}, pattern: regexp.MustCompile(`(?i)(%3a(?:%2f)+[^\s&:@/"']*?%3a)[^\s&"']*?(%40)`)},
		{hints: []string{"passw", "passphrase", "secret", "token", "access_key", "api"}, pattern: regexp.MustCompile(`(?is)(\b[a-z_-]*(?:password|passwd|secret|token|access_key|secret_key|api_?key|passphrase)` +
			`(?:\s*=\s*|%3d|\\*["']\s*:\s*))` +
			`(?:'(?:\\+.|[^'\\])*'?|"(?:\\+.|[^"\\])*"?|\\+["'][^"'\\]*|(?:\\+.|[^\s&'"\\` + "`" + `])+)`)},
		{hints: []string{"authorization"}, pattern: regexp.MustCompile(`(?i)(\bAuthorization\\*["']?[:=][\s\["'\\]*(?:[a-z]+ +)?)[^\s\]"']+`)},
	}
})

// hideSecrets replaces passwords and tokens in a text.
func hideSecrets(text string) string {
	lower := strings.ToLower(text)
	for _, form := range secretForms() {
		if slices.ContainsFunc(form.hints, func(hint string) bool { return strings.Contains(lower, hint) }) {
			text = form.pattern.ReplaceAllString(text, "${1}***${2}")
		}
	}
	return text
}

type resultKey struct{}

// asResult marks a record as the result that the user asked for, to be shown
// unchanged: the connection parameters of an instance, including passwords.
func asResult(ctx context.Context) context.Context { return context.WithValue(ctx, resultKey{}, true) }

// A secretHandler hides secrets in everything except results.
type secretHandler struct{ slog.Handler }

func (h secretHandler) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Value(resultKey{}) != nil {
		return h.Handler.Handle(ctx, r)
	}
	hidden := slog.NewRecord(r.Time, r.Level, hideSecrets(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		hidden.AddAttrs(hideIn(a))
		return true
	})
	return h.Handler.Handle(ctx, hidden)
}

// hideIn hides secrets in the value of an attribute.
func hideIn(a slog.Attr) slog.Attr {
	switch value := a.Value.Resolve(); value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(hideSecrets(value.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(hideSecrets(fmt.Sprint(value.Any())))
	case slog.KindGroup:
		var members []slog.Attr
		for _, member := range value.Group() {
			members = append(members, hideIn(member))
		}
		a.Value = slog.GroupValue(members...)
	}
	return a
}

func (h secretHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	hidden := make([]slog.Attr, len(attributes))
	for i, a := range attributes {
		hidden[i] = hideIn(a)
	}
	return secretHandler{h.Handler.WithAttrs(hidden)}
}

func (h secretHandler) WithGroup(name string) slog.Handler {
	return secretHandler{h.Handler.WithGroup(name)}
}

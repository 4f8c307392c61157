// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"slapos/cmd/slapos/argv"
	"slapos/cmd/slapos/pytext"
	"slapos/format"
	"slapos/grid/pass"
	"slapos/slap"
)

// Every key of a configuration file whose value is more than text is read here,
// by its rule in keyRules. A default replaces an absent key only, never a 0 or
// an empty text that was written (D-26).

// A keyRule says what a key may be.
type keyRule struct {
	section, name string
	kind          keyKind
	least, most   int // of a whole number
}

type keyKind int

const (
	wholeKind    keyKind = iota
	secondsKind          // decimals allowed
	sizeKind             // 1000M
	limitKind            // 512M or max: see package cgroup
	ageKind              // 90d
	byteSizeKind         // 100G
	truthKind
	// looseKind is a truth value that accepts any text, as in the original.
	looseKind
)

const (
	maxPort = 65535
	maxJobs = 10_000
	// maxAmount of partitions: more than the prefixes of IPv6 have room for.
	maxAmount = 1 << 20
	// defaultPartitionPrefix of node boot (CLI-75) and of completion.
	defaultPartitionPrefix = "slappart"
	// maxSeconds is some centuries, and fits in a duration.
	maxSeconds = 9_000_000_000
)

var keyRules = [...]keyRule{
	{section: "slapos", name: "jobs", kind: wholeKind, least: 1, most: maxJobs},
	{section: "slapos", name: "maximum_periodicity", kind: wholeKind, least: math.MinInt, most: math.MaxInt},
	{section: "slapos", name: "promise_timeout", kind: secondsKind, most: maxSeconds},
	{section: "slapos", name: "partition_timeout", kind: secondsKind, most: maxSeconds},
	{section: "slapos", name: "partition-timeout", kind: secondsKind, most: maxSeconds},
	{section: "slapos", name: "maximal_delay", kind: wholeKind, most: maxSeconds},
	{section: "slapos", name: "agent_poll_periodicity", kind: wholeKind, least: 1, most: maxSeconds},
	{section: "slapos", name: "agent_wait", kind: wholeKind, most: 600},
	{section: "slapos", name: "agent_report_periodicity", kind: wholeKind, least: 1, most: maxSeconds},
	{section: "slapos", name: "agent_collect_periodicity", kind: wholeKind, most: maxSeconds},
	{section: "slapos", name: "agent_prune_periodicity", kind: wholeKind, most: maxSeconds},
	{section: "slapos", name: "agent_garbage_collect_periodicity", kind: wholeKind, most: maxSeconds},
	{section: "slapos", name: "collect_cache", kind: wholeKind, least: math.MinInt, most: math.MaxInt},
	{section: "slapos", name: "software_min_free_space", kind: sizeKind},
	{section: "slapos", name: "instance_min_free_space", kind: sizeKind},
	{section: "slapos", name: "root_check", kind: truthKind},
	{section: "slapos", name: "develop", kind: truthKind},
	{section: "slapos", name: "forbid_supervisord_automatic_launch", kind: truthKind},
	{section: "slapos", name: "master_insecure", kind: truthKind},
	{section: "slapformat", name: "partition_amount", kind: wholeKind, most: maxAmount},
	{section: "slapformat", name: "ipv6_prefixshift", kind: wholeKind, most: 62},
	{section: "slapformat", name: "alter_network", kind: truthKind},
	{section: "slapformat", name: "alter_user", kind: truthKind},
	{section: "slapformat", name: "partition_has_ipv6_range", kind: truthKind},
	{section: "slapformat", name: "create_tap", kind: truthKind},
	{section: "slapformat", name: "create_tun", kind: truthKind},
	{section: "slapformat", name: "tap_ipv6", kind: truthKind},
	{section: "slapformat", name: "tun_ipv6", kind: truthKind},
	{section: "slapformat", name: "memory_max", kind: limitKind},
	{section: "slapformat", name: "cpu_weight", kind: limitKind},
	{section: "slapformat", name: "pids_max", kind: limitKind},
	{section: "slapproxy", name: "port", kind: wholeKind, most: maxPort},
	{section: "slapproxy", name: "listen_connections", kind: wholeKind, least: 1, most: 1 << 16},
	{section: "slapproxy", name: "history_days", kind: wholeKind, least: 1, most: 36_500},
	{section: "slapproxy", name: "history_events", kind: wholeKind, least: 1, most: 100_000},
	{section: "slapproxy", name: "listen_open_cache", kind: truthKind},
	{section: "slapproxy", name: "listen_authority", kind: truthKind},
	{section: "slapproxy", name: "shacache_max_age", kind: ageKind},
	{section: "slapproxy", name: "shacache_max_size", kind: byteSizeKind},
	{section: "networkcache", name: "signature-date", kind: truthKind},
	{section: "collect", name: "disk_snapshot_time_cycle", kind: wholeKind, least: math.MinInt, most: math.MaxInt},
	{section: "collect", name: "report_disk_usage", kind: looseKind},
	{section: "firewall", name: "testing", kind: looseKind},
}

// ruleOf returns the rule of a key. A key without a rule is a bug in this
// program.
func ruleOf(name string, kinds ...keyKind) keyRule {
	for _, rule := range keyRules {
		if rule.name == name && slices.Contains(kinds, rule.kind) {
			return rule
		}
	}
	panic("no rule for key " + name)
}

// checkValue tries a value as commands read it. It is nil for keys that are text.
func checkValue(section, key string, values map[string]string) error {
	text, given := values[key]
	if !given || text == "" && (key == "develop" || section == "slapproxy") {
		return nil
	}
	for _, rule := range keyRules {
		if rule.name == key && slices.Contains(sectionsOf(section), rule.section) {
			return rule.read(values)
		}
	}
	switch key {
	case "ipv4_local_network":
		return format.CheckIPv4Network(text)
	case "ipv6_local_network":
		return format.CheckIPv6Network(text)
	case "software_product_list":
		_, err := softwareProducts(text)
		return err
	case "proximity-url-list":
		_, err := proximityPlaces(text)
		return err
	case "agent_listen":
		if text != "" {
			return checkLoopback(text)
		}
	}
	return nil
}

// sectionsOf are those whose keys a command finds in a section, too.
func sectionsOf(section string) []string {
	switch section {
	case "slapos":
		return []string{"slapos", "slapformat", "slapproxy", "networkcache"}
	case "slapproxy":
		return []string{"slapproxy", "slapos"}
	}
	return []string{section}
}

// read reads a key's value by its rule.
func (r keyRule) read(section map[string]string) (err error) {
	switch r.kind {
	case wholeKind:
		_, err = wholeOption(section, r.name, 0)
	case secondsKind:
		_, err = secondsOption(section, 0, r.name)
	case sizeKind:
		_, err = sizeOption(section, r.name, 0)
	case limitKind:
		_, err = readLimits(map[string]string{r.name: section[r.name]})
	case ageKind:
		_, err = ageOption(section, r.name)
	case byteSizeKind:
		_, err = byteSizeOption(section, r.name)
	case truthKind:
		_, err = truthOption(section, r.name, false)
	case looseKind: // takes any text
	}
	return err
}

// A valueError is a value that can't be used. See [placed].
type valueError struct {
	key, value string
	want       string // "must be a whole number" and the like
	without    string // the effect of leaving the key out, if that is the way out
}

func (e *valueError) Error() string { return e.key + " " + e.text() }

func (e *valueError) text() string {
	text := fmt.Sprintf("%s, not %q", e.want, pytext.Shortened(e.value))
	if e.without != "" {
		text += ": without the key, " + e.without
	}
	return text
}

// withConfiguration reads the node's configuration and passes it to use. The
// error of a value that use refuses names its place: the file, and the first of
// the sections that has the key.
func (e *environment) withConfiguration(path string, sections []string, use func(*pytext.Configuration) error) error {
	configuration, err := e.nodeConfiguration(path)
	if err != nil {
		return err
	}
	return placed(use(configuration), configuration, sections...)
}

// placed adds the file and the section of the value to a valueError; other
// errors stay unchanged.
func placed(err error, c *pytext.Configuration, sections ...string) error {
	var wrong *valueError
	if !errors.As(err, &wrong) {
		return err
	}
	for _, section := range sections {
		if _, found := c.Raw(section)[wrong.key]; found {
			return fmt.Errorf("%s: section [%s], key %s %s", c.Path(), section, wrong.key, wrong.text())
		}
	}
	return fmt.Errorf("%s: key %s %s", c.Path(), wrong.key, wrong.text())
}

// optionError turns a valueError into one about the command line. The command
// itself reads options that are text for the original.
func optionError(err error, option string) error {
	var wrong *valueError
	if !errors.As(err, &wrong) {
		return err
	}
	return argv.UsageErrorf("argument --%s: invalid value %q: %s", option, pytext.Shortened(wrong.value), wrong.want)
}

// originOf names in parentheses the place of a key: the first of the sections
// that has it.
func originOf(c *pytext.Configuration, key string, sections ...string) string {
	for _, section := range sections {
		if _, found := c.Raw(section)[key]; found {
			return fmt.Sprintf(" (section [%s] of %s)", section, c.Path())
		}
	}
	return ""
}

// textOption is the text of a key, usual if the key is absent. An empty text is
// a value (D-26).
func textOption(section map[string]string, key, usual string) string {
	if text, given := section[key]; given {
		return text
	}
	return usual
}

// wholeOption reads a whole number, usual if the key is absent.
func wholeOption(section map[string]string, key string, usual int) (int, error) {
	rule := ruleOf(key, wholeKind)
	text, given := section[key]
	if !given {
		return usual, nil
	}
	number, ok := slap.PythonInt(text)
	if !ok || number < rule.least || number > rule.most {
		return 0, &valueError{key: key, value: text, want: "must be " + argv.WholeRange(rule.least, rule.most)}
	}
	return number, nil
}

// secondsOption reads a number of seconds, which may have decimals, from the
// first of the keys that is present.
func secondsOption(section map[string]string, usual time.Duration, keys ...string) (time.Duration, error) {
	for _, key := range keys {
		rule := ruleOf(key, secondsKind)
		text, given := section[key]
		if !given {
			continue
		}
		digits := slap.PythonDigits(text)
		seconds, err := strconv.ParseFloat(digits, 64)
		if err != nil || strings.ContainsAny(digits, "xX_") || !(seconds >= float64(rule.least) && seconds <= float64(rule.most)) {
			return 0, &valueError{key: key, value: text, want: fmt.Sprintf("must be a number of seconds from %d to %d", rule.least, rule.most)}
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	return usual, nil
}

// sizeOption reads a number of bytes with a unit.
func sizeOption(section map[string]string, key string, usual int64) (int64, error) {
	ruleOf(key, sizeKind)
	text, given := section[key]
	if !given {
		return usual, nil
	}
	size, err := pass.ParseSize(text)
	if err != nil {
		return 0, &valueError{key: key, value: text, want: "must be a size such as 1000M or 0"}
	}
	return size, nil
}

// parseBoolean reads a truth value as Python's ConfigParser does.
func parseBoolean(text string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "yes", "true", "on":
		return true, true
	case "0", "no", "false", "off":
		return false, true
	}
	return false, false
}

// truthOption reads a key that is true or false, usual if it is absent.
func truthOption(section map[string]string, key string, usual bool) (bool, error) {
	ruleOf(key, truthKind)
	text, given := section[key]
	if !given {
		return usual, nil
	}
	value, ok := parseBoolean(text)
	if !ok {
		return false, &valueError{key: key, value: text, want: "must be true or false"}
	}
	return value, nil
}

// looseOption reads a key that is true or false, usual if it is absent. Any
// other text means other.
func looseOption(section map[string]string, key string, usual, other bool) bool {
	ruleOf(key, looseKind)
	text, given := section[key]
	if !given {
		return usual
	}
	if value, ok := parseBoolean(text); ok {
		return value
	}
	return other && text != ""
}

// isTrue is truthOption for a key whose default is false.
func isTrue(section map[string]string, key string) (bool, error) {
	return truthOption(section, key, false)
}

// ageOption reads a time after which something is removed, 0 if the key is
// absent. See [parseAge].
func ageOption(section map[string]string, key string) (time.Duration, error) {
	ruleOf(key, ageKind)
	return removalOption(section, key, ageForms, parseAge)
}

// byteSizeOption reads a size above which something is removed, 0 if the key is
// absent. See [parseByteSize].
func byteSizeOption(section map[string]string, key string) (int64, error) {
	ruleOf(key, byteSizeKind)
	return removalOption(section, key, byteSizeForms, parseByteSize)
}

func removalOption[T any](section map[string]string, key, forms string, parse func(string) (T, bool)) (T, error) {
	var none T
	text, given := section[key]
	if !given {
		return none, nil
	}
	value, ok := parse(text)
	if !ok {
		return none, &valueError{key: key, value: text, want: "must be " + forms, without: "nothing is removed"}
	}
	return value, nil
}

const (
	ageForms      = "a time such as 90d or 12h"
	byteSizeForms = "a size such as 500M or 100G"
)

// parseAge reads a number of days, as 90d, or a duration of Go. It must be
// positive and at most some centuries.
func parseAge(text string) (time.Duration, bool) {
	age, err := time.ParseDuration(text)
	if days, found := strings.CutSuffix(text, "d"); found {
		var count float64
		count, err = strconv.ParseFloat(days, 64)
		const day = 24 * 60 * 60
		if !(count > 0 && count <= maxSeconds/day) {
			return 0, false
		}
		age = time.Duration(count * day * float64(time.Second))
	}
	return age, err == nil && age > 0
}

// parseByteSize reads a number of bytes with an optional unit K, M, G or T.
func parseByteSize(text string) (int64, bool) {
	number, unit := strings.ToUpper(strings.TrimSuffix(strings.TrimSuffix(text, "B"), "i")), int64(1)
	for i, name := range []string{"K", "M", "G", "T"} {
		if rest, found := strings.CutSuffix(number, name); found {
			number, unit = rest, 1<<(10*(i+1))
			break
		}
	}
	count, err := strconv.ParseFloat(number, 64)
	if size := count * float64(unit); err == nil && size >= 1 && size < 1<<62 {
		return int64(size), true
	}
	return 0, false
}

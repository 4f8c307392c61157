// SPDX-License-Identifier: GPL-3.0-or-later

package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"slapos/slap"
)

// integer reads a number as Python does. A number that XML-RPC can't hold (68
// years in seconds) becomes the largest or smallest that it can.
func integer(text string) (int, error) {
	number, ok := slap.PythonInt(text)
	if !ok {
		return 0, fmt.Errorf("invalid literal for int() with base 10: %s", slap.PythonRepr(text))
	}
	return min(max(number, math.MinInt32), math.MaxInt32), nil
}

func boolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "yes", "true", "on", "1":
		return true, nil
	case "no", "false", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("not a valid boolean value: %s", slap.PythonRepr(text))
}

func octal(text string) (int, error) {
	digits := strings.ToLower(slap.PythonDigits(text))
	number, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(digits, "+"), "0o"), 8, 16)
	if err != nil {
		return 0, fmt.Errorf("%s can not be converted to an octal type", text)
	}
	return int(number), nil
}

// byteSize reads 100, 100KB, 50MB or 1GB. A size that no file reaches becomes
// the largest number; a negative one means no limit, as 0 does.
func byteSize(text string) (int64, error) {
	lower := strings.ToLower(text)
	for _, unit := range []struct {
		suffix string
		bytes  int
	}{{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}} {
		if digits, found := strings.CutSuffix(lower, unit.suffix); found {
			return bytesOf(digits, unit.bytes)
		}
	}
	return bytesOf(lower, 1)
}

func bytesOf(digits string, unit int) (int64, error) {
	number, ok := slap.PythonInt(digits)
	switch {
	case !ok:
		return 0, fmt.Errorf("invalid literal for int() with base 10: %s", slap.PythonRepr(digits))
	case number > math.MaxInt64/unit:
		return math.MaxInt64, nil
	case number < math.MinInt64/unit:
		return math.MinInt64, nil
	}
	return int64(number) * int64(unit), nil
}

func listOfStrings(text string) []string {
	if text == "" {
		return nil
	}
	list := strings.Split(text, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

func exitCodes(text string) ([]int, error) {
	var codes []int
	for _, word := range listOfStrings(text) {
		code, err := integer(word)
		if err != nil || code < 0 || code > 255 {
			return nil, fmt.Errorf("not a valid list of exit codes: %s", slap.PythonRepr(text))
		}
		codes = append(codes, code)
	}
	return codes, nil
}

// Of the real-time signals, Python knows the first that libc doesn't need for
// itself, and the last.
const (
	realTimeFirst = 34
	realTimeLast  = 64
)

// otherSignals are further names that Python has.
var otherSignals = map[string]syscall.Signal{
	"SIGRTMIN": realTimeFirst, "SIGRTMAX": realTimeLast,
	"SIGCLD": unix.SIGCLD, "SIGIOT": unix.SIGIOT, "SIGPOLL": unix.SIGPOLL, "SIGSTKFLT": unix.SIGSTKFLT,
}

// Signal reads a signal's name, with or without SIG, or its number.
func Signal(text string) (syscall.Signal, error) {
	number, err := strconv.Atoi(strings.TrimSpace(text))
	if err == nil {
		if number < 1 || number > 31 && number != realTimeFirst && number != realTimeLast {
			return 0, fmt.Errorf("value %s is not a valid signal number", slap.PythonRepr(text))
		}
		return syscall.Signal(number), nil
	}
	name := "SIG" + strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(text)), "SIG")
	if signal := cmp.Or(unix.SignalNum(name), otherSignals[name]); signal != 0 {
		return signal, nil
	}
	return 0, fmt.Errorf("value %s is not a valid signal name", slap.PythonRepr(text))
}

// name checks a process or group name. It refuses characters that event
// listeners or the URLs of processes can't carry.
func name(text string) (string, error) {
	text = strings.TrimSpace(text)
	if at := strings.IndexAny(text, " :/"); at >= 0 {
		return "", fmt.Errorf("invalid name: %s because of character: %s", slap.PythonRepr(text), slap.PythonRepr(text[at:at+1]))
	}
	return text, nil
}

// userID finds a user by name or number. A number needs no entry in passwd.
func userID(text string) (int, error) {
	if number, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		return int(number), nil
	}
	entry, err := user.Lookup(text)
	if err != nil {
		return 0, fmt.Errorf("invalid user name %s", text)
	}
	return strconv.Atoi(entry.Uid)
}

// groupID finds a group by name or number.
func groupID(text string) (int, error) {
	if number, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		return int(number), nil
	}
	entry, err := user.LookupGroup(text)
	if err != nil {
		return 0, fmt.Errorf("invalid group name %s", text)
	}
	return strconv.Atoi(entry.Gid)
}

// owner reads user or user:group; -1 leaves that one unchanged.
func owner(text string) (uid, gid int, err error) {
	userName, groupName, found := strings.Cut(text, ":")
	gid = -1
	if uid, err = userID(userName); err == nil && found {
		gid, err = groupID(groupName)
	}
	if err != nil {
		return -1, -1, fmt.Errorf("invalid user:group definition %s", text)
	}
	return uid, gid, nil
}

// expandUser replaces ~ with the home directory. It leaves ~name alone.
func expandUser(path string) string {
	rest, found := strings.CutPrefix(path, "~")
	if home, err := os.UserHomeDir(); found && err == nil && (rest == "" || rest[0] == '/') {
		return home + rest
	}
	return path
}

func existingDirectory(path string) (string, error) {
	if info, err := os.Stat(expandUser(path)); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%s is not an existing directory", path)
	}
	return expandUser(path), nil
}

// fileInDirectory checks that the directory of a path exists, and makes the
// path absolute.
func fileInDirectory(path string) (string, error) {
	path = expandUser(path)
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return "", fmt.Errorf("the directory named as part of the path %s does not exist", path)
	}
	return filepath.Abs(path)
}

// logLevels are the names of levels and the abbreviations that the log shows.
var logLevels = map[string]Level{
	"critical": LevelCritical, "crit": LevelCritical,
	"error": LevelError, "erro": LevelError,
	"warn":  LevelWarn,
	"info":  LevelInfo,
	"debug": LevelDebug, "debg": LevelDebug,
	"trace": LevelTrace, "trac": LevelTrace,
	"blather": LevelBlather, "blat": LevelBlather,
}

func logLevel(text string) (Level, error) {
	level, known := logLevels[strings.ToLower(text)]
	if !known {
		return 0, fmt.Errorf("bad logging level name %s", slap.PythonRepr(text))
	}
	return level, nil
}

func autoRestart(text string) (AutoRestart, error) {
	if strings.EqualFold(text, "unexpected") {
		return RestartUnexpected, nil
	}
	always, err := boolean(text)
	if err != nil {
		return 0, fmt.Errorf("invalid 'autorestart' value %s", slap.PythonRepr(strings.ToLower(text)))
	}
	if always {
		return RestartAlways, nil
	}
	return RestartNever, nil
}

// logFile returns "" for none and [Auto] for AUTO.
func logFile(text string) (path string, syslog bool) {
	switch strings.ToLower(text) {
	case "none", "off":
		return "", false
	case "auto":
		return Auto, false
	case "syslog":
		return "", true
	}
	return expandUser(text), false
}

// eventTypes are those a listener may ask for; an abstract one stands for all
// types that begin with its name.
var eventTypes = strings.Fields(`
	EVENT
	PROCESS_STATE PROCESS_STATE_STOPPED PROCESS_STATE_EXITED PROCESS_STATE_STARTING PROCESS_STATE_STOPPING
	PROCESS_STATE_BACKOFF PROCESS_STATE_FATAL PROCESS_STATE_RUNNING PROCESS_STATE_UNKNOWN
	PROCESS_COMMUNICATION PROCESS_COMMUNICATION_STDOUT PROCESS_COMMUNICATION_STDERR
	PROCESS_LOG PROCESS_LOG_STDOUT PROCESS_LOG_STDERR
	REMOTE_COMMUNICATION
	SUPERVISOR_STATE_CHANGE SUPERVISOR_STATE_CHANGE_RUNNING SUPERVISOR_STATE_CHANGE_STOPPING
	TICK TICK_5 TICK_60 TICK_3600
	PROCESS_GROUP PROCESS_GROUP_ADDED PROCESS_GROUP_REMOVED`)

func events(section, text string) ([]string, error) {
	var list []string
	for _, event := range listOfStrings(strings.ToUpper(text)) {
		if !slices.Contains(eventTypes, event) {
			return nil, fmt.Errorf("unknown event type %s in [%s] events", event, section)
		}
		if !slices.Contains(list, event) {
			list = append(list, event)
		}
	}
	if list == nil {
		return nil, errors.New("[" + section + `] section requires an "events" line`)
	}
	slices.Sort(list)
	return list, nil
}

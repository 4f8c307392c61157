// SPDX-License-Identifier: GPL-3.0-or-later

package buildout

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// maxLine bounds the length of the lines that are read.
const maxLine = 8 << 10

// Shebang returns the words of a script's first line after #!, an interpreter
// and its arguments, or nothing for another file, which is then executed.
// Calling the interpreter avoids the kernel's limit on that line.
func Shebang(script Script) ([]string, error) {
	lines, err := script.firstLines(1)
	if err != nil {
		return nil, err
	}
	return shebang(lines[0]), nil
}

func shebang(line string) []string {
	words, found := strings.CutPrefix(line, "#!")
	if !found {
		return nil
	}
	return strings.Fields(words)
}

// Interpreter returns the interpreter of a script, empty if it names none. If a
// script of /bin/sh only execs another program, to get around a long first
// line, that program counts (GRID-44).
func Interpreter(script Script) (string, error) {
	lines, err := script.firstLines(2)
	if err != nil {
		return "", err
	}
	return interpreter(lines[0], lines[1]), nil
}

// interpreterOf is [Interpreter] for a script of the administrator.
func interpreterOf(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	lines, err := firstLines(file, 2)
	if err != nil {
		return "", err
	}
	return interpreter(lines[0], lines[1]), nil
}

func interpreter(first, second string) string {
	words := shebang(first)
	if len(words) == 0 {
		return ""
	}
	if words[0] == "/bin/sh" {
		if command := shellWords(second); len(command) > 1 && command[0] == "exec" {
			return command[1]
		}
	}
	return words[0]
}

// firstLines reads count lines of a script. It returns none for a link that
// leads out of the directory: only its user may follow that.
func (s Script) firstLines(count int) ([]string, error) {
	file, err := s.Root.OpenFile(s.Name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		if info, errStat := s.Root.Lstat(s.Name); errStat == nil && info.Mode().Type() == fs.ModeSymlink && !errors.Is(err, fs.ErrNotExist) {
			return make([]string, count), nil
		}
		return nil, err
	}
	return firstLines(file, count)
}

// firstLines reads count lines of a regular file, and closes it; missing lines
// are empty.
func firstLines(file *os.File, count int) ([]string, error) {
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	lines := make([]string, count)
	if !info.Mode().IsRegular() {
		return lines, nil
	}
	scanner := bufio.NewScanner(io.LimitReader(file, int64(count)*maxLine))
	scanner.Buffer(nil, maxLine)
	for i := range lines {
		if !scanner.Scan() {
			break
		}
		lines[i] = scanner.Text()
	}
	return lines, nil
}

// shellWords splits a line as a shell does, without expansions. It returns no
// words for an unfinished quote.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
		}
		word.Reset()
		started = false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\r', '\n':
			end()
		case '\'':
			close := strings.IndexByte(line[i+1:], c)
			if close < 0 {
				return nil
			}
			word.WriteString(line[i+1 : i+1+close])
			i += close + 1
			started = true
		case '"':
			text, length := doubleQuoted(line[i+1:])
			if length < 0 {
				return nil
			}
			word.WriteString(text)
			i += length
			started = true
		case '\\':
			if i++; i == len(line) {
				return nil
			}
			word.WriteByte(line[i])
			started = true
		default:
			word.WriteByte(c)
			started = true
		}
	}
	end()
	return words
}

// doubleQuoted reads up to the closing quote and returns the number of bytes
// read, including the quote; -1 if there is none.
func doubleQuoted(rest string) (text string, length int) {
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			return b.String(), i + 1
		case c == '\\' && i+1 < len(rest) && strings.IndexByte(`"\$`+"`", rest[i+1]) >= 0:
			i++
			b.WriteByte(rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", -1
}

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

// maxLine bounds the lines that are looked at.
const maxLine = 8 << 10

// Shebang returns the words of the first line of a script that begins with #!,
// an interpreter and its arguments, and nothing for another file: it is
// executed. Naming the interpreter lifts the kernel's limit on that line.
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

// Interpreter returns the interpreter of a script, empty when it names none. A
// script of /bin/sh that does nothing but exec another program is written to
// get around long first lines: the other program counts (GRID-44).
func Interpreter(script Script) (string, error) {
	lines, err := script.firstLines(2)
	if err != nil {
		return "", err
	}
	return interpreter(lines[0], lines[1]), nil
}

// interpreterOf is [Interpreter] for a script of the administrator's.
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

// firstLines reads count lines of a script. A link that leads out of the directory
// is its user's to follow: there are none then.
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

// firstLines reads count lines of a regular file, and closes it; lines that are not
// there are empty.
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

// shellWords splits a line as a shell does, without expansions. An unfinished
// quote gives no words.
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

// doubleQuoted reads up to the closing quote and tells how many bytes it took,
// the quote included; -1 when there is none.
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

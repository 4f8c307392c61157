// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"slapos/slap/clock"
)

// tailBytes is how much is shown unless the user asks for another number.
const tailBytes = 1600

// tail shows the end of a process's log.
func (c *control) tail(arg string) error {
	words := strings.Fields(arg)
	switch {
	case len(words) < 1:
		return c.fail("tail", "Error: too few arguments")
	case len(words) > 3:
		return c.fail("tail", "Error: too many arguments")
	}
	bytes, follow := tailBytes, false
	if option, found := strings.CutPrefix(words[0], "-"); found {
		var err error
		if follow = option == "f"; !follow {
			if bytes, err = strconv.Atoi(option); err != nil {
				return c.fail("", "Error: bad argument %s", words[0])
			}
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return c.fail("", "Error: tail requires process name")
	}
	name, channel := words[0], "stdout"
	if len(words) > 1 {
		channel = strings.ToLower(words[len(words)-1])
	}
	method := map[string]string{"stdout": "supervisor.readProcessStdoutLog", "stderr": "supervisor.readProcessStderrLog"}[channel]
	if method == "" {
		return c.fail("", "Error: bad channel '%s'", channel)
	}
	if follow {
		return c.follow("/logtail/" + url.PathEscape(name) + "/" + channel)
	}
	text, err := c.client.Call(c.ctx, method, name, -bytes, 0)
	return c.showLog(name, text, err)
}

// mainTail shows the end of the supervisor's own log.
func (c *control) mainTail(arg string) error {
	words := strings.Fields(arg)
	bytes := tailBytes
	switch {
	case len(words) > 1:
		return c.fail("maintail", "Error: too many arguments")
	case len(words) == 1 && words[0] == "-f":
		return c.follow("/mainlogtail")
	case len(words) == 1:
		option, found := strings.CutPrefix(words[0], "-")
		number, err := strconv.Atoi(option)
		if !found || err != nil {
			return c.fail("", "Error: bad argument %s", words[0])
		}
		bytes = number
	}
	text, err := c.client.Call(c.ctx, "supervisor.readLog", -bytes, 0)
	return c.showLog("supervisord", text, err)
}

func (c *control) showLog(name string, text any, err error) error {
	var fault *Fault
	if !errors.As(err, &fault) {
		if err == nil {
			c.printf("%v", text)
		}
		return err
	}
	words := map[int]string{
		FaultNoFile: "no log file", FaultFailed: "unknown error reading log", FaultBadName: "no such process name",
	}[fault.Code]
	if words == "" {
		return err
	}
	return c.fail("", "%s: ERROR (%s)", name, words)
}

// follow shows what is added to a log until Ctrl-C.
func (c *control) follow(path string) error {
	c.printf("==> Press Ctrl-C to exit <==")
	ctx, stop := signal.NotifyContext(c.ctx, os.Interrupt)
	defer stop()
	err := c.stream(ctx, path, c.out)
	if ctx.Err() != nil {
		c.printf("")
		return nil
	}
	return err
}

func (c *control) stream(ctx context.Context, path string, out io.Writer) error {
	response, err := c.client.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return errors.New("no process of this name, or it has no log: status shows the names")
	}
	if response.StatusCode != http.StatusOK {
		return &statusError{code: response.StatusCode}
	}
	_, err = io.Copy(out, response.Body)
	return err
}

// foreground shows the output of a process and sends it lines, until Ctrl-C or
// the end of the input or of the process.
func (c *control) foreground(arg string) error {
	names := strings.Fields(arg)
	switch {
	case len(names) == 0:
		return c.fail("fg", "ERROR: no process name supplied")
	case len(names) > 1:
		return c.fail("", "ERROR: too many process names supplied")
	}
	info, err := c.client.ProcessInfo(c.ctx, names[0])
	switch {
	case isFault(err, FaultBadName):
		return c.fail("", "ERROR: bad process name supplied")
	case err != nil:
		return err
	case info.Statename != "RUNNING":
		return c.fail("", "ERROR: process not running")
	}
	c.printf("==> Press Ctrl-C to exit <==")
	ctx, stop := signal.NotifyContext(c.ctx, os.Interrupt)
	defer stop()
	out := &lockedWriter{out: c.out}
	var streams sync.WaitGroup
	for _, channel := range []string{"stdout", "stderr"} {
		streams.Go(func() { _ = c.stream(ctx, "/logtail/"+url.PathEscape(names[0])+"/"+channel, out) })
	}
	err = c.feed(ctx, names[0], out)
	stop()
	streams.Wait()
	c.printf("Exiting foreground")
	return err
}

// feed sends the user's lines to a process.
func (c *control) feed(ctx context.Context, name string, out io.Writer) error {
	for {
		var line typed
		select {
		case <-ctx.Done():
			return nil
		case line = <-c.typing():
			c.awaited = nil
		}
		if line.err != nil {
			return nil
		}
		err := c.send(ctx, name, line.text+"\n")
		if err != nil && !isFault(err, FaultNotRunning) {
			return err
		}
		info, infoErr := c.client.ProcessInfo(ctx, name)
		if err != nil || infoErr != nil || info.Statename != "RUNNING" {
			_, err := io.WriteString(out, "Process got killed\n")
			return err
		}
	}
}

// maximumPiece is the most that one request sends to a process, in bytes: a
// supervisor limits the size of requests.
const maximumPiece = 1 << 20

// send sends text to a process, in pieces.
func (c *control) send(ctx context.Context, name, text string) error {
	for text != "" {
		piece := firstPiece(text)
		if _, err := c.client.Call(ctx, "supervisor.sendProcessStdin", name, piece); err != nil {
			return err
		}
		text = text[len(piece):]
	}
	return nil
}

// firstPiece cuts between characters.
func firstPiece(text string) string {
	if len(text) <= maximumPiece {
		return text
	}
	end := maximumPiece
	for end > maximumPiece-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// typed is a line that the user typed.
type typed struct {
	text string
	err  error
}

// typing reads the next line in its own goroutine, since reading from a
// terminal can't be interrupted. Only one read is under way at a time: whoever
// asks next gets its line.
func (c *control) typing() <-chan typed {
	if c.awaited == nil {
		awaited := make(chan typed, 1)
		c.awaited = awaited
		go func() { // owns the input until it has sent a line to awaited
			text, err := c.ask("")
			awaited <- typed{text: text, err: err}
		}()
	}
	return c.awaited
}

// next reads a line, or takes the one that is being read.
func (c *control) next(prompt string) (string, error) {
	if c.awaited == nil {
		return clock.Await(c.ctx, func() (string, error) { return c.ask(prompt) })
	}
	fmt.Fprint(c.out, prompt)
	select {
	case line := <-c.awaited:
		c.awaited = nil
		return line.text, line.err
	case <-c.ctx.Done():
		return "", c.ctx.Err()
	}
}

// lockedWriter lets two streams write whole pieces.
type lockedWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (w *lockedWriter) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(data)
}

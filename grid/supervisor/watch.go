// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"slapos/slap/clock"
	"slapos/slap/confined"
)

// WatchOptions configure [Watch] (GRID-79).
type WatchOptions struct {
	// InstanceRoot is the directory of partitions. If empty, every event is
	// reported, and nothing is remembered.
	InstanceRoot string
	// Bang tells the master that a partition needs attention.
	Bang   func(ctx context.Context, partition, message string) error
	In     io.Reader // events, from the supervisor
	Out    io.Writer // answers
	Logger *slog.Logger

	bangPause time.Duration // 0: the constant bangPause; shorter in tests
}

// Files of a partition: its last deployment, and the deployment that was last reported.
const (
	timestampFile = ".timestamp"
	// BangFile is written when the master was told that a service ended.
	BangFile = ".slapos_latest_bang_timestamp"
)

// bangPause is the wait before an event that couldn't be reported is returned
// to the supervisor, which sends it again.
const bangPause = 5 * time.Second

// maximumEvent bounds the size of an event, in bytes.
const maximumEvent = 1 << 20

// Watch listens to the supervisor until it ends, and reports once per
// deployment that a watched process of a partition has ended (GRID-79).
func Watch(ctx context.Context, options WatchOptions) error {
	in := bufio.NewReader(options.In)
	for {
		if _, err := io.WriteString(options.Out, "READY\n"); err != nil {
			return fmt.Errorf("talk to the supervisor: %w", err)
		}
		header, payload, err := readEvent(in)
		if err == io.EOF || ctx.Err() != nil {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an event of the supervisor: %w", err)
		}
		answer := "OK"
		if err := options.handle(ctx, header, payload); err != nil {
			options.Logger.Error(err.Error())
			if clock.Pause(ctx, cmp.Or(options.bangPause, bangPause)) != nil {
				return nil
			}
			answer = "FAIL"
		}
		if _, err := fmt.Fprintf(options.Out, "RESULT %d\n%s", len(answer), answer); err != nil {
			return fmt.Errorf("talk to the supervisor: %w", err)
		}
	}
}

// readEvent reads a header line and as many bytes as it says.
func readEvent(in *bufio.Reader) (header, payload map[string]string, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, nil, err
	}
	header = keyValues(line)
	length, err := strconv.Atoi(header["len"])
	if err != nil || length < 0 || length > maximumEvent {
		return nil, nil, fmt.Errorf("the header has no length: %q", line)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, nil, err
	}
	return header, keyValues(string(data)), nil
}

// keyValues reads "key:value key:value".
func keyValues(text string) map[string]string {
	values := map[string]string{}
	for _, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, ":")
		values[key] = value
	}
	return values
}

// handle reports an event if it has to be reported. Expected exits count, too.
func (o WatchOptions) handle(ctx context.Context, header, payload map[string]string) error {
	event, process, partition := header["eventname"], payload["processname"], payload["groupname"]
	if event != "PROCESS_STATE_EXITED" && event != "PROCESS_STATE_FATAL" || !strings.Contains(process, onWatch) {
		return nil
	}
	message := fmt.Sprintf("%s process in partition %s encountered a problem", process, partition)
	if o.InstanceRoot == "" {
		return o.bang(ctx, partition, message)
	}
	if partition == "" || partition != filepath.Base(partition) || !filepath.IsLocal(partition) {
		return nil
	}
	directory, err := confined.Open(filepath.Join(o.InstanceRoot, partition))
	if errors.Is(err, fs.ErrNotExist) { // a manager's group has no directory
		return o.bang(ctx, partition, message)
	} else if err != nil {
		return fmt.Errorf("partition %s: %w", partition, err)
	}
	defer func() { _ = directory.Close() }()
	deployed, reported := readTimestamp(directory, timestampFile), readTimestamp(directory, BangFile)
	if isReported(deployed, reported) {
		return nil
	}
	if err := o.bang(ctx, partition, message); err != nil {
		return err
	}
	if deployed == "" {
		deployed = "0"
	}
	if err := directory.Write(BangFile, []byte(deployed), confined.AgentFile); err != nil {
		// A repeated report at the next event is better than none.
		o.Logger.Error("partition "+partition+": remember the report", "error", err)
	}
	return nil
}

func (o WatchOptions) bang(ctx context.Context, partition, message string) error {
	if err := o.Bang(ctx, partition, message); err != nil {
		return fmt.Errorf("partition %s: report to the master: %w", partition, err)
	}
	o.Logger.Info(message)
	return nil
}

// isReported compares the texts of the two files; "" means no file.
func isReported(deployed, reported string) bool {
	switch {
	case reported == "":
		return false
	case deployed == "":
		return true // no successful deployment since the report
	}
	d, errDeployed := strconv.ParseFloat(deployed, 64)
	r, errReported := strconv.ParseFloat(reported, 64)
	if errDeployed != nil || errReported != nil {
		return deployed == reported
	}
	return d <= r
}

// maximumTimestamp bounds the size of a timestamp, in bytes.
const maximumTimestamp = 64

// readTimestamp reads a file that the partition's user may have put there. That
// user can see the result, so a longer text, which may be another user's file,
// counts as none.
func readTimestamp(directory *confined.Directory, name string) string {
	data, err := directory.Read(name)
	if err != nil || len(data) > maximumTimestamp {
		return ""
	}
	return strings.TrimSpace(string(data))
}

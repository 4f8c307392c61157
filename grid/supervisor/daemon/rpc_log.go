// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"context"
	"io"
	"os"

	"github.com/ochinchina/supervisord/faults"

	"slapos/grid/supervisor/xmlrpc"
)

const readHelp = "Reads a part of a log: length bytes from offset on, all of them if length is 0. " +
	"With a negative offset, and length 0, the last bytes."

const tailHelp = "Reads the last length bytes of a log after offset. Returns them, the offset of the log's end, " +
	"and whether there are more of them."

// logMethods read and empty logs.
var logMethods = map[string]method{
	"supervisor.readLog": {signature: "string int int", optional: 0, help: readHelp, call: func(d *daemon, _ context.Context, args arguments) (any, error) {
		return readLog(d.config.LogFile, args.number(0), args.number(1))
	}},
	"supervisor.clearLog": {signature: "boolean", optional: 0, help: "Empties the supervisor's log.", call: func(d *daemon, _ context.Context, _ arguments) (any, error) {
		if _, err := os.Stat(d.config.LogFile); err != nil {
			return nil, xmlrpc.NewFault(faults.NoFile, "")
		}
		if err := d.mainLog.locked((*logFile).clear); err != nil {
			return nil, xmlrpc.NewFault(faults.Failed, "")
		}
		return true, nil
	}},
	"supervisor.readProcessStdoutLog": {signature: "string string int int", optional: 0, help: readHelp, call: readProcessLog("stdout")},
	"supervisor.readProcessStderrLog": {signature: "string string int int", optional: 0, help: readHelp, call: readProcessLog("stderr")},
	"supervisor.tailProcessStdoutLog": {signature: "array string int int", optional: 0, help: tailHelp, call: tailProcessLog("stdout")},
	"supervisor.tailProcessStderrLog": {signature: "array string int int", optional: 0, help: tailHelp, call: tailProcessLog("stderr")},
	"supervisor.clearProcessLogs": {signature: "boolean string", optional: 0, help: "Empties the logs of a process.", call: func(d *daemon, _ context.Context, args arguments) (any, error) {
		p, err := d.process(args.text(0))
		if err != nil {
			return nil, err
		}
		return true, p.clearLogs(args.text(0))
	}},
}

// logFile is the path of one of the process's logs; "" if it has none.
func (p *process) logFile(channel string) string {
	for _, o := range p.outputs() {
		if o.channel == channel {
			return o.path
		}
	}
	return ""
}

// clearLogs empties the open logs. If one can't be emptied, the other still is.
func (p *process) clearLogs(name string) (failed error) {
	for _, o := range p.outputs() {
		if o.log == nil {
			continue
		}
		if err := o.log.clear(); err != nil {
			p.d.log.Error("log is not cleared", "process", p.config.Name, "error", err)
			failed = xmlrpc.NewFault(faults.Failed, name)
		}
	}
	return failed
}

func (d *daemon) clearAllProcessLogs(ctx context.Context, _ arguments) (any, error) {
	return d.each(ctx, d.all(), func(p *process) error { return p.clearLogs(p.namespec()) }, "")
}

func readProcessLog(channel string) func(*daemon, context.Context, arguments) (any, error) {
	return func(d *daemon, _ context.Context, args arguments) (any, error) {
		p, err := d.process(args.text(0))
		if err != nil {
			return nil, err
		}
		return readLog(p.logFile(channel), args.number(1), args.number(2))
	}
}

func tailProcessLog(channel string) func(*daemon, context.Context, arguments) (any, error) {
	return func(d *daemon, _ context.Context, args arguments) (any, error) {
		p, err := d.process(args.text(0))
		if err != nil {
			return nil, err
		}
		return tailLog(p.logFile(channel), args.number(1), args.number(2)), nil
	}
}

// maximumRead bounds what one call reads.
const maximumRead = 64 << 20

func readLog(path string, offset, length int) (any, error) {
	if _, err := os.Stat(path); path == "" || err != nil {
		return nil, xmlrpc.NewFault(faults.NoFile, orNoneName(path))
	}
	if offset < 0 && length != 0 || length < 0 {
		return nil, xmlrpc.NewFault(faults.BadArguments, "")
	}
	file, err := openForReading(path)
	if err != nil {
		return nil, xmlrpc.NewFault(faults.Failed, "")
	}
	defer file.Close()
	if offset < 0 {
		info, err := file.Stat()
		if err != nil {
			return nil, xmlrpc.NewFault(faults.Failed, "")
		}
		length = -offset
		offset = int(max(0, info.Size()-int64(length)))
	}
	if length == 0 || length > maximumRead {
		length = maximumRead
	}
	data, err := io.ReadAll(io.NewSectionReader(file, int64(offset), int64(length)))
	if err != nil {
		return nil, xmlrpc.NewFault(faults.Failed, "")
	}
	return string(data), nil
}

// orNoneName writes a log that is not configured as Python does.
func orNoneName(path string) string {
	if path == "" {
		return "None"
	}
	return path
}

// tailLog follows the original's arithmetic.
func tailLog(path string, offset, length int) any {
	nothing := func() any { return []any{"", 0, false} }
	if path == "" {
		return nothing()
	}
	file, err := openForReading(path)
	if err != nil {
		return nothing()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nothing()
	}
	size := int(info.Size())
	overflow := false
	if size > offset+length {
		overflow = true
		offset = size - 1
	}
	if offset+length > size {
		if offset > size-1 {
			length = 0
		}
		offset = size - length
	}
	offset = max(0, offset)
	length = min(max(0, length), maximumRead)
	data, err := io.ReadAll(io.NewSectionReader(file, int64(offset), int64(length)))
	if err != nil {
		return nothing()
	}
	return []any{string(data), size, overflow}
}

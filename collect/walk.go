// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A walker sums up the disk space of directories as du does: blocks instead of
// lengths, a file with several links once, directories themselves, too. It
// follows no links and opens only directories, so that no pipe or device can
// block it.
//
// All of it runs with the lowest disk and processor priority. A walk that takes
// long is shared: then a subdirectory goes to an idle reader.
type walker struct {
	ctx     context.Context
	started time.Time     // of the current sum
	share   time.Duration // after which readers share it
	idle    chan job
	pending sync.WaitGroup // directories of the current sum
	readers sync.WaitGroup
	tooDeep atomic.Int64 // directories that were left out

	blocks atomic.Int64
	linked sync.Map // inode of files with several links → struct{}
}

// deepest is how far down directories are counted: each level needs a
// descriptor.
const deepest = 400

// long is the time after which readers share a sum. Most partitions are small,
// and waking a reader takes longer than reading a few directories.
const long = 20 * time.Millisecond

type job struct{ directory, depth int }

type inode struct{ device, number uint64 }

// walk calls do with a walker that has that many extra readers.
func walk(ctx context.Context, readers int, do func(*walker)) {
	w := &walker{ctx: ctx, share: long, idle: make(chan job)}
	for range readers {
		w.readers.Go(func() {
			beNice()
			for j := range w.idle {
				w.visit(j)
			}
		})
	}
	done := make(chan struct{})
	go func() { // has its own thread for the priority; owns w.idle, and ends the readers by closing it
		defer close(done)
		defer close(w.idle)
		beNice()
		do(w)
	}()
	<-done
	w.readers.Wait()
}

// beNice gives everybody else priority until the goroutine ends, and its thread
// with it. A failure doesn't matter.
func beNice() {
	runtime.LockOSThread()
	const (
		whoProcess = 1
		bestEffort = 2 << 13
		lowest     = 7
	)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, bestEffort|lowest)
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 10)
}

// use returns the KiB below a directory, and closes it.
func (w *walker) use(directory int) float64 {
	w.blocks.Store(0)
	w.linked.Clear()
	var status unix.Stat_t
	if unix.Fstat(directory, &status) == nil {
		w.blocks.Add(status.Blocks)
	}
	w.started = time.Now()
	w.pending.Add(1)
	w.visit(job{directory: directory, depth: 1})
	w.pending.Wait()
	const blocksPerKibibyte = 2
	return float64((w.blocks.Load() + blocksPerKibibyte - 1) / blocksPerKibibyte)
}

// visit counts the entries of a directory and everything below. It leaves out
// what disappears meanwhile.
func (w *walker) visit(j job) {
	defer w.pending.Done()
	defer unix.Close(j.directory)
	buffer := make([]byte, 4096)
	var names []string
	sum := int64(0)
	for w.ctx.Err() == nil {
		length, err := unix.ReadDirent(j.directory, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || length <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buffer[:length], -1, names[:0])
		for _, name := range names {
			var status unix.Stat_t
			if unix.Fstatat(j.directory, name, &status, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue
			}
			directory := status.Mode&unix.S_IFMT == unix.S_IFDIR
			if directory || status.Nlink == 1 || w.first(&status) {
				sum += status.Blocks
			}
			if directory {
				w.descend(j, name)
			}
		}
	}
	w.blocks.Add(sum)
}

func (w *walker) descend(j job, name string) {
	if j.depth == deepest {
		w.tooDeep.Add(1)
		return
	}
	directory, err := openDirectory(j.directory, name)
	if err != nil {
		return
	}
	w.pending.Add(1)
	below := job{directory: directory, depth: j.depth + 1}
	if time.Since(w.started) > w.share {
		select {
		case w.idle <- below:
			return
		default:
		}
	}
	w.visit(below)
}

// first reports whether a file with several links is seen for the first time.
func (w *walker) first(status *unix.Stat_t) bool {
	_, seen := w.linked.LoadOrStore(inode{device: status.Dev, number: status.Ino}, struct{}{})
	return !seen
}

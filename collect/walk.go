package collect

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A walker sums up what directories occupy, as du does: blocks instead of
// lengths, a file with several links once, directories themselves too. Links
// aren't followed and nothing but directories is opened, so that no pipe or
// device can hold it up.
//
// Its readers have the lowest priority for disk and processor. A reader hands a
// sub-directory over when another one is idle, else goes down itself.
type walker struct {
	ctx     context.Context
	idle    chan job
	pending sync.WaitGroup // directories of the present sum
	readers sync.WaitGroup
	tooDeep atomic.Int64 // directories that were left out

	blocks atomic.Int64
	linked sync.Map // inode of files with several links → struct{}
}

// deepest is how far down directories are counted: each level holds a
// descriptor.
const deepest = 400

type job struct{ directory, depth int }

type inode struct{ device, number uint64 }

func newWalker(ctx context.Context, readers int) *walker {
	w := &walker{ctx: ctx, idle: make(chan job)}
	for range readers {
		w.readers.Go(func() {
			// The thread, whose priority this is, ends with the goroutine.
			runtime.LockOSThread()
			beNice()
			for j := range w.idle {
				w.visit(j)
			}
		})
	}
	return w
}

func (w *walker) stop() {
	close(w.idle)
	w.readers.Wait()
}

// beNice lets everybody else of this thread's class read first. It can't fail in
// a way that matters.
func beNice() {
	const (
		whoProcess = 1
		bestEffort = 2 << 13
		lowest     = 7
	)
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, bestEffort|lowest)
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 10)
}

// use returns KiB below a directory, and closes it.
func (w *walker) use(directory int) float64 {
	w.blocks.Store(0)
	w.linked.Clear()
	var status unix.Stat_t
	if unix.Fstat(directory, &status) == nil {
		w.blocks.Add(status.Blocks)
	}
	w.pending.Add(1)
	w.idle <- job{directory, 1}
	w.pending.Wait()
	const blocksPerKibibyte = 2
	return float64((w.blocks.Load() + blocksPerKibibyte - 1) / blocksPerKibibyte)
}

// visit counts the entries of a directory, and those below. What vanishes
// meanwhile is left out.
func (w *walker) visit(j job) {
	defer w.pending.Done()
	file := os.NewFile(uintptr(j.directory), "")
	defer file.Close()
	sum := int64(0)
	for w.ctx.Err() == nil {
		names, err := file.Readdirnames(1024)
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
		if err != nil || len(names) == 0 {
			break
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
	below := job{directory, j.depth + 1}
	select {
	case w.idle <- below:
	default:
		w.visit(below)
	}
}

// first tells whether a file with several links is seen the first time.
func (w *walker) first(status *unix.Stat_t) bool {
	_, seen := w.linked.LoadOrStore(inode{status.Dev, status.Ino}, struct{}{})
	return !seen
}

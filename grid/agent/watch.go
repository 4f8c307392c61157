// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/instance"
	"slapos/grid/supervisor"
	"slapos/slap/confined"
)

const (
	// A partition in which something appeared is looked at firstGlance later, when more
	// may have appeared; if that happens again and again, up to lastGlance later.
	firstGlance = 200 * time.Millisecond
	lastGlance  = 30 * time.Second
	// calm is how long nothing appears before it is quick again.
	calm = 2 * time.Minute
	// glanceEvery is how often partitions are looked at that the kernel doesn't watch.
	glanceEvery = time.Minute
)

// A sighting is what was seen in a partition when something appeared there.
type sighting struct {
	partition string
	names     []string // of promises and services, as instance.Names
	bang      bool     // the watchdog told the master that a service ended
}

// A watcher has the kernel tell when something appears in the folders of partitions.
//
// Their users own these, so that nothing but the opened directory is watched (D-31),
// and a watch tells once: then the partition is looked at after a pause, and watched
// again. So whoever makes a million files a second costs no more than one file.
type watcher struct {
	log  *slog.Logger
	root string
	seen func(sighting)

	notify  *os.File      // inotify; nil: the kernel watches nothing
	trouble chan struct{} // gets a value when partitions can't be watched

	mu         sync.Mutex
	watches    map[int32]string // partitions
	partitions map[string]*watched
	unwatched  error // why some aren't
}

type watched struct {
	watches map[int32]bool
	timer   *time.Timer
	pause   time.Duration
	last    time.Time // glance
	bang    time.Time // modification time of the watchdog's note
}

func newWatcher(log *slog.Logger, root string, seen func(sighting)) *watcher {
	w := &watcher{log: log, root: root, seen: seen, watches: map[int32]string{}, partitions: map[string]*watched{}, trouble: make(chan struct{}, 1)}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		w.fail(err)
		return w
	}
	w.notify = os.NewFile(uintptr(fd), "inotify")
	return w
}

// fail goes on without the kernel; w.mu is held, or w is new.
func (w *watcher) fail(err error) {
	if w.unwatched != nil || errors.Is(err, os.ErrClosed) {
		return
	}
	w.unwatched = err
	w.log.Warn(fmt.Sprintf("Promises and services that appear in partitions are looked for each minute: the kernel doesn't tell of them (%v): raise fs.inotify.max_user_watches and max_user_instances", err))
	w.trouble <- struct{}{}
}

// run reads what the kernel tells until ctx ends.
func (w *watcher) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		if w.notify != nil {
			w.notify.Close()
		}
	})
	defer stop()
	var reading sync.WaitGroup
	if w.notify != nil {
		reading.Go(w.read) // until the descriptor is closed
	}
	select {
	case <-w.trouble:
		w.glanceRegularly(ctx)
	case <-ctx.Done():
	}
	reading.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.partitions {
		if p.timer != nil {
			p.timer.Stop()
		}
	}
	w.partitions = map[string]*watched{} // for timers that are about to end
}

// glanceRegularly looks at all partitions until ctx ends.
func (w *watcher) glanceRegularly(ctx context.Context) {
	ticker := time.NewTicker(glanceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		names := slices.Collect(maps.Keys(w.partitions))
		w.mu.Unlock()
		for _, name := range names {
			w.glance(name)
		}
	}
}

// problem is why some partitions aren't watched, nil if all are.
func (w *watcher) problem() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unwatched
}

// read reads events until the descriptor is closed.
func (w *watcher) read() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.notify.Read(buffer)
		if err != nil {
			return
		}
		for event := buffer[:n]; len(event) >= unix.SizeofInotifyEvent; {
			watch := int32(binary.NativeEndian.Uint32(event))
			mask := binary.NativeEndian.Uint32(event[4:])
			length := binary.NativeEndian.Uint32(event[12:])
			event = event[unix.SizeofInotifyEvent+int(length):]
			w.told(watch, mask)
		}
	}
}

func (w *watcher) told(watch int32, mask uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if mask&unix.IN_Q_OVERFLOW != 0 {
		for name := range w.partitions {
			w.glanceLater(name)
		}
		return
	}
	name, known := w.watches[watch]
	if !known {
		return
	}
	if mask&unix.IN_IGNORED != 0 {
		delete(w.watches, watch)
		if p := w.partitions[name]; p != nil {
			delete(p.watches, watch)
		}
		return
	}
	w.glanceLater(name)
}

// glanceLater has a partition looked at after a pause; w.mu is held.
func (w *watcher) glanceLater(name string) {
	p := w.partitions[name]
	if p == nil || p.timer != nil {
		return
	}
	if time.Since(p.last) > calm {
		p.pause = firstGlance
	} else {
		p.pause = min(max(firstGlance, 2*p.pause), lastGlance)
	}
	p.timer = time.AfterFunc(p.pause, func() { w.glance(name) })
}

// glance looks at a partition, and watches it again.
func (w *watcher) glance(name string) {
	w.mu.Lock()
	p := w.partitions[name]
	if p != nil {
		p.timer, p.last = nil, time.Now()
	}
	w.mu.Unlock()
	if p == nil {
		return
	}
	place, err := confined.OpenPlace(w.root)
	if err != nil {
		return
	}
	defer place.Close()
	directory, err := place.Open(name, confined.Anybody)
	if err != nil {
		return
	}
	defer directory.Close()
	banged := w.visit(name, directory)
	names, err := instance.Names(directory)
	if err != nil {
		return
	}
	w.seen(sighting{partition: name, names: names, bang: banged})
}

// visit watches a partition whose directory is open. banged says that the watchdog's
// note is another one than at the last visit.
func (w *watcher) visit(name string, directory *confined.Directory) (banged bool) {
	promises, services := instance.Folders()
	var opened []*os.File
	for _, folder := range slices.Concat([]string{".", "etc"}, promises, services) {
		file, err := directory.OpenFile(folder, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
		if err == nil { // what isn't there appears in etc
			opened = append(opened, file)
			defer file.Close()
		}
	}
	var noted time.Time
	if info, err := directory.Lstat(supervisor.BangFile); err == nil {
		noted = info.ModTime()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.partitions[name]
	if p == nil {
		p = &watched{watches: map[int32]bool{}, bang: noted}
		w.partitions[name] = p
	}
	banged, p.bang = !noted.Equal(p.bang), noted
	for _, file := range opened {
		w.watch(name, p, file)
	}
	return banged
}

// watch watches an opened directory; w.mu is held.
func (w *watcher) watch(name string, p *watched, file *os.File) {
	if w.notify == nil {
		return
	}
	const appears = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVE_SELF | unix.IN_DELETE_SELF
	var watch int
	raw, err := w.notify.SyscallConn()
	if err == nil {
		errControl := raw.Control(func(fd uintptr) {
			watch, err = unix.InotifyAddWatch(int(fd), fmt.Sprintf("/proc/self/fd/%d", file.Fd()), appears|unix.IN_ONESHOT|unix.IN_ONLYDIR)
		})
		err = errors.Join(err, errControl)
	}
	if err != nil {
		w.fail(err)
		return
	}
	w.watches[int32(watch)] = name
	p.watches[int32(watch)] = true
}

// forget ends the watch of a partition.
func (w *watcher) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.partitions[name]
	if p == nil {
		return
	}
	if p.timer != nil {
		p.timer.Stop()
	}
	delete(w.partitions, name)
	if w.notify == nil {
		return
	}
	raw, err := w.notify.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for watch := range p.watches {
			_, _ = unix.InotifyRmWatch(int(fd), uint32(watch))
			delete(w.watches, watch)
		}
	})
}

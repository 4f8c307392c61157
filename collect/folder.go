// SPDX-License-Identifier: GPL-3.0-or-later

package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap"
	"slapos/slap/clock"
)

// folderSize is the disk use of a partition, as du -s reports it.
type folderSize struct {
	user      string
	kibibytes float64
	err       error
}

// smallest is the size in KiB up to which sizes aren't stored (COL-31).
const smallest = 1024

// measureFolders measures the partitions that are due, and stores the sizes.
func (c *Collector) measureFolders(ctx context.Context, store *store, stamp stamp) error {
	if !c.Folders.Measure {
		return nil
	}
	due, err := c.dueFolders(ctx, store)
	if err != nil || len(due) == 0 {
		return err
	}
	unlock, holder, err := tryLock(c.Folders.PIDDirectory)
	if err != nil {
		return fmt.Errorf("disk_snapshot_process_pid_foder, the directory of the pid files of disk usage: %w", err)
	}
	if unlock == nil { // one reader of the disk is enough
		c.Logger.Info("Another pass measures disk usage. Try later.", slog.String("process", holder))
		return nil
	}
	defer unlock()
	var sizes []folderSize
	for _, size := range c.walkFolders(ctx, due) {
		switch {
		case size.err != nil:
			err = errors.Join(err, size.err)
		case size.kibibytes <= smallest:
			c.Logger.Debug(fmt.Sprintf("Disk usage of the partition %s: %s. Ignoring insertion in the dataset.", size.user, pythonFloat(size.kibibytes)))
		default:
			sizes = append(sizes, size)
		}
	}
	// Finished measurements count even if the rest was interrupted.
	err = errors.Join(err, store.transaction(context.WithoutCancel(ctx), func(t *transaction) error { return t.insertFolders(stamp, sizes) }))
	return errors.Join(err, ctx.Err())
}

// dueFolders leaves out partitions that were measured in this cycle (COL-29).
func (c *Collector) dueFolders(ctx context.Context, store *store) ([]Partition, error) {
	if c.Folders.Cycle <= 0 {
		return c.Partitions, nil
	}
	last, err := store.lastFolders(ctx)
	if err != nil {
		return nil, err
	}
	var due []Partition
	for _, partition := range c.Partitions {
		when, measured := last[partition.User]
		if left := c.Folders.Cycle - c.Now().Sub(when); measured && left > 0 {
			c.Logger.Info(fmt.Sprintf("Time cycle is not over (%s seconds remaining). No computation of disk usage on the partition %s.",
				slap.PythonRepr(left.Seconds()), partition.User))
			continue
		}
		due = append(due, partition)
	}
	return due, nil
}

// walkFolders measures partitions, one after the other, until the context ends.
func (c *Collector) walkFolders(ctx context.Context, partitions []Partition) (sizes []folderSize) {
	walk(ctx, min(3, runtime.NumCPU()), func(w *walker) {
		for _, partition := range partitions {
			if ctx.Err() != nil {
				return
			}
			size := folderSize{user: partition.User}
			if size.err = c.claimFolder(partition.User); size.err == nil {
				size.kibibytes, size.err = c.folderUse(w, partition)
			} else if errors.Is(size.err, errInProgress) {
				size.err = nil
			}
			if ctx.Err() == nil { // a partial sum is not a size
				sizes = append(sizes, size)
			}
		}
	})
	return sizes
}

var errInProgress = errors.New("in progress")

// claimFolder writes the pid file, unless its process is alive (COL-30) and not
// younger than the file: the number may have been reused.
func (c *Collector) claimFolder(user string) error {
	path := filepath.Join(c.Folders.PIDDirectory, user+"_disk_size.pid")
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err == nil && pid > 0 && pid != os.Getpid() && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) && !clock.BeganAfter(pid, modified(path)) {
		c.Logger.Warn(fmt.Sprintf("Process %d still in progress. Try later.", pid))
		return errInProgress
	}
	return os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// modified returns when a file was written, or now.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}

// folderUse is COL-22: the partition, and the directories on other disks to
// which links in its directory DATA lead. The target of a link that the
// partition's user made must be a directory of that user: otherwise the user
// could have the collector read the whole machine, and learn about things that
// the user may not see.
func (c *Collector) folderUse(w *walker, partition Partition) (float64, error) {
	root, err := openDirectory(unix.AT_FDCWD, partition.Path)
	if err != nil {
		return 0, nil // no such partition yet
	}
	var status unix.Stat_t
	if err := unix.Fstat(root, &status); err != nil {
		unix.Close(root)
		return 0, err
	}
	data := extraDisks(root, status.Uid)
	total := w.use(root)
	for _, directory := range data {
		total += w.use(directory)
	}
	if deep := w.tooDeep.Swap(0); deep > 0 {
		c.Logger.Warn("Directories are nested too deep to be counted", slog.String("partition", partition.ID()), slog.Int64("count", deep))
	}
	return total, nil
}

// extraDisks opens the directories behind the links in DATA of a partition.
func extraDisks(root int, owner uint32) (directories []int) {
	const most = 64
	data, err := openDirectory(root, "DATA")
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(data), "DATA")
	defer file.Close()
	names, _ := file.Readdirnames(-1)
	for _, name := range names {
		var link, target unix.Stat_t
		if unix.Fstatat(data, name, &link, unix.AT_SYMLINK_NOFOLLOW) != nil || link.Mode&unix.S_IFMT != unix.S_IFLNK {
			continue
		}
		directory, err := unix.Openat(data, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		trusted := link.Uid == 0 && owner != 0
		if err := unix.Fstat(directory, &target); err != nil || !trusted && target.Uid != owner || len(directories) == most {
			unix.Close(directory)
			continue
		}
		directories = append(directories, directory)
	}
	return directories
}

// openDirectory opens a directory that is not a link.
func openDirectory(parent int, name string) (int, error) {
	for {
		descriptor, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME, 0)
		if err == unix.EPERM { // O_NOATIME is for owners and root only
			descriptor, err = unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		}
		if err != unix.EINTR {
			return descriptor, err
		}
	}
}

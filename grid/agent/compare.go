// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"errors"
	"fmt"
	"time"

	"slapos/grid/pass"
	"slapos/slap"
)

// looked compares what the master wants with what it wanted before.
func (a *Agent) looked(found look, now time.Time) {
	if found.err != nil {
		a.lookFailed(found.err, now)
		return
	}
	if a.master.err != nil {
		a.log.Info("The master answers again")
		a.schedule.drop(key{KindJob, jobOffline})
		for k, t := range a.schedule.tasks {
			if t.err != nil && pass.IsOffline(t.err) || errors.Is(t.err, errOffline) {
				a.schedule.changed(k, now, "the master answers again")
			}
		}
	}
	a.master = masterState{answered: now, waits: found.Waits, wait: found.wait}
	if found.Computer != nil {
		a.compareReleases(found.Computer.SoftwareReleases, now)
		a.comparePartitions(found.Computer.Partitions, now)
	}
}

func (a *Agent) lookFailed(failure error, now time.Time) {
	if a.master.err == nil {
		a.master.since = now
		a.log.Error(fmt.Sprintf("The master can't be asked: %v", failure))
	}
	a.master.err = failure
	if pass.IsOffline(failure) {
		a.schedule.ask(key{KindJob, jobOffline}, now, "no master")
	}
}

func (a *Agent) compareReleases(list []*slap.SoftwareRelease, now time.Time) {
	listed := map[string]bool{}
	for _, release := range list {
		listed[release.URL] = true
		known := a.releases[release.URL]
		a.releases[release.URL] = release
		if known == nil || known.State() != release.State() {
			a.schedule.changed(key{KindRelease, release.URL}, now, "wanted: "+string(release.State()))
		}
	}
	for url := range a.releases {
		if !listed[url] {
			delete(a.releases, url)
			a.schedule.drop(key{KindRelease, url})
			a.schedule.release(url, now)
		}
	}
}

func (a *Agent) comparePartitions(list []*slap.Partition, now time.Time) {
	listed := map[string]bool{}
	for _, partition := range list {
		name := partition.Reference
		listed[name] = true
		known := a.partitions[name]
		fresh, err := a.packer.pack(partition, known)
		if err != nil {
			a.log.Error(err.Error())
			continue
		}
		a.partitions[name] = fresh
		k := key{KindPartition, name}
		switch {
		case fresh == known:
		case fresh.isFree():
			a.forget(name)
			if known != nil {
				a.schedule.ask(key{KindJob, jobSweep}, now.Add(firstRetry), "a partition is free")
			}
		case known == nil || known.purpose != fresh.purpose:
			a.schedule.changed(k, now, "wanted: "+string(fresh.state))
		default:
			a.schedule.ask(k, now, "the master knows another state of it")
		}
	}
	for name := range a.partitions {
		if !listed[name] {
			delete(a.partitions, name)
			a.forget(name)
		}
	}
}

// forget drops all that is known of a partition in use.
func (a *Agent) forget(name string) {
	a.schedule.drop(key{KindPartition, name})
	a.watcher.forget(name)
	delete(a.names, name)
	delete(a.forced, name)
}

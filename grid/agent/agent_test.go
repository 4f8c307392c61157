// SPDX-License-Identifier: GPL-3.0-or-later

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"slapos/grid/pass"
	"slapos/grid/supervisor"
	"slapos/grid/testenv"
	"slapos/slap"
	"slapos/slap/testkit"
)

// world is a node with an agent.
type world struct {
	*testenv.Node
	agent *Agent
	stop  context.CancelFunc
	done  chan error
}

// newWorld makes a node whose master is another one, which is polled. Its agent begins
// with begin.
func newWorld(t *testing.T, partitions ...string) *world {
	t.Helper()
	w := &world{Node: testenv.NewInstanceNode(t, partitions...)}
	w.Want(slap.StateAvailable, testenv.Release)
	return w
}

func (w *world) settings() Settings {
	s := Settings{
		Node: w.Pass, Supervisor: w.Supervisor, Poll: 20 * time.Millisecond, Wait: time.Minute,
		Full: time.Hour, Report: time.Hour,
		PIDFiles: PIDFiles{w.Base() + "/software.pid", w.Base() + "/instance.pid", w.Base() + "/report.pid"},
	}
	s.Node.Jobs = 2
	s.Instance.MaximumPeriodicity = -1
	return s
}

func (w *world) begin(s Settings) {
	w.T.Helper()
	w.agent = New(s, Options{Logger: slog.New(w.Log)})
	ctx, cancel := context.WithCancel(w.T.Context())
	w.done = make(chan error, 1)
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-w.done; err != nil {
			w.T.Error(err)
		}
	})
	go func() { w.done <- w.agent.Run(ctx) }()
	w.T.Cleanup(func() {
		w.stop()
		if w.T.Failed() {
			w.T.Log(w.Log)
		}
	})
}

// complete marks the release as installed.
func (w *world) complete() {
	w.T.Helper()
	testkit.WriteFile(w.T, w.Path(testenv.Release, ".completed"), "x")
}

// task is how a task is.
func (w *world) task(kind Kind, name string) (found TaskStatus) {
	w.T.Helper()
	s, err := w.agent.Status(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	for _, t := range s.Tasks {
		if t.Kind == kind && t.Name == name {
			return t
		}
	}
	return TaskStatus{}
}

func (w *world) until(what string, done func() bool) {
	w.T.Helper()
	testkit.Eventually(w.T, testkit.Patience, what, done)
}

// ExpectRunning waits for the supervisor, too, which the agent starts.
func (w *world) ExpectRunning(want ...string) {
	w.T.Helper()
	client := supervisor.NewClient(w.Layout().Socket())
	defer client.Close()
	var got []string
	w.until(fmt.Sprintf("%q are running", want), func() bool {
		infos, err := client.AllProcessInfo(w.T.Context())
		got = nil
		for _, info := range infos {
			if info.Group != "watchdog" && info.Statename == "RUNNING" {
				got = append(got, info.Group+":"+info.Name)
			}
		}
		slices.Sort(got)
		return err == nil && slices.Equal(got, want)
	})
}

// deployed counts the buildouts of a partition.
func (w *world) deployed(name string) int {
	text, _ := os.ReadFile(w.At(name, "log"))
	return strings.Count(string(text), "deployed\n")
}

// Each change of the master is done when it is noticed, for its partition alone
// (AGENT-4).
func TestLife(t *testing.T) {
	w := newWorld(t, "slappart0", "slappart1")
	w.complete()
	w.DeployWith(testenv.Service("service", "web", "exec sleep 1000"))
	w.begin(w.settings())
	w.ExpectRunning("slappart0:web-on-watch", "slappart1:web-on-watch")
	w.until("both are idle", func() bool {
		return w.task(KindPartition, "slappart0").Why == "hourly" && w.task(KindPartition, "slappart1").Why == "hourly"
	})
	before := w.task(KindPartition, "slappart1").Runs
	w.Touch("slappart0")
	w.until("the first is deployed again", func() bool { return w.deployed("slappart0") == 2 })
	w.Change("slappart0", func(p *slap.Partition) {
		p.RequestedState, p.Parameters["timestamp"] = slap.StateStopped, "3"
	})
	w.ExpectRunning("slappart1:web-on-watch")
	w.Master.Take()
	w.Change("slappart0", func(p *slap.Partition) { p.RequestedState = slap.StateDestroyed })
	w.until("it is destroyed", func() bool { return w.Master.Called("destroyedComputerPartition") })
	w.Change("slappart0", func(p *slap.Partition) { p.SoftwareRelease = nil })
	w.until("it is forgotten", func() bool { return w.task(KindPartition, "slappart0").Name == "" })
	if after := w.task(KindPartition, "slappart1"); after.Runs != before || w.deployed("slappart1") != 1 || after.Error != "" {
		t.Errorf("the other partition was processed: %+v, %d runs before", after, before)
	}
	// Requested again, in the same place.
	w.Allocate("slappart0", slap.StateStarted)
	w.ExpectRunning("slappart0:web-on-watch", "slappart1:web-on-watch")
	if _, err := os.Stat(w.Base() + "/instance.pid"); !errors.Is(err, os.ErrNotExist) {
		w.until("no pid file is left", func() bool { _, err := os.Stat(w.Base() + "/instance.pid"); return err != nil })
	}
}

// A build that lasts holds up no instance, and no partition another; a partition waits
// for its release (AGENT-4, AGENT-6).
func TestSlow(t *testing.T) {
	w := newWorld(t, "slappart0", "slappart1", "slappart2")
	w.complete()
	w.Want(slap.StateAvailable, testenv.Release, "http://release/slow.cfg")
	w.BuildWith("until [ -e ../../built ]; do sleep .05; done; mkdir -p bin; cp " + w.Path(testenv.Release, "bin/buildout") + " bin/buildout; cp " + w.Path(testenv.Release, "instance.cfg") + " .")
	w.Change("slappart2", func(p *slap.Partition) { p.SoftwareRelease.URL = "http://release/slow.cfg" })
	w.DeployWith(`case $(pwd) in *slappart0) until [ -e ../../deployed ]; do sleep .05; done;; esac
` + testenv.Service("service", "web", "exec sleep 1000"))
	s := w.settings()
	s.Node.Jobs = 1
	s.Supervisor = w.Supervisor
	w.begin(s)
	w.until("the build runs", func() bool { return w.task(KindRelease, "http://release/slow.cfg").State == "running" })
	w.until("the other is deployed beside the slow one", func() bool {
		_, err := os.Stat(w.At("slappart1", "etc/service/web"))
		return err == nil
	})
	w.until("one waits for its release", func() bool { return w.task(KindPartition, "slappart2").State == "waiting" })
	if got := w.task(KindPartition, "slappart0"); got.State != "running" {
		t.Errorf("%+v", got)
	}
	testkit.WriteFile(t, filepath.Join(w.Base(), "built"), "")
	w.until("the one that waited is deployed", func() bool { return w.deployed("slappart2") == 1 })
	testkit.WriteFile(t, filepath.Join(w.Base(), "deployed"), "")
	w.ExpectRunning("slappart0:web-on-watch", "slappart1:web-on-watch", "slappart2:web-on-watch")
}

// The agent waits for another agent that holds the pid file, and a command doesn't run
// while a run of the agent does (AGENT-7).
func TestByHand(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	s := w.settings()
	held, err := pass.TakePIDFile(s.PIDFiles.Instance, w.Pass.Logger)
	if err != nil {
		t.Fatal(err)
	}
	w.DeployWith("until [ -e ../../deployed ]; do sleep .05; done")
	w.begin(s)
	w.until("the run waits for us", func() bool { return w.task(KindPartition, "slappart0").Holder == os.Getpid() })
	held.Release()
	w.until("it goes on", func() bool { return w.deployed("slappart0") == 1 })
	var running *pass.RunningError
	if _, err := pass.TakePIDFile(s.PIDFiles.Instance, w.Pass.Logger); !errors.As(err, &running) {
		t.Errorf("the pid file is free: %v", err)
	}
	testkit.WriteFile(t, filepath.Join(w.Base(), "deployed"), "")
	w.until("the pid file is free", func() bool {
		held, err := pass.TakePIDFile(s.PIDFiles.Instance, w.Pass.Logger)
		if err == nil {
			held.Release()
		}
		return err == nil
	})
}

// A partition that fails is tried again after a pause, at once when the master wants
// something else (AGENT-5).
func TestFailure(t *testing.T) {
	w := newWorld(t, "slappart0", "slappart1")
	w.complete()
	w.DeployWith(`case $(pwd) in *slappart0) exit 1;; esac`)
	w.begin(w.settings())
	w.until("it has failed twice", func() bool { return w.task(KindPartition, "slappart0").Failures >= 2 })
	if got := w.task(KindPartition, "slappart0"); !strings.Contains(got.Error, "buildout") || got.Failing == nil || got.Due == nil || got.Why != "failed" {
		t.Errorf("%+v", got)
	}
	if got := w.task(KindPartition, "slappart1"); got.Error != "" || got.Failures != 0 {
		t.Errorf("%+v", got)
	}
	w.DeployWith("")
	w.Touch("slappart0")
	w.until("it is well", func() bool {
		got := w.task(KindPartition, "slappart0")
		return got.Error == "" && got.Failures == 0 && got.State == "due"
	})
}

// Without a master, services are kept running, promises are checked, and what failed
// for want of it is done when it is back.
func TestMasterAway(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	w.DeployWith(testenv.Service("run", "web", "exec sleep 1000"))
	w.begin(w.settings())
	w.ExpectRunning("slappart0:web")
	w.Master.Set(func() { w.Master.Status["getFullComputerInformation"] = 502 })
	w.until("the master is away", func() bool { s, err := w.agent.Status(t.Context()); return err == nil && s.Master.Mode == "offline" })
	client := supervisor.NewClient(w.Layout().Socket())
	defer client.Close()
	if err := client.StopGroup(t.Context(), "slappart0"); err != nil {
		t.Fatal(err)
	}
	w.ExpectRunning("slappart0:web")
	w.Touch("slappart0")
	w.Master.Set(func() { delete(w.Master.Status, "getFullComputerInformation") })
	w.until("it is deployed again", func() bool { return w.deployed("slappart0") == 2 })
	if s, err := w.agent.Status(t.Context()); err != nil || s.Master.Mode != "poll" {
		t.Errorf("%+v, %v", s.Master, err)
	}
}

// A supervisor that is killed is started again, with its services (AGENT-8).
func TestSupervisorEnds(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	w.DeployWith(testenv.Service("run", "web", "exec sleep 1000"))
	w.begin(w.settings())
	w.ExpectRunning("slappart0:web")
	w.until("it is processed", func() bool { return w.task(KindPartition, "slappart0").Why == "hourly" })
	w.StopSupervisor()
	w.until("another supervisor runs", func() bool { _, err := os.Stat(w.Layout().Socket()); return err == nil })
	w.ExpectRunning("slappart0:web")
}

// A promise that appears is checked, and a service that appears runs (AGENT-8).
func TestAppears(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	w.DeployWith("mkdir -p etc/service\n" + testenv.Service("service", "web", "exec sleep 1000"))
	w.begin(w.settings())
	w.ExpectRunning("slappart0:web-on-watch")
	w.until("it is processed", func() bool { return w.task(KindPartition, "slappart0").Why == "hourly" })
	if err := os.Mkdir(w.At("slappart0", "etc/promise"), 0o755); err != nil { // noticed by itself
		t.Fatal(err)
	}
	testkit.HandOver(t, w.At("slappart0", "etc/promise"))
	w.Script(w.At("slappart0", "etc/promise/new"), "touch "+w.At("slappart0", "checked"))
	testkit.HandOver(t, w.At("slappart0", "etc/promise/new"))
	w.until("the promise ran", func() bool { _, err := os.Stat(w.At("slappart0", "checked")); return err == nil })
	if w.deployed("slappart0") != 1 {
		t.Error("a promise deployed the partition")
	}
	w.until("promises are due", func() bool { return w.task(KindPartition, "slappart0").Why == "promises" })
	w.Script(w.At("slappart0", "etc/service/later"), "exec sleep 1000")
	testkit.HandOver(t, w.At("slappart0", "etc/service/later"))
	w.ExpectRunning("slappart0:later-on-watch", "slappart0:web-on-watch")
}

// Jobs run as often as they are to, one at a time; a panic of nobody ends the agent.
func TestJobs(t *testing.T) {
	w := newWorld(t)
	var runs, both atomic.Int32
	s := w.settings()
	s.Jobs = []Job{{Name: "count", Every: 10 * time.Millisecond, Run: func(context.Context) error {
		if both.Add(1) > 1 {
			t.Error("two at once")
		}
		defer both.Add(-1)
		if runs.Add(1) == 2 {
			return errTest
		}
		return nil
	}}}
	w.begin(s)
	w.until("it runs twice", func() bool { return runs.Load() >= 2 })
	w.until("its failure is shown", func() bool { return w.task(KindJob, "count").Error == "count: test" })
}

// Other settings hold for what begins after them (AGENT-10).
func TestReload(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	w.begin(w.settings())
	w.until("it is processed", func() bool { return w.task(KindPartition, "slappart0").Why == "hourly" })
	s := w.settings()
	other, err := slap.NewClient(slap.ClientConfig{MasterURL: w.Master.URL + "/"})
	if err != nil {
		t.Fatal(err)
	}
	s.Node.Master, s.Full = other, 2*time.Hour
	if err := w.agent.Reload(s); err != nil {
		t.Fatal(err)
	}
	w.until("the new hour holds", func() bool {
		got := w.task(KindPartition, "slappart0")
		return got.State == "due" && time.Until(*got.Due) > time.Hour+30*time.Minute
	})
	s.Node.InstanceRoot += "x"
	if err := w.agent.Reload(s); !errors.Is(err, ErrRestart) {
		t.Errorf("%v", err)
	}
	if w.deployed("slappart0") != 1 {
		t.Error("a reload deploys")
	}
}

// The agent's socket tells how it is, and belongs to its user alone (AGENT-11).
func TestSocket(t *testing.T) {
	w := newWorld(t, "slappart0")
	w.complete()
	w.begin(w.settings())
	listener, err := Listen(w.Pass.InstanceRoot)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(w.Pass.InstanceRoot, SocketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	server := serve(w.agent, listener)
	if _, err := Listen(w.Pass.InstanceRoot); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("a second one listens: %v", err)
	}
	w.until("the partition is told of", func() bool {
		s, err := Ask(t.Context(), w.Pass.InstanceRoot)
		if err != nil {
			t.Fatal(err)
		}
		return s.PID == os.Getpid() && strings.Contains(fmt.Sprint(s.Tasks), "slappart0")
	})
	server.Close()
	// A child that was being started has the descriptor until it runs its program.
	w.until("another one listens", func() bool {
		again, err := Listen(w.Pass.InstanceRoot)
		if err != nil {
			return false
		}
		return again.Close() == nil
	})
}

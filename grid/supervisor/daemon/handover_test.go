// SPDX-License-Identifier: GPL-3.0-or-later

package daemon

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/grid/supervisor/config"
	"slapos/slap/testkit"
)

const handoverConfig = `
[supervisord]
logfile=/log
pidfile=/pid
childlogdir=/tmp
loglevel=blather
[unix_http_server]
file=/sock
username=u
password=p
[program:p]
command=sleep 1000
environment=A="1",B="2"
exitcodes=0,2
[program:plain]
command=cat
redirect_stderr=true
[eventlistener:l]
command=cat
events=TICK_5,PROCESS_STATE
`

func loadText(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(testkit.WriteFile(t, filepath.Join(t.TempDir(), "c"), text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHandoverFormat reads the state that the first program with format 1 wrote.
// What it holds must mean today what its configuration means: otherwise an
// upgrade would be followed by restarts (GRID-109).
func TestHandoverFormat(t *testing.T) {
	file, err := os.Open("testdata/handover-1.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := readHandover(file)
	if err != nil {
		t.Fatal(err)
	}
	c := loadText(t, handoverConfig)
	if !reflect.DeepEqual(h.GroupsRead, c.Groups) {
		t.Errorf("groups %s, want %s", asJSON(t, h.GroupsRead), asJSON(t, c.Groups))
	}
	c.Groups, h.Config.Groups = nil, nil
	if !reflect.DeepEqual(h.Config, c) {
		t.Errorf("configuration %s, want %s", asJSON(t, h.Config), asJSON(t, c))
	}
	p := h.Groups[0].Processes[0]
	if p.PID != 12 || p.PIDFD != 7 || p.State != running || !p.Due.Equal(time.Unix(1800000000, 0)) || string(p.Outputs[1].Held) != "<!--" {
		t.Errorf("process %+v", p)
	}
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sampleHandover has something in most fields.
func sampleHandover(t *testing.T) *handover {
	c := loadText(t, handoverConfig)
	h := &handover{Format: handoverFormat, Version: "1", PID: 11, GroupsRead: c.Groups}
	at := time.Unix(1800000000, 0).UTC()
	for _, g := range c.Groups {
		if g.Name != "p" {
			continue
		}
		h.Groups = append(h.Groups, handedGroup{Config: g, Processes: []handedProcess{{
			Program: g.Programs[0], State: running, PID: 12, PIDFD: 7, Started: at, Due: at,
			Outputs: []handedOutput{{Path: "/log.out", Log: 8, Pipes: []int{9}, Current: 9}, {Path: "/log.err", Held: []byte("<!--")}},
		}}})
	}
	c.Groups = nil
	h.Config = c
	h.Servers = []handedServer{{Config: c.Servers[0], Listener: 5, Connections: []handedConnection{
		{FD: 6, Rest: &pendingCall{Until: untilStopped, Name: "p", Processes: [][2]string{{"p", "p"}}}},
	}}}
	return h
}

// TestHandoverIsChecked refuses states that another program can't have written.
func TestHandoverIsChecked(t *testing.T) {
	read := func(h *handover) error {
		_, err := readHandover(bytes.NewReader(asJSON(t, h)))
		return err
	}
	if err := read(sampleHandover(t)); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*handover){
		"has format 2, this program reads format 1": func(h *handover) { h.Format = 2 },
		"incomplete":                    func(h *handover) { h.Config = nil },
		"group without a configuration": func(h *handover) { h.Groups[0].Config = nil },
		"process of group p without":    func(h *handover) { h.Groups[0].Processes[0].Program = nil },
		"process p is contradictory":    func(h *handover) { h.Groups[0].Processes[0].PIDFD = 0 },
		"listener p is contradictory":   func(h *handover) { h.Groups[0].Processes[0].Listener = &handedListener{} },
		"process p has 1 outputs":       func(h *handover) { h.Groups[0].Processes[0].Outputs = h.Groups[0].Processes[0].Outputs[:1] },
	} {
		h := sampleHandover(t)
		change(h)
		if err := read(h); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := readHandover(strings.NewReader("{")); err == nil {
		t.Error("half a state was read")
	}
}

// TestHandoverIsPrivate checks that the state has no name that others could open.
func TestHandoverIsPrivate(t *testing.T) {
	fd, err := sampleHandover(t).write()
	if err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	flags, flagsErr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err := unix.Fstat(fd, &stat); err != nil || stat.Nlink != 0 || flagsErr != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("%d links, flags %d: %v, %v", stat.Nlink, flags, err, flagsErr)
	}
	// It closes the descriptor.
	if h, err := takeHandover(fd); err == nil || h != nil && h.PID != 11 {
		t.Errorf("another process's state was taken: %v", err)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ochinchina/supervisord/types"

	"slapos/grid/supervisor/xmlrpc"
)

// Fault is an error answer of the supervisor; find it with [errors.As]. Its
// Code is one of the Fault constants, and its Text starts with the code's name.
type Fault = xmlrpc.Fault

// isFault reports whether err is the fault of that code.
func isFault(err error, code int) bool {
	var fault *Fault
	return errors.As(err, &fault) && fault.Code == code
}

// ProcessInfo describes one process: Statename is STOPPED, STARTING, RUNNING,
// BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN; Start, Stop and Now are seconds
// since 1970, and Start is 0 if the process was never started.
type ProcessInfo = types.ProcessInfo

// maximumAnswer bounds the size of an answer, in bytes.
const maximumAnswer = 256 << 20

// Client talks to a supervisor, ours or Python's, over its socket. Several
// goroutines may use it at once. It keeps one connection open.
type Client struct {
	url                string
	username, password string
	http               *http.Client
	transport          *http.Transport
}

// NewClient returns a client of the supervisor that listens on a unix socket.
func NewClient(socket string) *Client {
	client, _ := newClient("unix://"+socket, "", "")
	return client
}

// newClient takes a URL as supervisorctl does: unix:///path or http://host:port.
func newClient(serverURL, username, password string) (*Client, error) {
	c := &Client{url: serverURL, username: username, password: password}
	c.transport = &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, DisableCompression: true}
	if socket, found := strings.CutPrefix(serverURL, "unix://"); found {
		c.url = "http://localhost"
		c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		}
	} else if address, err := url.Parse(serverURL); err != nil || address.Scheme != "http" || address.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a supervisor: it must start with unix:// or http://", serverURL)
	}
	c.url = strings.TrimSuffix(c.url, "/")
	c.http = &http.Client{Transport: c.transport}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// statusError is an answer that isn't XML-RPC.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("the supervisor answered with HTTP status %d", e.code)
}

// Call calls any method. Values are those of package xmlrpc.
func (c *Client) Call(ctx context.Context, method string, params ...any) (any, error) {
	body, err := xmlrpc.MarshalCall(method, params...)
	if err != nil {
		return nil, err
	}
	response, err := c.do(ctx, http.MethodPost, "/RPC2", body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maximumAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{code: response.StatusCode}
	}
	return xmlrpc.UnmarshalResponse(answer)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "text/xml")
	}
	if c.username != "" {
		request.SetBasicAuth(c.username, c.password)
	}
	response, err := c.http.Do(request)
	if urlError := (*url.Error)(nil); errors.As(err, &urlError) {
		err = urlError.Err // "Post http://localhost/RPC2" adds nothing
	}
	return response, err
}

// Upgrade describes a supervisor that changed its program.
type Upgrade struct {
	PID               int    // as before
	Version, Previous string // of the program
	Executable        string
}

// ErrNoUpgrade says that a supervisor can't change its program while it runs.
var ErrNoUpgrade = errors.New("the running supervisor can't change its program without stopping services: it is Python's, or older than this")

// Upgrade makes the supervisor go on as the program that is installed now, at
// the path of its own. Services keep running. It returns when the new program
// answers, or with the reason why the old one goes on (GRID-109).
func (c *Client) Upgrade(ctx context.Context) (Upgrade, error) {
	value, err := c.Call(ctx, "slapos.upgrade")
	if isFault(err, FaultUnknownMethod) {
		return Upgrade{}, ErrNoUpgrade
	}
	members, _ := value.(map[string]any)
	var u Upgrade
	u.PID, _ = members["pid"].(int)
	u.Version, _ = members["version"].(string)
	u.Previous, _ = members["previous"].(string)
	u.Executable, _ = members["executable"].(string)
	return u, err
}

// String is one line for people.
func (u Upgrade) String() string {
	return fmt.Sprintf("The supervisor (process %d) goes on as %s, version %s (was %s).", u.PID, u.Executable, u.Version, u.Previous)
}

// State returns the state of the supervisor itself: 1 and "RUNNING". A
// supervisor that is shutting down answers with the fault SHUTDOWN_STATE.
func (c *Client) State(ctx context.Context) (code int, name string, err error) {
	value, err := c.Call(ctx, "supervisor.getState")
	state, _ := value.(map[string]any)
	code, _ = state["statecode"].(int)
	name, _ = state["statename"].(string)
	return code, name, err
}

// ReloadConfig makes the supervisor read its configuration again, and returns
// how its groups differ from the active ones. It starts and stops nothing.
func (c *Client) ReloadConfig(ctx context.Context) (added, changed, removed []string, err error) {
	value, err := c.Call(ctx, "supervisor.reloadConfig")
	if err != nil {
		return nil, nil, nil, err
	}
	lists, err := reloadLists(value)
	return lists.AddedGroup, lists.ChangedGroup, lists.RemovedGroup, err
}

// reloadLists reads [[added, changed, removed]].
func reloadLists(value any) (lists types.ReloadConfigResult, err error) {
	outer, _ := value.([]any)
	if len(outer) == 1 {
		outer, _ = outer[0].([]any)
	}
	if len(outer) != 3 {
		return lists, fmt.Errorf("reloadConfig answered %v", value)
	}
	for i, list := range []*[]string{&lists.AddedGroup, &lists.ChangedGroup, &lists.RemovedGroup} {
		names, _ := outer[i].([]any)
		for _, name := range names {
			text, _ := name.(string)
			*list = append(*list, text)
		}
	}
	return lists, nil
}

// ProcessErrors are the failures of a call on several processes.
type ProcessErrors []error

func (e ProcessErrors) Error() string { return errors.Join(e...).Error() }

func (e ProcessErrors) Unwrap() []error { return e }

// StartGroup starts the processes of a group that aren't running, and doesn't
// wait. It returns [ProcessErrors] for those that can't be started.
func (c *Client) StartGroup(ctx context.Context, name string) error {
	return c.each(ctx, "supervisor.startProcessGroup", name, false)
}

// StartGroupAndWait is StartGroup, but waits until each process is RUNNING or
// has failed.
func (c *Client) StartGroupAndWait(ctx context.Context, name string) error {
	return c.each(ctx, "supervisor.startProcessGroup", name, true)
}

// StopGroup stops the processes of a group and waits until they have ended.
func (c *Client) StopGroup(ctx context.Context, name string) error {
	return c.each(ctx, "supervisor.stopProcessGroup", name)
}

// StartAll starts every process that isn't running, and doesn't wait.
func (c *Client) StartAll(ctx context.Context) error {
	return c.each(ctx, "supervisor.startAllProcesses", false)
}

// StopAll stops every process and waits until they have ended.
func (c *Client) StopAll(ctx context.Context) error {
	return c.each(ctx, "supervisor.stopAllProcesses")
}

// each calls a method that answers with a status for each process.
func (c *Client) each(ctx context.Context, method string, params ...any) error {
	value, err := c.Call(ctx, method, params...)
	if err != nil {
		return err
	}
	var failures ProcessErrors
	for _, result := range processResults(value) {
		if result.status != FaultSuccess {
			failures = append(failures, fmt.Errorf("%s: %w", namespec(result.group, result.name),
				&Fault{Code: result.status, Text: result.description}))
		}
	}
	if failures == nil {
		return nil
	}
	return failures
}

// processResult is the outcome for one of several processes.
type processResult struct {
	group, name string
	status      int
	description string
}

func processResults(value any) []processResult {
	var results []processResult
	list, _ := value.([]any)
	for _, item := range list {
		members, _ := item.(map[string]any)
		var r processResult
		r.group, _ = members["group"].(string)
		r.name, _ = members["name"].(string)
		r.status, _ = members["status"].(int)
		r.description, _ = members["description"].(string)
		results = append(results, r)
	}
	return results
}

// AddGroup activates a group of the last read configuration, and starts its
// programs with autostart.
func (c *Client) AddGroup(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "supervisor.addProcessGroup", name)
	return err
}

// RemoveGroup forgets a group whose processes are all stopped.
func (c *Client) RemoveGroup(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "supervisor.removeProcessGroup", name)
	return err
}

// StartProcess starts one process, named group:process, and doesn't wait for it.
func (c *Client) StartProcess(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "supervisor.startProcess", name, false)
	return err
}

// StartProcessAndWait is StartProcess, but waits until the process is RUNNING
// or has failed.
func (c *Client) StartProcessAndWait(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "supervisor.startProcess", name, true)
	return err
}

// StopProcess stops one process and waits until it has ended.
func (c *Client) StopProcess(ctx context.Context, name string) error {
	_, err := c.Call(ctx, "supervisor.stopProcess", name)
	return err
}

// ProcessInfo describes one process, named group:process.
func (c *Client) ProcessInfo(ctx context.Context, name string) (ProcessInfo, error) {
	value, err := c.Call(ctx, "supervisor.getProcessInfo", name)
	return processInfo(value), err
}

// AllProcessInfo describes all processes, sorted by group and name.
func (c *Client) AllProcessInfo(ctx context.Context) ([]ProcessInfo, error) {
	value, err := c.Call(ctx, "supervisor.getAllProcessInfo")
	list, _ := value.([]any)
	infos := make([]ProcessInfo, 0, len(list))
	for _, item := range list {
		infos = append(infos, processInfo(item))
	}
	return infos, err
}

func processInfo(value any) ProcessInfo {
	members, _ := value.(map[string]any)
	number := func(name string) int { n, _ := members[name].(int); return n }
	text := func(name string) string { s, _ := members[name].(string); return s }
	return ProcessInfo{
		Name: text("name"), Group: text("group"), Description: text("description"),
		Start: number("start"), Stop: number("stop"), Now: number("now"),
		State: number("state"), Statename: text("statename"), Spawnerr: text("spawnerr"),
		Exitstatus: number("exitstatus"), Logfile: text("logfile"),
		StdoutLogfile: text("stdout_logfile"), StderrLogfile: text("stderr_logfile"), Pid: number("pid"),
	}
}

// Shutdown asks the supervisor to stop everything and end. It doesn't wait.
func (c *Client) Shutdown(ctx context.Context) error {
	_, err := c.Call(ctx, "supervisor.shutdown")
	return err
}

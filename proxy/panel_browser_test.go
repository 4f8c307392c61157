// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// audit looks at a page as a reader with special needs would.
//
//go:embed testdata/audit.js
var audit string

// browser is a real one, with one page open.
type browser struct {
	*lab
	page context.Context
}

func newBrowser(t *testing.T, l *lab) *browser {
	t.Helper()
	program := testkit.Browser(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program),
		chromedp.UserDataDir(t.TempDir()), chromedp.Env("TMPDIR="+t.TempDir()), chromedp.Flag("disable-dev-shm-usage", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to run as root with one
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	page, closePage := chromedp.NewContext(allocator)
	ctx, cancel := context.WithTimeout(page, 4*time.Minute)
	t.Cleanup(func() { cancel(); closePage(); stop() })
	if err := chromedp.Do(page); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("script: %s", event.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			// Among them is what the content security policy refuses.
			if string(event.Entry.Level) == "error" && !strings.Contains(event.Entry.Text, "status of 4") && !strings.HasSuffix(event.Entry.URL, "/favicon.ico") {
				t.Errorf("browser: %s %s", event.Entry.Text, event.Entry.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return &browser{l, ctx}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.page, actions...); err != nil {
		b.Fatalf("%v\n%s", err, b.text())
	}
}

// text is what a person reads, and where.
func (b *browser) text() string {
	text, _ := chromedp.Run(b.page, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	return text
}

// evaluate runs a script on the page.
func evaluate[T any](b *browser, script string, options ...chromedp.EvaluateOption) T {
	b.Helper()
	value, err := chromedp.Run(b.page, chromedp.Evaluate[T](script, options...))
	if err != nil {
		b.Fatalf("%v\n%s", err, b.text())
	}
	return value
}

func (b *browser) open(path string) {
	b.Helper()
	b.run(chromedp.Navigate(b.server.URL + "/panel/" + path))
}

// expect waits for a text on the page.
func (b *browser) expect(text string) {
	b.Helper()
	b.wait(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// wait waits until a condition holds, on this page or the next.
func (b *browser) wait(condition string) {
	b.Helper()
	if !testkit.Await(b.Context(), testkit.Patience, func() bool {
		// A page that is just being left answers with an error.
		holds, _ := chromedp.Run(b.page, chromedp.Evaluate[bool]("document.readyState == 'complete' && "+condition))
		return holds
	}) {
		b.Fatalf("not so: %s\n%s", condition, b.text())
	}
}

// leave does what leads to another page, and waits for that.
func (b *browser) leave(do func()) {
	b.Helper()
	evaluate[bool](b, "window.former = true")
	do()
	b.wait("!window.former")
}

// follow clicks on what leads to another page.
func (b *browser) follow(selector string) {
	b.Helper()
	b.leave(func() { b.run(chromedp.Click(chromedp.CSS(selector))) })
}

func write(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(selector), text)
}

func choose(selector, value string) chromedp.Action[chromedp.Void] {
	return chromedp.SetValue(chromedp.CSS(selector), value)
}

// TestPanelInBrowser walks through the panel as a person does: supply,
// request, see, change, stop, destroy.
func TestPanelInBrowser(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(3)
	url := writeRelease(t, "json-in-xml")
	b := newBrowser(t, l)
	b.open("")
	b.expect("No instance yet.")
	b.follow(`nav a[href="supply"]`)
	b.run(write("#url", url))
	b.follow("button.main")
	b.expect("Installation requested.")
	software, err := l.Software(t.Context(), "local_computer")
	if err != nil || len(software) != 1 || software[0].URL != url {
		t.Fatalf("supplied %v, %v", software, err)
	}

	b.follow(`td.actions a[href^="request"]`)
	b.expect("One web server that greets.")
	b.run(write("#title", "hello"), write(`[name="s/name"]`, "you"), write(`[name="n/port"]`, "80"),
		choose(`[name="j/limits/memory"]`, `"1G"`))
	b.follow("button.main")
	b.expect("1 value doesn't match the schema of the release.")
	b.expect("port must be at least 1024")
	b.run(choose(`[name="n/port"]`, "9090"))
	b.follow("button.main")
	b.expect("Instance requested.")
	instance := l.named(store.Name{Title: "hello"})
	if got := slap.PythonRepr(instance.Parameters); got != `{'_': '{"limits":{"memory":"1G"},"name":"you","port":9090}'}` {
		t.Errorf("parameters %s", got)
	}
	l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", instance.Partition.ID.Partition,
		"connection_xml", marshal(t, slap.Dict{"_": `{"url": "http://[fd00::10]:9090/", "user": "admin"}`}))
	b.open("instance?title=hello")
	b.expect("http://[fd00::10]:9090/")

	b.follow(`.actions a[href^="request"]`)
	b.run(choose(`[name="s/name"]`, "everybody"))
	b.follow("button.main")
	b.expect("everybody")
	b.follow(`button[value="stopped"]`)
	b.expect("Stop requested.")
	b.follow("a.danger")
	b.expect("will be deleted")
	b.follow("button.danger")
	b.expect("Destruction requested.")
	if state := l.named(store.Name{Title: "hello"}).State; state != "destroyed" {
		t.Errorf("state %s", state)
	}
	// The list follows what is typed.
	l.request("other")
	b.open("instances")
	b.run(write("#q", "oth"))
	b.wait(`document.querySelectorAll("tbody tr").length === 1 && location.search === "?q=oth"`)
}

// TestPanelAudit looks at every page on a phone and on a desk, in light and in
// dark: nothing beside the screen, all labelled, all readable.
func TestPanelAudit(t *testing.T) {
	walkPanel(t, func(b *browser) []string { return evaluate[[]string](b, audit) })
}

// TestPanelAxe has axe-core look at them: no violation of any rule that it has.
func TestPanelAxe(t *testing.T) {
	found, _ := filepath.Glob(filepath.Join(testkit.Directory(t), "lib/python*/site-packages/axe_playwright_python/axe.min.js"))
	if len(found) == 0 {
		testkit.StepAside(t, "axe-core, of Python's axe-playwright-python", "run make testenv")
	}
	axe, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	walkPanel(t, func(b *browser) []string {
		evaluate[bool](b, string(axe)+"; true")
		return evaluate[[]string](b, `axe.run({resultTypes: ["violations"]}).then(found => found.passes.length < 10 ? ["axe-core looked at nothing"] :
			found.violations.flatMap(rule => rule.nodes.map(node => rule.id + ": " + rule.help + ": " + node.html.slice(0, 200))))`, chromedp.EvalAwaitPromise)
	})
}

// walkPanel shows every page of the panel on screens of all kinds, with much to show.
func walkPanel(t *testing.T, look func(*browser) []string) {
	t.Helper()
	t.Parallel()
	l := newLab(t, proxy.Options{})
	l.load(4)
	release := writeRelease(t, "xml")
	l.post("/supplySupply", "url", release, "computer_id", "local_computer", "state", "available")
	l.post("/supplySupply", "url", strings.Repeat("long", 60), "computer_id", "local_computer", "state", "destroyed")
	title := strings.Repeat("title", 40)
	l.post("/panel/request", "release", release, "title", title, "s/name", "x", "insist", "1", "j", `{"z": "`+strings.Repeat("x", 300)+`"}`)
	l.request("child", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.request("failed")
	l.request("shared", "shared_xml", marshal(t, true))
	l.post("/softwareReleaseError", "computer_id", "local_computer", "url", release, "error_log", "Installing x.\nError: no disk "+strings.Repeat("z", 300))
	l.post("/startedComputerPartition", "computer_id", "local_computer", "computer_partition_id", "slappart0")
	l.post("/softwareInstanceError", "computer_id", "local_computer", "computer_partition_id", "slappart2", "error_log", "OSError: no port")
	l.rpc("slapos.put.v1.software_instance_promise_list", `{"computer_guid": "local_computer", "compute_partition_id": "slappart0", "passed": 2, "failing": [{"name": "up", "message": "no answer"}]}`)
	l.post("/setComputerPartitionConnectionXml", "computer_id", "local_computer", "computer_partition_id", "slappart0",
		"connection_xml", marshal(t, slap.Dict{"url": "http://[fd00::10]/", "password": "secret"}))
	for range 3 {
		l.sendUsage("Eco Information for local_computer ", ecoMovements)
	}
	l.post("/useComputer", "computer_id", "local_computer", "use_string", "no XML "+strings.Repeat("y", 300))
	events, err := l.Events(t.Context(), store.EventFilter{Kind: store.KindRelease, Event: store.EventReported})
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, l)
	pages := []string{
		"", "nodes", "nodes?q=nothing", "history", "history?q=nothing&kind=node", "instances", "instances?q=nothing", "instances?state=attention&sort=-since",
		"software", "release?url=" + release, "node?id=local_computer", "nothing", "instance?title=" + title + "&done=requested",
		"instance?title=child&root=" + title, "instance?title=failed", "instance?title=nobody", "instance?title=shared", fmt.Sprint("log?event=", events[0].ID),
		"supply", "supply?computer=nowhere", "request", "request?release=" + release, "request?release=/none.cfg", "request?title=" + title, "destroy?title=" + title,
		"remove?computer=local_computer&url=" + release,
	}
	// Pages that a form leads to, by what sends it.
	forms := map[string]string{
		"instances":                  `document.querySelectorAll('input[name="i"]').forEach(box => box.checked = true), document.querySelector('button[value="destroyed"]').click()`,
		"supply":                     `document.querySelector("form").noValidate = true, document.querySelector("button.main").click()`,
		"request?release=" + release: `document.querySelector("button.main").form.noValidate = true, document.querySelector("button.main").click()`,
	}
	for _, screen := range []struct {
		width  int64
		scheme string
	}{{320, "light"}, {390, "dark"}, {1280, "light"}} {
		b.run(chromedp.EmulateViewport(screen.width, 667))
		if _, err := chromedp.Call(b.page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: screen.scheme}}}); err != nil {
			t.Fatal(err)
		}
		look := func(page string) {
			t.Helper()
			for _, fault := range look(b) {
				t.Errorf("%.40s, %d pixels, %s: %s", page, screen.width, screen.scheme, fault)
			}
		}
		for _, page := range pages {
			b.open(page)
			look(page)
			if send := forms[page]; send != "" {
				b.leave(func() { evaluate[any](b, send) })
				look("after " + page)
			}
		}
	}
}

// TestPanelByKeyboard requests, stops and destroys an instance without a
// mouse.
func TestPanelByKeyboard(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	url := writeRelease(t, "xml")
	l.post("/supplySupply", "url", url, "computer_id", "local_computer", "state", "available")
	b := newBrowser(t, l)
	b.open("")
	// The first stop leads past the navigation.
	b.run(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.wait(`location.hash == "#content"`)
	b.open("")
	b.reach(`a[href="request"]`, kb.Enter)
	b.expect("Supplied releases")
	b.reach(`#supplied + ul a`, kb.Enter)
	b.expect("One web server that greets.")
	b.reach("#title", "hello")
	b.reach(`[name="s/name"]`, "you")
	b.reach(`[name="j/tls"]`, "n") // chooses "not given", then "no" is the next
	b.run(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown))
	b.reach("button.main", kb.Enter)
	b.expect("Instance requested.")
	if got := slap.PythonRepr(l.named(store.Name{Title: "hello"}).Parameters); got != "{'name': 'you', 'tls': 'False'}" {
		t.Errorf("parameters %s", got)
	}
	b.reach(`button[value="stopped"]`, kb.Enter)
	b.expect("Stop requested")
	b.reach("a.danger", kb.Enter)
	b.expect("will be deleted")
	b.reach("button.danger", kb.Enter)
	b.expect("Destruction requested")
}

// reach presses Tab until an element has the focus, which must be seen, then
// other keys; Enter leads to another page.
func (b *browser) reach(selector, keys string) {
	b.Helper()
	for range 60 {
		b.run(chromedp.KeyEvent(kb.Tab))
		at := evaluate[struct{ Reached, Seen bool }](b, fmt.Sprintf(`(() => {
			const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
			return {Reached: at.matches(%q), Seen: at === document.body || style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && box.width > 0};
		})()`, selector))
		if !at.Seen {
			b.Errorf("the focus is not seen on the way to %s", selector)
		}
		if at.Reached {
			press := func() { b.run(chromedp.KeyEvent(keys)) }
			if keys == kb.Enter {
				b.leave(press)
			} else {
				press()
			}
			return
		}
	}
	b.Fatalf("%s is not reached by Tab", selector)
}

// TestOtherSite has a page of another site send a form to the panel and to
// SLAP: the browser does, and is refused.
func TestOtherSite(t *testing.T) {
	l := newLab(t, proxy.Options{})
	l.load(1)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><form method="post" action="%s%s"><input name="url" value="evil"><input name="computer" value="local_computer">
			<input name="computer_id" value="local_computer"><input name="state" value="available"><button>x</button></form>`, l.server.URL, r.URL.Path)
	}))
	defer evil.Close()
	b := newBrowser(t, l)
	// By its name, it is another site than ours, which goes by its number.
	site := strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)
	for _, path := range []string{"/panel/supply", "/supplySupply"} {
		b.run(chromedp.Navigate(site + path))
		b.follow("button")
		b.expect("made by a page of another site")
	}
	software, err := l.Software(t.Context(), "local_computer")
	if err != nil || len(software) != 0 {
		t.Errorf("supplied %v, %v", software, err)
	}
}

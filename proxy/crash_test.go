// SPDX-License-Identifier: GPL-3.0-or-later

package proxy_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"slapos/proxy"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/serve"
	"slapos/slap/testkit"
)

// serveVariable makes the test's program a proxy on the database that it
// names, to be killed.
const serveVariable = "SLAPOS_TEST_SERVE"

func TestMain(m *testing.M) {
	if uri := os.Getenv(serveVariable); uri != "" {
		if err := serveDatabase(uri); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testkit.Main(m)
}

// serveDatabase says its address, and serves until it is killed.
func serveDatabase(uri string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	database, err := store.Open(ctx, store.Options{URI: uri, Computer: "local_computer"})
	if err != nil {
		return err
	}
	defer database.Close()
	listeners, err := serve.Listen(ctx, "127.0.0.1", 0)
	if err != nil {
		return err
	}
	fmt.Println("http://" + listeners[0].Addr().String())
	return serve.Loop{
		Handler: proxy.New(proxy.Options{Store: database, Computer: "local_computer"}), Log: slog.New(slog.DiscardHandler),
	}.Serve(ctx, listeners)
}

// startProcess starts a proxy in its own process.
func startProcess(t *testing.T, uri string) (*exec.Cmd, string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), serveVariable+"="+uri)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal("the proxy does not start")
	}
	return command, strings.TrimSpace(address)
}

// TestKill kills a proxy several times while eight clients write: confirmed
// writes are there afterwards, and the database is whole.
func TestKill(t *testing.T) {
	const partitions, clients, rounds, enough = 3000, 8, 4, 60
	uri := filepath.Join(t.TempDir(), "proxy.db")
	promised := map[string]string{} // title to partition
	for round := range rounds {
		command, address := startProcess(t, uri)
		if round == 0 {
			loadOver(t, address, partitions)
		}
		var mutex sync.Mutex
		var group sync.WaitGroup
		done := 0
		for c := range clients {
			group.Add(1)
			go func() {
				defer group.Done()
				for i := 0; ; i++ {
					title := fmt.Sprintf("i%d-%d-%d", round, c, i)
					partition, err := requestOver(address, title)
					mutex.Lock()
					if err == nil {
						promised[title] = partition
						if done++; done == enough {
							_ = command.Process.Kill()
						}
					}
					mutex.Unlock()
					if err != nil {
						return
					}
				}
			}()
		}
		group.Wait()
		_ = command.Wait()
		checkDatabase(t, uri, promised)
	}
	t.Logf("%d requests were promised", len(promised))
}

func loadOver(t *testing.T, address string, partitions int) {
	t.Helper()
	list := make([]any, partitions)
	for i := range list {
		list[i] = slap.Dict{"reference": fmt.Sprintf("slappart%d", i), "tap": slap.Dict{"name": "tap"}, "address_list": []any{}}
	}
	xml := marshal(t, slap.Dict{"reference": "local_computer", "address": nil, "netmask": nil, "partition_list": list})
	response, err := http.PostForm(address+"/loadComputerConfigurationFromXML", url.Values{"xml": {xml}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
}

func requestOver(address, title string) (partition string, err error) {
	response, err := http.PostForm(address+"/requestComputerPartition", url.Values{"software_release": {release}, "software_type": {"t"},
		"partition_reference": {title}, "state": {"<marshal><none/></marshal>"}})
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	value, err := slap.Unmarshal(body)
	if err != nil {
		return "", err
	}
	instance, ok := value.(*slap.Instance)
	if !ok || response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	return instance.Partition, nil
}

// checkDatabase looks with nothing but SQLite.
func checkDatabase(t *testing.T, uri string, promised map[string]string) {
	t.Helper()
	db, err := sql.Open("sqlite", uri)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity: %s, %v", verdict, err)
	}
	rows, err := db.Query("SELECT reference, partition_reference FROM partition18 WHERE slap_state = 'busy'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var partition, title string
		if err := rows.Scan(&partition, &title); err != nil {
			t.Fatal(err)
		}
		if found[title] != "" {
			t.Errorf("%s is on %s and %s", title, found[title], partition)
		}
		found[title] = partition
	}
	for title, partition := range promised {
		if found[title] != partition {
			t.Errorf("%s was given %s, and is on %q", title, partition, found[title])
		}
	}
}

// TestFewPartitions has many clients ask for few partitions, of two processes.
// PROXY-5: requests are served side by side.
func TestFewPartitions(t *testing.T) {
	const partitions, clients = 5, 40
	uri := filepath.Join(t.TempDir(), "proxy.db")
	_, first := startProcess(t, uri)
	loadOver(t, first, partitions)
	_, second := startProcess(t, uri)
	var mutex sync.Mutex
	var group sync.WaitGroup
	given := map[string]string{}
	for c := range clients {
		group.Add(1)
		go func() {
			defer group.Done()
			title := fmt.Sprintf("i%d", c)
			partition, err := requestOver([]string{first, second}[c%2], title)
			mutex.Lock()
			defer mutex.Unlock()
			if err != nil {
				return
			}
			if given[partition] != "" {
				t.Errorf("%s was given to %s and to %s", partition, given[partition], title)
			}
			given[partition] = title
		}()
	}
	group.Wait()
	if len(given) != partitions {
		t.Errorf("%d of %d partitions were given", len(given), partitions)
	}
}

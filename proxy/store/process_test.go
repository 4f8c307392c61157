// SPDX-License-Identifier: GPL-3.0-or-later

package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"slapos/proxy/store"
)

// With requestVariable, the test program requests instances in the database
// that it names, until it is killed or no partition is left.
const requestVariable = "SLAPOS_TEST_REQUEST"

// requestMany requests from several goroutines, and says title and partition
// of each instance that it was given.
func requestMany(uri string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{URI: uri, Computer: "c"})
	if err != nil {
		return err
	}
	defer s.Close()
	var group sync.WaitGroup
	for g := range 4 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; ; i++ {
				title := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				instance, err := s.Request(ctx, order(title))
				if err != nil {
					return
				}
				// One write for each line: the other end sees whole lines.
				fmt.Printf("%s %s\n", title, instance.Partition.ID.Partition)
			}
		}()
	}
	group.Wait()
	return nil
}

// testProcesses has several processes request in one database, and kills some:
// no partition is given twice, and confirmed requests are there.
func testProcesses(t *testing.T, at place) {
	const partitions, rounds, processes, enough = 300, 3, 2, 30
	l := newLab(t, at, partitions)
	program, err := os.Executable()
	l.must(err)
	var mutex sync.Mutex
	given, titles := map[string]string{}, map[string]string{} // by partition, by title
	for range rounds {
		var group sync.WaitGroup
		for range processes {
			command := exec.Command(program)
			command.Env = append(os.Environ(), requestVariable+"="+l.uri)
			command.Stderr = os.Stderr
			output, err := command.StdoutPipe()
			l.must(err)
			l.must(command.Start())
			group.Add(1)
			go func() {
				defer group.Done()
				said := 0
				for lines := bufio.NewScanner(output); lines.Scan(); {
					title, partition, found := strings.Cut(lines.Text(), " ")
					mutex.Lock()
					if other := given[partition]; other != "" || !found {
						t.Errorf("%s was given to %s and to %s", partition, other, title)
					}
					given[partition], titles[title] = title, partition
					mutex.Unlock()
					if said++; said == enough {
						_ = command.Process.Kill()
					}
				}
				_ = command.Wait()
			}()
		}
		group.Wait()
	}
	node, err := l.Node(l.ctx, "c")
	l.must(err)
	for _, p := range node.Partitions {
		if promised := given[p.ID.Partition]; promised != "" && promised != p.Title {
			t.Errorf("%s was given to %s, and has %q", p.ID.Partition, promised, p.Title)
		}
		if promised := titles[p.Title]; p.Title != "" && promised != "" && promised != p.ID.Partition {
			t.Errorf("%s has %s and %s", p.Title, promised, p.ID.Partition)
		}
	}
	if len(given) < rounds*enough {
		t.Errorf("only %d instances were given", len(given))
	}
}

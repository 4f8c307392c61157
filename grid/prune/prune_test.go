// SPDX-License-Identifier: GPL-3.0-or-later

package prune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/confined"
	"slapos/slap/testkit"
)

// A pruneNode has the directories of a node. Digits name its parts.
type pruneNode struct {
	t    *testing.T
	root string
	log  bytes.Buffer
}

func newPruneNode(t *testing.T) *pruneNode {
	node := &pruneNode{t: t, root: t.TempDir()}
	_ = os.Chmod(filepath.Dir(node.root), 0o755) // other users look, too
	for _, name := range []string{"software", "shared", "instance"} {
		os.Mkdir(filepath.Join(node.root, name), 0o755)
	}
	return node
}

func hashOf(digit string) string { return strings.Repeat(digit, 32) }

// part creates a shared part whose signature mentions others.
func (n *pruneNode) part(digit string, mentions ...string) string {
	directory := filepath.Join(n.root, "shared", "name"+digit, hashOf(digit))
	var signature strings.Builder
	for _, other := range mentions {
		fmt.Fprintf(&signature, "path = /shared/x/%s/lib\n", hashOf(other))
	}
	testkit.WriteFile(n.t, filepath.Join(directory, ".slapos.recipe.cmmi.signature"), signature.String())
	return directory
}

func (n *pruneNode) file(name, content string) {
	testkit.WriteFile(n.t, filepath.Join(n.root, name), content)
}

func (n *pruneNode) prune(change func(*Options)) error {
	options := Options{
		SharedRoot:   filepath.Join(n.root, "shared"),
		SoftwareRoot: filepath.Join(n.root, "software"),
		InstanceRoot: filepath.Join(n.root, "instance"),
		Logger:       slog.New(slog.NewTextHandler(&n.log, nil)),
		// A configuration of these tests: software root, instance root, shared root.
		ParseNested: func(content []byte) (NestedNode, error) {
			words := strings.Fields(string(content))
			if len(words) != 3 {
				return NestedNode{}, errors.New("not three words")
			}
			return NestedNode{words[0], words[1], words[2]}, nil
		},
	}
	if change != nil {
		change(&options)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Run(ctx, options)
}

// remaining returns the digits of the parts that still exist.
func (n *pruneNode) remaining() string {
	found, _ := filepath.Glob(filepath.Join(n.root, "shared", "*", "*"))
	digits := ""
	for _, path := range found {
		digits += filepath.Base(path)[:1]
	}
	return digits
}

func TestMain(m *testing.M) { testkit.Main(m) }

func TestPrune(t *testing.T) {
	for name, test := range map[string]struct {
		build  func(n *pruneNode)
		change func(n *pruneNode, o *Options)
		want   string
	}{
		"nothing used":   {build: func(n *pruneNode) { n.part("1"); n.part("2") }},
		"no shared root": {build: func(n *pruneNode) { os.Remove(filepath.Join(n.root, "shared")) }},
		"used in .installed.cfg": {build: func(n *pruneNode) {
			n.part("1")
			n.part("2")
			n.file("software/a/.installed.cfg", "x = /shared/name1/"+hashOf("1")+"/bin")
		}, want: "1"},
		"used in a script": {build: func(n *pruneNode) {
			n.part("1")
			n.part("2")
			n.file("software/a/bin/run", "#!/shared/"+hashOf("1")+"\n")
			n.file("software/a/bin/binary", "\x80"+hashOf("2"))
			n.file("software/a/bin/.hidden", hashOf("2"))
			n.file("software/.b/bin/run", hashOf("2"))
		}, want: "1"},
		"part of a longer run of digits": {build: func(n *pruneNode) {
			n.part("1")
			n.file("software/a/bin/run", "00000"+hashOf("1")+"99")
		}, want: "1"},
		"chain of dependencies": {build: func(n *pruneNode) {
			n.part("1", "2")
			n.part("2", "3")
			n.part("3")
			n.part("4", "5")
			n.part("5")
			n.file("software/a/.installed.cfg", hashOf("4"))
		}, want: "45"},
		"own signature keeps a part alive": {build: func(n *pruneNode) { n.part("1", "1"); n.part("2") }, want: "1"},
		"json signature": {build: func(n *pruneNode) {
			n.part("1", "1")
			n.part("2")
			n.file("shared/name1/"+hashOf("1")+"/.buildout-shared.json", hashOf("2"))
		}, want: "12"},
		"additional software": {build: func(n *pruneNode) {
			n.part("1")
			n.part("2")
			n.file("more/a/.installed.cfg", hashOf("2"))
		}, change: func(n *pruneNode, o *Options) {
			o.AdditionalSoftware = []string{filepath.Join(n.root, "none"), filepath.Join(n.root, "more")}
		}, want: "2"},
		"dry run": {build: func(n *pruneNode) { n.part("1", "2"); n.part("2") },
			change: func(_ *pruneNode, o *Options) { o.DryRun = true }, want: "12"},
		"names that are no digests": {build: func(n *pruneNode) {
			n.file("shared/x/used-in-text/f", "")
			n.file("shared/x/"+strings.Repeat("İ", 16)+"/f", "")
			n.file("shared/x/a file", "")
			n.file("software/a/bin/run", "a used-in-text b "+strings.Repeat("İ", 16))
		}, want: "au\xc4"},
		"links to directories are not parts": {build: func(n *pruneNode) {
			n.file("elsewhere/file", "")
			os.MkdirAll(filepath.Join(n.root, "shared", "x"), 0o755)
			os.Symlink(filepath.Join(n.root, "elsewhere"), filepath.Join(n.root, "shared", "x", hashOf("1")))
		}, want: "1"},
		"nested nodes": {build: func(n *pruneNode) {
			for _, digit := range []string{"1", "2", "3", "4"} {
				n.part(digit)
			}
			slappart := filepath.Join(n.root, "instance", "slappart0")
			n.file("instance/slappart0/etc/slapos.cfg", slappart+"/software "+slappart+"/instance "+slappart+"/shared")
			n.file("instance/slappart0/software/a/.installed.cfg", hashOf("1"))
			n.file("instance/slappart0/shared/n/"+hashOf("9")+"/.x.signature", hashOf("2"))
			away := filepath.Join(n.root, "away")
			n.file("instance/slappart0/instance/p/slapos.cfg", away+"/software "+away+"/instance "+away+"/none")
			n.file("away/instance/slapos.cfg", away+"/software2 "+slappart+"/instance "+away+"/none")
			n.file("away/software/a/bin/x", hashOf("3"))
			n.file("away/software2/a/bin/x", hashOf("4"))
		}, want: "1234"},
		"broken nested nodes": {build: func(n *pruneNode) {
			n.part("1")
			n.part("2")
			n.file("instance/a/slapos.cfg", "broken")
			n.file("instance/b/slapos.cfg/file", "")
			n.file("instance/c/file", "")
			unix.Mkfifo(filepath.Join(n.root, "instance", "c", "slapos.cfg"), 0o644)
			n.file("instance/d/file", "")
			os.Symlink("/dev/zero", filepath.Join(n.root, "instance", "d", "slapos.cfg"))
			n.file("instance/e/slapos.cfg", "/proc/self/mem none none")
			n.file("instance/f/slapos.cfg", n.root+"/nested none none")
			n.file("nested/a/bin/x", hashOf("1"))
			unix.Mkfifo(filepath.Join(n.root, "nested", "a", ".installed.cfg"), 0o644)
			unix.Mkfifo(filepath.Join(n.root, "nested", "a", "bin", "fifo"), 0o644)
		}, want: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newPruneNode(t)
			test.build(n)
			err := n.prune(func(o *Options) {
				if test.change != nil {
					test.change(n, o)
				}
			})
			if err != nil || n.remaining() != test.want {
				t.Errorf("remaining %q, want %q; error %v\n%s", n.remaining(), test.want, err, &n.log)
			}
		})
	}
}

func TestPruneTells(t *testing.T) {
	n := newPruneNode(t)
	first, second := n.part("1", "2"), n.part("2")
	n.prune(func(o *Options) { o.DryRun, o.AdditionalSoftware = true, []string{"/none"} })
	n.prune(nil)
	got := ""
	for line := range strings.Lines(n.log.String()) {
		got += line[strings.Index(line, "level="):]
	}
	want := `level=WARN msg="Pruning shared directories at ` + n.root + `/shared"
level=WARN msg="Additional software directory does not exist: /none"
level=WARN msg="Unused shared parts at ` + first + `"
level=WARN msg="Unused shared parts at ` + second + `"
level=WARN msg="Pruning shared directories at ` + n.root + `/shared"
level=WARN msg="Unused shared parts at ` + first + ` ... removed"
level=WARN msg="Unused shared parts at ` + second + ` ... removed"
`
	if got != want {
		t.Errorf("log is\n%swant\n%s", got, want)
	}
}

// TestPruneKeepsWhatItCannotJudge has software that can't be read.
func TestPruneKeepsWhatItCannotJudge(t *testing.T) {
	testkit.AsUser(t, func(directory string) {
		n := &pruneNode{t: t, root: directory}
		n.part("1")
		n.file("software/a/.installed.cfg", hashOf("1"))
		installed := filepath.Join(directory, "software/a/.installed.cfg")
		for path, mode := range map[string]os.FileMode{installed: 0o644, filepath.Dir(installed): 0o755, filepath.Join(directory, "software"): 0o755} {
			os.Chmod(path, 0)
			if err := n.prune(nil); !errors.Is(err, os.ErrPermission) {
				t.Errorf("%s unreadable: %v", path, err)
			}
			os.Chmod(path, mode)
		}
		if n.remaining() != "1" {
			t.Error("the part was removed")
		}
	})
}

// TestPruneDeepInstance has a partition with endlessly nested directories.
func TestPruneDeepInstance(t *testing.T) {
	t.Parallel()
	n := newPruneNode(t)
	n.part("1")
	tree := filepath.Join(n.root, "instance", "deep")
	testkit.MakeDeep(t, tree, 1500)
	defer confined.Remove(context.Background(), tree)
	n.file("instance/slapos.cfg", n.root+"/nested none none")
	n.file("nested/a/bin/x", hashOf("1"))
	if err := n.prune(nil); err != nil || n.remaining() != "1" {
		t.Errorf("remaining %q, error %v", n.remaining(), err)
	}
}

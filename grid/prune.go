// SPDX-License-Identifier: GPL-3.0-or-later

package grid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"slapos/slap/confined"

	"golang.org/x/sys/unix"
)

// PruneOptions say where shared parts lie and who may use them.
type PruneOptions struct {
	SharedRoot         string // holds <name>/<hash> directories
	SoftwareRoot       string
	InstanceRoot       string   // searched for nodes inside partitions
	AdditionalSoftware []string // further directories like SoftwareRoot
	DryRun             bool     // tell what would be removed, remove nothing
	// ParseNested reads the slapos.cfg of a node inside a partition. A file
	// for which it returns an error is ignored. Nil: no such nodes.
	ParseNested func(content []byte) (NestedNode, error)
	Logger      *slog.Logger
}

// A NestedNode is a node that runs inside a partition of ours and may use our
// shared parts.
type NestedNode struct {
	SoftwareRoot, InstanceRoot string
	SharedRoot                 string // empty: none
}

// Prune removes the shared parts that no software, no remaining shared part
// and no nested node mentions (GRID-91, GRID-92).
func Prune(ctx context.Context, options PruneOptions) error {
	options.Logger.Warn("Pruning shared directories at " + options.SharedRoot)
	candidates, err := listParts(options.SharedRoot)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	used := newPartSearch(candidates, options.Logger)
	if err := searchOuterSoftware(ctx, options, used); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	nested := nestedSearch{search: used, options: options}
	if err := nested.walk(ctx, options.InstanceRoot); err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	mentions := map[string]*partSearch{}
	for _, part := range candidates {
		mentions[part] = newPartSearch(candidates, options.Logger)
		if err := mentions[part].searchSignatures(part); err != nil {
			return fmt.Errorf("prune: %w", err)
		}
	}
	for {
		unused := unusedParts(candidates, used, mentions)
		if len(unused) == 0 {
			return nil
		}
		for _, part := range unused {
			if err := prunePart(ctx, options, part); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
			delete(mentions, part)
		}
	}
}

func prunePart(ctx context.Context, options PruneOptions, part string) error {
	if options.DryRun {
		options.Logger.Warn("Unused shared parts at " + part)
		return ctx.Err()
	}
	if err := confined.Remove(ctx, part); err != nil {
		return err
	}
	options.Logger.Warn("Unused shared parts at " + part + " ... removed")
	return nil
}

// unusedParts are those that remain (are in mentions) and that nothing which
// remains mentions. A part's own signature counts, as in the original.
func unusedParts(candidates []string, used *partSearch, mentions map[string]*partSearch) []string {
	var unused []string
	for _, part := range candidates {
		if _, remains := mentions[part]; !remains {
			continue
		}
		hash := filepath.Base(part)
		found := used.found[hash]
		for _, mentioned := range mentions {
			found = found || mentioned.found[hash]
		}
		if !found {
			unused = append(unused, part)
		}
	}
	return unused
}

// searchOuterSoftware looks at the node's own software. Trouble in reading it
// is an error: what can't be seen to be unused must not go.
func searchOuterSoftware(ctx context.Context, options PruneOptions, used *partSearch) error {
	directories := []string{options.SoftwareRoot}
	for _, directory := range options.AdditionalSoftware {
		if _, err := os.Stat(directory); errors.Is(err, os.ErrNotExist) {
			options.Logger.Warn("Additional software directory does not exist: " + directory)
			continue
		}
		directories = append(directories, directory)
	}
	for _, directory := range directories {
		if err := used.searchSoftware(ctx, directory); err != nil {
			return err
		}
	}
	return nil
}

// listParts returns the directories <root>/*/*, sorted.
func listParts(root string) ([]string, error) {
	names, err := visibleNames(root)
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, name := range names {
		hashes, err := visibleNames(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		for _, hash := range hashes {
			part := filepath.Join(root, name, hash)
			if info, err := os.Lstat(part); err == nil && info.IsDir() {
				parts = append(parts, part)
			}
		}
	}
	return parts, nil
}

// visibleNames lists a directory as the shell's `*` does, sorted; nothing when
// it is missing or no directory.
func visibleNames(directory string) ([]string, error) {
	file, err := os.OpenFile(directory, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(-1)
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, ".") })
	sort.Strings(names)
	return names, err
}

// isAbsent tells that a path leads nowhere: missing, or through a file or a
// loop of links.
func isAbsent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// A partSearch looks for the names of shared parts in texts.
type partSearch struct {
	hashes map[string]bool // names of 32 hexadecimal digits, nearly all
	others []string        // any other name
	found  map[string]bool
	log    *slog.Logger
}

func newPartSearch(parts []string, log *slog.Logger) *partSearch {
	search := &partSearch{hashes: map[string]bool{}, found: map[string]bool{}, log: log}
	for _, part := range parts {
		name := filepath.Base(part)
		if len(name) == hashLength && strings.Trim(name, "0123456789abcdef") == "" {
			search.hashes[name] = true
		} else {
			search.others = append(search.others, name)
		}
	}
	return search
}

const hashLength = 32

func isHexadecimal(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// search notes every name that occurs anywhere in text.
func (s *partSearch) search(text []byte) {
	run := 0
	for i, c := range text {
		if !isHexadecimal(c) {
			run = 0
			continue
		}
		if run++; run >= hashLength {
			if name := text[i+1-hashLength : i+1]; s.hashes[string(name)] {
				s.found[string(name)] = true
			}
		}
	}
	for _, name := range s.others {
		if bytes.Contains(text, []byte(name)) {
			s.found[name] = true
		}
	}
}

// searchSoftware looks at */.installed.cfg and */bin/* of a software root.
func (s *partSearch) searchSoftware(ctx context.Context, root string) error {
	names, err := visibleNames(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.searchRelease(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// searchRelease looks at .installed.cfg and bin/* of a release.
func (s *partSearch) searchRelease(directory string) error {
	if err := s.searchFile(filepath.Join(directory, ".installed.cfg")); err != nil {
		return err
	}
	scripts, err := visibleNames(filepath.Join(directory, "bin"))
	if err != nil {
		return err
	}
	for _, script := range scripts {
		if err := s.searchFile(filepath.Join(directory, "bin", script)); err != nil {
			return err
		}
	}
	return nil
}

// searchSignatures looks at the files by which a shared part tells what it
// was built from.
func (s *partSearch) searchSignatures(part string) error {
	entries, err := os.ReadDir(part)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if name == ".buildout-shared.json" || strings.HasPrefix(name, ".") && strings.HasSuffix(name, "signature") {
			if err := s.searchFile(filepath.Join(part, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// largestText is far above any script or signature; what is larger is no text.
const largestText = 64 << 20

// searchFile looks at one file, if it is a text: regular, UTF-8.
func (s *partSearch) searchFile(path string) error {
	text, err := readRegular(path, largestText)
	if isAbsent(err) || errors.Is(err, errNotRegular) || errors.Is(err, errTooLarge) {
		return nil
	}
	if err != nil {
		return err
	}
	if !utf8.Valid(text) {
		s.log.Debug("Skipping script " + path + " that could not be decoded")
		return nil
	}
	s.search(text)
	return nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("file too large")
)

// readRegular reads a file of at most limit bytes and never waits for one
// that is a FIFO or a device.
func readRegular(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, errNotRegular
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readOpened(file, limit)
}

func readOpened(file *os.File, limit int64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errTooLarge
	}
	return content, err
}

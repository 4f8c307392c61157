// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"slapos/slap"
	"slapos/slap/confined"
	"slapos/slap/wholefile"
)

// loadPrevious reads the computer file of an earlier run; nil if there is none.
// It only uses what survives a run (FMT-81).
func loadPrevious(path string) (*Computer, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	computer, err := parseComputer(content)
	if err != nil {
		return nil, fmt.Errorf("computer file %s: %w", path, err)
	}
	return computer, nil
}

func parseComputer(content []byte) (*Computer, error) {
	value, err := slap.Unmarshal(content)
	if err != nil {
		return nil, err
	}
	document, ok := value.(slap.Dict)
	if !ok {
		return nil, errors.New("is not the description of a computer")
	}
	partitions, ok := document["partition_list"].([]any)
	if !ok {
		return nil, errors.New("has no list of partitions")
	}
	computer := &Computer{
		Address:      text(document, "address"),
		Netmask:      withoutLength(text(document, "netmask")),
		SoftwareUser: text(document, "software_user"),
		SoftwareRoot: text(document, "software_root"),
		InstanceRoot: text(document, "instance_root"),
		PublicIPv4:   text(document, "public_ipv4_address"),
	}
	for i, value := range partitions {
		partition, err := parsePartition(value)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
		computer.Partitions = append(computer.Partitions, partition)
	}
	return computer, nil
}

func parsePartition(value any) (*Partition, error) {
	document, ok := value.(slap.Dict)
	if !ok || text(document, "reference") == "" {
		return nil, errors.New("has no reference")
	}
	partition := &Partition{
		Reference: text(document, "reference"),
		Path:      text(document, "path"),
		User:      "root",
		Tap:       Device{Name: text(document, "reference")},
	}
	if user, ok := document["user"].(slap.Dict); ok {
		partition.User = text(user, "name")
	}
	if tap, ok := document["tap"].(slap.Dict); ok {
		partition.Tap = parseDevice(tap)
	}
	if tun, ok := document["tun"].(slap.Dict); ok {
		device := parseDevice(tun)
		partition.Tun = &device
	}
	addresses, _ := document["address_list"].([]any)
	for _, value := range addresses {
		address, _ := value.(slap.Dict)
		partition.Addresses = append(partition.Addresses, Address{Address: text(address, "addr"), Netmask: text(address, "netmask")})
	}
	if network, ok := document["ipv6_range"].(slap.Dict); ok && len(network) > 0 {
		length, _ := network["prefixlen"].(int)
		partition.Range = &Range{Address: text(network, "addr"), Netmask: text(network, "netmask"), Network: text(network, "network"), PrefixLength: length}
	}
	return partition, nil
}

func parseDevice(document slap.Dict) Device {
	network := func(family string) DeviceNetwork {
		return DeviceNetwork{
			Address: text(document, family+"_addr"),
			Netmask: text(document, family+"_netmask"),
			Gateway: text(document, family+"_gateway"),
			Network: text(document, family+"_network"),
		}
	}
	return Device{Name: text(document, "name"), IPv4: network("ipv4"), IPv6: network("ipv6")}
}

// text is a text field, "" when it is absent, null or something else.
func text(document slap.Dict, key string) string {
	value, _ := document[key].(string)
	return value
}

// state has the files that a run leaves for the next one and for others.
type state struct {
	computerXML  string
	computerJSON string // optional
	now          func() time.Time
	log          *slog.Logger
}

// save writes all of them, the computer file last (FMT-76). The users of all
// partitions must be known by then. It skips failed partitions, and adds those
// to the list whose files it can't write.
func (s *state) save(computer *Computer, document slap.Dict, failures []PartitionFailure, known func(user string) error) ([]PartitionFailure, error) {
	resources, _ := document["partition_list"].([]any)
	for i, partition := range computer.Partitions {
		if !hasFailed(failures, partition) {
			if err := s.saveResources(partition, resources[i]); err != nil {
				failures = append(failures, PartitionFailure{Reference: partition.Reference, Err: fmt.Errorf("write its resources: %w", err)})
			}
		}
		if err := known(partition.User); err != nil {
			return failures, fmt.Errorf("partition %s: %w: make that user, or set alter_user = true", partition.Reference, err)
		}
	}
	if s.computerJSON != "" {
		if err := wholefile.Write(s.computerJSON, pythonJSON(document, "  "), 0o666); err != nil {
			return failures, fmt.Errorf("write computer as JSON: %w", err)
		}
	}
	compact, err := slap.Marshal(document)
	if err != nil {
		return failures, err
	}
	return failures, s.saveComputer(indentXML(compact))
}

// saveComputer archives the former computer file and writes the new one, unless
// they are equal (FMT-78, FMT-79).
func (s *state) saveComputer(content []byte) error {
	archive := s.computerXML + ".zip"
	former, err := os.ReadFile(s.computerXML)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if _, err := os.Stat(archive); err == nil && bytes.Equal(former, content) {
			return nil
		}
		if err := s.archive(archive, former); err != nil {
			s.log.Error("Can't backup "+s.computerXML, "error", err)
		}
	}
	return wholefile.Write(s.computerXML, content, 0o666)
}

// archive appends to the archive. If it can't write to that, it moves it out of
// the way and starts a new one.
func (s *state) archive(path string, content []byte) error {
	err := s.appendToArchive(path, content)
	if err == nil {
		return nil
	}
	if os.Rename(path, path+s.now().Format("_broken_20060102-15:04")) != nil {
		return err
	}
	return s.appendToArchive(path, content)
}

func (s *state) appendToArchive(path string, content []byte) error {
	former, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeThrough(path, func(target io.Writer) error {
		writer := zip.NewWriter(target)
		if err := copyArchive(target, writer, former); err != nil {
			return err
		}
		entry, err := writer.CreateHeader(&zip.FileHeader{
			Name:     filepath.Base(s.computerXML) + s.now().Format(".20060102-15:04"),
			Method:   zip.Deflate,
			Modified: s.now(),
		})
		if err != nil {
			return err
		}
		if _, err := entry.Write(content); err != nil {
			return err
		}
		return writer.Close()
	})
}

// copyArchive copies the entries of an archive. If the file isn't an archive,
// it is kept in front of the new entries, where readers of archives skip it.
func copyArchive(target io.Writer, writer *zip.Writer, archive []byte) error {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		writer.SetOffset(int64(len(archive)))
		_, err := target.Write(archive)
		return err
	}
	for _, entry := range reader.File {
		if err := writer.Copy(entry); err != nil {
			return err
		}
	}
	return nil
}

// writeThrough replaces a file with what write writes, whole or not at all.
func writeThrough(path string, write func(io.Writer) error) error {
	file, err := wholefile.Create(path, wholefile.Mode(0o666), wholefile.KeepMode())
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // does nothing after success
	if err := write(file); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

const resourceFile = ".slapos-resource"

// saveResources writes into a partition what it may use (FMT-80). The directory
// belongs to the partition's user, so it touches nothing outside; every run
// writes the file again, so it doesn't sync.
func (s *state) saveResources(partition *Partition, resources any) error {
	content := pythonJSON(resources, "    ")
	directory, err := confined.Open(partition.Path)
	if err != nil {
		return err
	}
	defer func() { _ = directory.Close() }()
	if present, err := directory.Read(resourceFile); err == nil && bytes.Equal(present, content) {
		return nil
	}
	if err := directory.Write(resourceFile, content, confined.VolatileFile); err != nil {
		return err
	}
	s.log.Info("Partition resources saved to "+partition.Reference, "logger", "slapos.format")
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
)

// Limits in bytes, from groupadd and useradd, and for the name of a directory.
const (
	maxUserName      = 32
	maxPartitionName = 255
)

// checkNames checks all names that will be used, before anything is made.
func (c *Computer) checkNames(d *Definition, previous *Computer, accounts *Accounts) error {
	checkUser := func(name, where, key string) error {
		fault := userNameFault
		if _, exists := accounts.Users[name]; d.AlterUser && !exists {
			fault = newUserNameFault
		}
		if fault := fault(name); fault != "" {
			return fmt.Errorf("%s: %q can't be the name of a user: %s: change %s", where, name, fault, key)
		}
		return nil
	}
	if d.AlterUser {
		if err := checkUser(c.SoftwareUser, "software", "software_user"); err != nil {
			return err
		}
	}
	for i, partition := range c.Partitions {
		where := "partition " + cmp.Or(partition.Reference, fmt.Sprint(i))
		reference, user := "partition_base_name", "user_base_name"
		switch {
		case d.Input != nil:
			reference = fmt.Sprintf("pathname in section [partition_%d] of the definition file", i)
			user = fmt.Sprintf("user in section [partition_%d] of the definition file", i)
		case previous != nil && i < len(previous.Partitions):
			reference, user = "its reference in the file computer_xml", "its user in the file computer_xml"
		}
		if fault := partitionNameFault(partition.Reference); fault != "" {
			return fmt.Errorf("partition %d: %q can't be the name of a partition: %s: change %s", i, partition.Reference, fault, reference)
		}
		if err := checkUser(partition.User, where, user); err != nil {
			return err
		}
		if err := c.checkDevices(d, partition); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// checkDevices checks the names of a partition's interfaces.
func (c *Computer) checkDevices(d *Definition, partition *Partition) error {
	if !d.AlterNetwork {
		return nil
	}
	if d.CreateTap {
		if err := checkInterfaceName(partition.Tap.Name); err != nil {
			return err
		}
	}
	if partition.Tun != nil {
		return checkInterfaceName(partition.Tun.Name)
	}
	return nil
}

// userNameFault says why a text can't be the name of a user, "" if it can.
func userNameFault(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "it is none"
	case strings.ContainsAny(name, "/:"):
		return `it has a "/" or ":"`
	case strings.ContainsFunc(name, unicode.IsControl):
		return "it has control characters"
	case name[0] == '-':
		return `it begins with "-"`
	}
	return ""
}

// newUserNameFault is userNameFault for a user that groupadd and useradd have
// to make. Names of existing users, and of those from a directory service, may
// be longer or odder.
func newUserNameFault(name string) string {
	fault := userNameFault(name)
	switch {
	case fault != "":
		return fault
	case len(name) > maxUserName:
		return fmt.Sprintf("it has %d characters, at most %d are possible", len(name), maxUserName)
	case strings.ContainsFunc(name, unicode.IsSpace) || strings.Contains(name, ","):
		return "it has a blank or comma"
	case name[0] == '+' || name[0] == '~':
		return fmt.Sprintf("it begins with %q", name[:1])
	}
	return ""
}

// partitionNameFault says why a text can't be the name of a directory in
// instance_root, "" if it can.
func partitionNameFault(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "it is none"
	case strings.Contains(name, "/"):
		return `it has a "/", and a partition's directory is one in instance_root`
	case strings.ContainsFunc(name, unicode.IsControl):
		return "it has control characters"
	case len(name) > maxPartitionName:
		return fmt.Sprintf("it has %d characters, at most %d are possible", len(name), maxPartitionName)
	}
	return ""
}

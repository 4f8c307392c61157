// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"os"
	"strings"
	"testing"
)

// Names of users and partitions are checked before anything is made: an
// impossible name is refused, with a line that says what to change.
func TestNames(t *testing.T) {
	long := strings.Repeat("x", 33)
	tests := map[string]struct {
		partition, user string // in the definition file; empty: a valid one
		exists          bool   // the user exists
		others          bool   // users are not altered
		want            string // "": accepted
	}{
		"plain":                    {},
		"dot":                      {partition: ".hidden"},
		"blank":                    {partition: "a b"},
		"not ASCII":                {partition: "é", user: "é"},
		"dots":                     {partition: "a..b", user: "a..b"},
		"capitals":                 {user: "First.Last_1-2"},
		"number":                   {user: "12"},
		"dollar":                   {user: "machine$"},
		"domain":                   {user: `DOMAIN\user`},
		"32":                       {user: long[:32]},
		"255":                      {partition: strings.Repeat("x", 255)},
		"parent":                   {partition: "..", want: `partition 0: ".." can't be the name of a partition: it is none: change pathname in section [partition_0] of the definition file`},
		"the root":                 {partition: ".", want: "it is none: change pathname"},
		"elsewhere":                {partition: "../x", want: `it has a "/", and a partition's directory is one in instance_root: change pathname`},
		"below":                    {partition: "a/b", want: `it has a "/"`},
		"absolute":                 {partition: "/etc", want: `it has a "/"`},
		"line":                     {partition: "a\nb", want: `partition 0: "a\nb" can't be the name of a partition: it has control characters`},
		"256":                      {partition: strings.Repeat("x", 256), want: "it has 256 characters, at most 255 are possible"},
		"user of 33":               {user: long, want: `partition slappart0: "` + long + `" can't be the name of a user: it has 33 characters, at most 32 are possible: change user in section [partition_0] of the definition file`},
		"user of 33 that exists":   {user: long, exists: true},
		"user of 33, not altered":  {user: long, others: true},
		"user with blank":          {user: "a b", want: "it has a blank or comma"},
		"user with blank, other":   {user: "a b", others: true},
		"user with slash":          {user: "a/b", want: `it has a "/" or ":"`},
		"user with slash, other":   {user: "a/b", others: true, want: `it has a "/" or ":"`},
		"user with colon":          {user: "a:0:0", others: true, want: `it has a "/" or ":"`},
		"user with line":           {user: "a\nb", others: true, want: "it has control characters"},
		"user that is an option":   {user: "--root=x", others: true, want: `it begins with "-"`},
		"user that is a directory": {user: "..", want: "it is none"},
		"user with tilde":          {user: "~a", want: `it begins with "~"`},
		"user with comma":          {user: "a,b", want: "it has a blank or comma"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			n := newBareNode(t, 1)
			partition := InputPartition{Path: "slappart0", User: "slapuser0"}
			if test.partition != "" {
				partition.Path = test.partition
			}
			if test.user != "" {
				partition.User = test.user
			}
			n.options.Input = &Input{SoftwareUser: "builder", Partitions: []InputPartition{partition}}
			n.options.AlterUser = !test.others
			present, err := n.options.Machine.Present(t.Context(), &n.options.Definition, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.exists {
				present.Accounts.Users[test.user] = User{UID: 7, GID: 7}
			}
			_, err = Want(&n.options.Definition, nil, present, nil, testLog())
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// The line says which option a bad name comes from; nothing is made.
func TestNamesOfOptions(t *testing.T) {
	for key, set := range map[string]func(*Definition){
		"partition_base_name": func(d *Definition) { d.PartitionBaseName = "../x" },
		"user_base_name":      func(d *Definition) { d.UserBaseName = "a b" },
		"software_user":       func(d *Definition) { d.SoftwareUser = "a/b" },
	} {
		n := newNode(t, 1)
		set(&n.options.Definition)
		_, err := Run(t.Context(), n.options)
		if err == nil || !strings.HasSuffix(err.Error(), ": change "+key) {
			t.Errorf("%s: error %v", key, err)
		}
		if _, err := os.Stat(n.options.InstanceRoot); err == nil || n.commands != nil {
			t.Errorf("%s: something was made, commands %q", key, n.commands)
		}
	}
	previous := stored("10.0.9.9", "2001:db8:1:2::77", "ffff:ffff:ffff:ffff::")
	previous.Partitions[0].Reference = "a/b"
	n := newBareNode(t, 1)
	present, err := n.options.Machine.Present(t.Context(), &n.options.Definition, previous)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Want(&n.options.Definition, previous, present, nil, testLog()); err == nil || !strings.HasSuffix(err.Error(), ": change its reference in the file computer_xml") {
		t.Errorf("stored: error %v", err)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"bytes"
	"testing"
)

// TestKeys checks that the keys of a class are sorted, that its arguments are
// among them, and that a key is written alike from its field and, as an extra
// attribute, from its value (SLAP-22).
func TestKeys(t *testing.T) {
	release := &SoftwareRelease{URL: exampleURL, Computer: "C", RequestedState: StateDestroyed}
	partition := &Partition{
		Computer: "C", Reference: "p", InstanceGUID: "g", RequestedState: StateStopped, NeedModification: true,
		SoftwareRelease: release, Parameters: Dict{"a": 1}, ConnectionParameters: Dict{}, HasAccessStatus: true,
	}
	t.Run("computer", func(t *testing.T) {
		checkKeys(t, &computerClass, &Computer{
			Reference: "C", Partitions: []*Partition{partition}, SoftwareReleases: []*SoftwareRelease{release},
		})
	})
	t.Run("release", func(t *testing.T) { checkKeys(t, &releaseClass, release) })
	t.Run("partition", func(t *testing.T) { checkKeys(t, &partitionClass, partition) })
	t.Run("instance", func(t *testing.T) {
		checkKeys(t, &instanceClass, &Instance{
			GUID: "g", RequestedState: StateStarted, Computer: "C", Partition: "p", ServerURL: "s",
			SoftwareReleaseURL: exampleURL, SoftwareType: "default", Parameters: Dict{}, ConnectionParameters: Dict{"b": "c"},
			HasConnectionXML: true, IPList: []Address{{Interface: "tap0", IP: "10.0.0.1"}},
		})
	})
}

func checkKeys[E any](t *testing.T, c *class[E], entity *E) {
	want, err := Marshal(entity)
	if err != nil {
		t.Fatal(err)
	}
	for n, k := range c.keys {
		if n > 0 && c.keys[n-1].name >= k.name {
			t.Errorf("%s stands before %s", c.keys[n-1].name, k.name)
		}
		if !k.form.present(entity) {
			t.Errorf("%s is not there: the test doesn't fill it", k.name)
		}
		*c.extra(entity) = Dict{k.name: k.form.value(entity)}
		if got, err := Marshal(entity); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s as an extra attribute: %v\n%s\nwant\n%s", k.name, err, got, want)
		}
		*c.extra(entity) = nil
	}
	for _, name := range c.arguments {
		if c.find(name) == nil {
			t.Errorf("argument %s is no key", name)
		}
	}
}

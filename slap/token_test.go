// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
)

// TestTokenStays: the token for a Master goes to its address alone, before what names
// a partition (CLI-112, SLAP-6).
func TestTokenStays(t *testing.T) {
	var elsewhere, seen []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization"))
		fmt.Fprint(w, "http://hateoas.example/")
	}))
	defer other.Close()
	master := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Values("Authorization")
		if r.Method == http.MethodGet {
			http.Redirect(w, r, other.URL+"/", http.StatusFound)
		}
	}))
	defer master.Close()
	client, err := NewClient(ClientConfig{MasterURL: master.URL, Token: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Hateoas(t.Context()); err != nil {
		t.Error(err)
	}
	if want := []string{"Bearer abc"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("the Master sees %q, want %q", seen, want)
	}
	if want := []string{""}; !reflect.DeepEqual(elsewhere, want) {
		t.Errorf("the host it leads to sees %q", elsewhere)
	}
	if err := client.InstanceBang(t.Context(), PartitionID{Computer: "C", Partition: "p0"}, "text"); err != nil {
		t.Error(err)
	}
	if want := []string{"Bearer abc", "X-SlapPartition computer_id=C, computer_partition_id=p0"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("for a partition the Master sees %q, want %q", seen, want)
	}
}

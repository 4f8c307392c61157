// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap"
)

// club is a master with an authority, two nodes and some people.
type club struct {
	*testing.T
	authority *authority.Authority
	store     *store.Database
	proxy     *Proxy
	shown     map[string]*tls.ConnectionState // by who
	bearers   map[string]string
	serials   map[string]string
}

const clubRelease = "http://example.com/sr.cfg"

// newClub has the instance "web" on slappart0 of node-1 with a shared one, "guest";
// "shop" is on slappart0 of node-2, with "visitor".
func newClub(t *testing.T, a *authority.Authority) *club {
	t.Helper()
	database, err := store.Open(t.Context(), store.Options{URI: filepath.Join(t.TempDir(), "proxy.db"), Computer: "local_computer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { database.Close() })
	c := &club{T: t, authority: a, store: database, shown: map[string]*tls.ConnectionState{}, bearers: map[string]string{}, serials: map[string]string{}}
	c.proxy = New(Options{Store: database, Computer: "local_computer", Authority: a})
	for _, name := range []string{"node-1", "node-2"} {
		description := store.ComputerDescription{Reference: name}
		for i := range 3 {
			description.Partitions = append(description.Partitions, store.PartitionDescription{Reference: fmt.Sprintf("slappart%d", i),
				Addresses: []store.NetworkAddress{{Interface: "lo", Address: "10.0.0.1", Netmask: "255.255.255.255"}}})
		}
		c.must(database.LoadComputer(t.Context(), description))
		c.must(database.Supply(t.Context(), store.Software{URL: clubRelease, Computer: name, State: "available"}))
	}
	for i, title := range []string{"web", "shop"} {
		computer := fmt.Sprintf("node-%d", i+1)
		c.request(title, computer, false)
		c.request([]string{"guest", "visitor"}[i], computer, true)
	}
	for who, role := range map[string]string{"own": store.RoleNode, "other": store.RoleNode, "revoked": store.RoleNode, "user": store.RoleUser,
		"read-only": store.RoleReadOnly, "admin": store.RoleAdmin} {
		name := map[string]string{"own": "node-1", "other": "node-2"}[who]
		if name == "" {
			name = who + "-name"
		}
		c.join(who, role, name)
	}
	if _, err := database.Revoke(t.Context(), "revoked-name"); err != nil {
		t.Fatal(err)
	}
	c.shown["stranger"] = c.present(authority.Subject{Role: store.RoleAdmin, Name: "admin-name"}, newTestKey(t), "80000000000000000000000000000000")
	certificate, _, err := c.proxy.access.certificateOf(t.Context(), slap.PartitionID{Computer: "node-1", Partition: "slappart0"})
	c.must(err)
	c.shown["partition"] = c.state([]byte(certificate))
	return c
}

func (c *club) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

func (c *club) request(title, computer string, shared bool) {
	c.Helper()
	_, err := c.store.Request(c.Context(), store.Order{Request: slap.Request{Reference: title, SoftwareRelease: clubRelease, SoftwareType: "default",
		State: "started", Shared: shared, Parameters: slap.Dict{"password": "secret of " + title}, Filter: slap.Dict{"computer_guid": computer}}})
	c.must(err)
}

func newTestKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// join gives somebody a certificate and, if that is for requests, a token.
func (c *club) join(who, role, name string) {
	c.Helper()
	token := authority.NewToken(c.authority.Pin())
	c.must(c.store.AddToken(c.Context(), store.Token{ID: token.ID, Digest: token.Digest(), Role: role, Name: name, Uses: 1, Expires: float64(time.Now().Unix() + 3600)}))
	key := newTestKey(c.T)
	id, err := authority.KeyID(&key.PublicKey)
	c.must(err)
	serial, err := authority.NewSerial()
	c.must(err)
	row, err := c.store.Join(c.Context(), store.Joining{ID: token.ID, Digest: token.Digest(), Key: id, Serial: serial, Expires: c.authority.Expires()})
	c.must(err)
	c.shown[who] = c.present(authority.Subject{Role: row.Role, Name: row.Name}, key, serial)
	c.serials[who], c.bearers[who] = serial, token.String()
}

func (c *club) present(subject authority.Subject, key crypto.Signer, serial string) *tls.ConnectionState {
	c.Helper()
	issued, err := c.authority.Sign(subject, key.Public(), serial)
	c.must(err)
	return c.state(issued.PEM)
}

// state is that of a connection on which a certificate was verified.
func (c *club) state(text []byte) *tls.ConnectionState {
	c.Helper()
	leaf, err := authority.CertificateIn(text)
	c.must(err)
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: c.authority.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c.must(err)
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}
}

// ask makes a request as somebody.
func (c *club) ask(who, method, path, kind, body string, headers ...string) *httptest.ResponseRecorder {
	c.Helper()
	r := httptest.NewRequestWithContext(c.Context(), method, "https://127.0.0.1"+path, strings.NewReader(body))
	r.TLS = &tls.ConnectionState{}
	if token, found := strings.CutPrefix(who, "token of "); found {
		r.Header.Set("Authorization", "Bearer "+c.bearers[token])
	} else if c.shown[who] != nil {
		r.TLS = c.shown[who]
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.proxy.ServeHTTP(w, r)
	return w
}

// refused reports whether an answer is that somebody may not do this.
func refused(w *httptest.ResponseRecorder) bool {
	body := w.Body.String()
	return w.Code == 401 || w.Code == 403 && (strings.Contains(body, "is for itself alone") || strings.Contains(body, "may not do this") ||
		strings.Contains(body, "was revoked") || strings.Contains(body, "know this certificate") || strings.Contains(body, "node join alone"))
}

// permitted says of each path who is let in beside administrators: "o" the node that
// it is about, "p" that node's partition, "u" users, "r" read-only ones; "e" is
// everybody, "m" whoever is somebody. A route that isn't here fails.
var permitted = map[string]string{
	"/": "ur", "/getRunId": "e", "/healthz": "e", "/readyz": "e", "/version": "opurx", "/openapi.json": "opurx", "/metrics": "ur", "/hateoas": "ur", "/hateoas/...": "ur", "/panel": "ur", "/panel/...": "ur",
	"/http_proxy/...": "u", "/shacache/...": "opurx", "/join": "e", "/renew": "m", "/leave": "m",

	"/getFullComputerInformation": "ou", "/getComputerInformation": "ou", "/registerComputerPartition": "opu", "/loadComputerConfigurationFromXML": "o",
	"/supplySupply": "u", "/destroyedSoftwareRelease": "o", "/buildingSoftwareRelease": "o", "/availableSoftwareRelease": "o", "/softwareReleaseError": "o",
	"/softwareInstanceError": "op", "/startedComputerPartition": "op", "/stoppedComputerPartition": "op", "/useComputer": "o", "/computerBang": "ou",
	"/getComputerPartitionStatus": "opurx", "/getComputerPartitionCertificate": "o", "/getSoftwareReleaseListFromSoftwareProduct": "opurx",
	"/requestComputerPartition": "opu", "/setComputerPartitionConnectionXml": "op", "/softwareInstanceBang": "opu",
	"/updateComputerPartitionRelatedInstanceList": "op", "/softwareInstanceRename": "u", "/destroyedComputerPartition": "o",

	"/slapos.get.v0.hateoas_url": "opurx", "/slapos.post.v0.compute_node_certificate": "o", "/slapos.remove.v0.compute_node_certificate": "o",
	"/slapos.get.v0.software_instance_certificate": "o", "/slapos.post.v0.compute_node_usage": "o", "/slapos.get.v0.compute_node_status": "our",
	"/slapos.post.v0.software_installation": "u", "/slapos.put.v0.software_installation_error": "o", "/slapos.allDocs.v0.compute_node_instance_list": "our",
	"/slapos.allDocs.v0.instance_tree_list": "ur", "/slapos.get.v0.instance_tree": "u", "/slapos.get.v0.compute_partition": "opu",
	"/slapos.get.v0.software_instance": "opu", "/slapos.post.v0.software_instance": "opu", "/slapos.put.v0.software_instance_bang": "opu",
	"/slapos.put.v0.software_instance_title": "u", "/slapos.put.v0.software_instance_error": "op", "/slapos.put.v0.compute_node_bang": "ou",
	"/slapos.put.v0.compute_node_format": "o", "/slapos.allDocs.WIP.compute_node_list": "ur",
	"/slapos.allDocs.v0.compute_node_software_installation_list": "our", "/slapos.allDocs.v0.instance_node_instance_list": "opu",
	"/slapos.put.v0.software_installation_reported_state": "o", "/slapos.put.v0.software_instance_reported_state": "o", "/slapos.get.v1.status": "ur",
	"/slapos.get.v1.software_instance_status": "opur", "/slapos.get.v1.software_installation_status": "our", "/slapos.allDocs.v1.event_list": "ur",
	"/slapos.get.v1.event_log": "u", "/slapos.put.v1.software_instance_promise_list": "op", "/slapos.put.v0.software_instance_connection_parameter": "op",
}

// inputs are those of methods by the name of their schema, all about node-1.
var clubInputs = map[string]string{
	"nothing": `{}`, "computer": `{"computer_guid": "node-1"}`, "named": `{"instance_guid": "web______0"}`,
	"usage":        `{"computer_guid": "node-1", "tioxml": "<journal/>"}`,
	"releaseError": `{"computer_guid": "node-1", "software_release_uri": "` + clubRelease + `", "message": "x"}`,
	"tree":         `{"title": "web"}`, "partition": `{"computer_guid": "node-1", "compute_partition_id": "slappart0"}`,
	"order":        `{"title": "child", "software_release_uri": "` + clubRelease + `", "software_type": "default"}`,
	"namedMessage": `{"instance_guid": "web______0", "message": "x"}`, "rename": `{"instance_guid": "web______0", "title": "renamed"}`,
	"computerMessage": `{"computer_guid": "node-1", "message": "x"}`, "format": `{"computer_guid": "node-1", "compute_partition_list": []}`,
	"releaseReport":  `{"computer_guid": "node-1", "software_release_uri": "` + clubRelease + `", "reported_state": "available"}`,
	"instanceReport": `{"instance_guid": "web______0", "reported_state": "started"}`,
	"release":        `{"computer_guid": "node-1", "software_release_uri": "` + clubRelease + `"}`,
	"eventFilter":    `{}`, "eventNumber": `{"event": 1}`,
	"promises": `{"computer_guid": "node-1", "compute_partition_id": "slappart0", "passed": 1, "failing": []}`,
	"publish":  `{"instance_guid": "web______0", "connection_parameter_dict": {}}`,
	"supply":   `{"computer_guid": "node-1", "software_release_uri": "` + clubRelease + `"}`,
}

// clubForm has the fields of all calls of SLAP, about slappart0 of node-1.
func clubForm(t *testing.T) url.Values {
	t.Helper()
	xml := func(value any) string {
		text, err := slap.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return url.Values{
		"computer_id": {"node-1"}, "computer_partition_id": {"slappart0"}, "computer_reference": {"node-1"}, "computer_partition_reference": {"slappart0"},
		"url": {clubRelease}, "state": {"available"}, "use_string": {"<journal/>"}, "message": {"x"}, "error_log": {"x"}, "software_product_reference": {"x"},
		"software_release": {clubRelease}, "software_type": {"default"}, "partition_reference": {"child"}, "new_name": {"renamed"},
		"connection_xml": {xml(slap.Dict{"a": "b"})}, "instance_reference_xml": {xml([]any{})},
		"xml": {xml(slap.Dict{"reference": "node-1", "address": "10.0.0.1", "netmask": "255.0.0.0", "partition_list": []any{}})},
	}
}

// question is a request of each route: its path, body and headers.
func (c *club) question(path string) (target, kind, body string, headers []string) {
	switch {
	case strings.HasPrefix(path, "/slapos."):
		method, found := c.proxy.rpcMethods()[path[1:]]
		input := clubInputs[method.input]
		if !found || input == "" {
			c.Fatalf("%s: no input for the schema %q", path, method.input)
		}
		return path, contentJSON, input, []string{"Authorization", "X-SlapPartition computer_id=node-1, computer_partition_id=slappart0"}
	case path == "/http_proxy/...":
		return "/http_proxy/http/127.0.0.1:1/", "", "", nil
	case strings.HasSuffix(path, "/..."):
		return strings.TrimSuffix(path, "..."), "", "", nil
	}
	form := clubForm(c.T)
	if path == "/requestComputerPartition" {
		form.Set("state", "<?xml version='1.0' encoding='utf-8'?><marshal><string>started</string></marshal>")
	}
	if post := c.proxy.routes[path].methods[http.MethodPost]; post != nil {
		return path, "application/x-www-form-urlencoded", form.Encode(), nil
	}
	return path + "?" + form.Encode(), "", "", nil
}

// TestRules walks through all routes as everybody: a new route without a rule fails
// (JOIN-20, JOIN-21, JOIN-22).
func TestRules(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	routes := New(Options{Store: newClub(t, a).store}).routes
	for path := range rules() {
		if _, found := routes[path]; !found {
			t.Errorf("there is a rule for %s, which is no route", path)
		}
	}
	letters := map[string]string{"own": "o", "user": "u", "token of user": "u", "read-only": "r", "token of read-only": "r", "partition": "p",
		"other": "x", "revoked": "-", "stranger": "-", "token of own": "-", "token of revoked": "-", "": "-"}
	for _, path := range slices.Sorted(maps.Keys(routes)) {
		want, known := permitted[path]
		if routes[path].rule == nil || !known {
			t.Errorf("nothing says who may use %s: give it a rule in rules.go, and say here whom it lets in", path)
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := newClub(t, a)
			target, kind, body, headers := c.question(path)
			method := http.MethodPost
			if routes[path].methods[method] == nil || path == "/shacache/..." || path == "/panel/..." {
				method = http.MethodGet
			}
			var lets, refuses []string // what is let in may change things: it comes last
			for who, letter := range letters {
				if strings.Contains(want, letter) || want == "e" || want == "m" && letter != "-" {
					lets = append(lets, who)
				} else {
					refuses = append(refuses, who)
				}
			}
			lets = append(lets, "admin", "token of admin")
			if want == "m" {
				lets = []string{"token of user"} // each leaves once
			}
			for _, who := range refuses {
				if w := c.ask(who, method, target, kind, body, headers...); !refused(w) {
					t.Errorf("%q is let in: %d %s", who, w.Code, w.Body)
				}
			}
			for _, who := range lets {
				if w := c.ask(who, method, target, kind, body, headers...); refused(w) {
					t.Errorf("%q is refused: %d %s", who, w.Code, w.Body)
				}
			}
		})
	}
}

// TestNodesAct has a node try to act for others by the fields that name them: in each
// place, and in two at once (JOIN-22).
func TestNodesAct(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newClub(t, a)
	const form = "application/x-www-form-urlencoded"
	request := func(fields ...string) string {
		f := clubForm(t)
		f.Set("state", "<marshal><string>destroyed</string></marshal>")
		f.Set("partition_reference", "shop")
		for i := 0; i < len(fields); i += 2 {
			f.Set(fields[i], fields[i+1])
		}
		return f.Encode()
	}
	partition := func(computer, name string) []string {
		return []string{"Authorization", "X-SlapPartition computer_id=" + computer + ", computer_partition_id=" + name}
	}
	order := `{"title": "shop", "software_release_uri": "` + clubRelease + `", "software_type": "default", "state": "destroyed"}`
	publish := url.Values{"computer_id": {"node-1"}, "computer_partition_id": {"slappart0"}, "slave_reference": {"_visitor"}, "connection_xml": {"<marshal><dictionary id='1'/></marshal>"}}
	for name, try := range map[string]struct {
		path, kind, body string
		headers          []string
	}{
		"a request of a person":             {"/requestComputerPartition", form, request("computer_id", "", "computer_partition_id", ""), nil},
		"a request of None":                 {"/requestComputerPartition", form, request("computer_id", "None", "computer_partition_id", "None"), nil},
		"a request of another's":            {"/requestComputerPartition", form, request("computer_id", "node-2"), nil},
		"a request of another's header":     {"/requestComputerPartition", form, request(), partition("node-2", "slappart0")},
		"a request of both":                 {"/requestComputerPartition", form, request("computer_id", "node-2"), partition("node-1", "slappart0")},
		"a request of no partition":         {"/requestComputerPartition", form, request("computer_partition_id", "nothing"), nil},
		"a request of a free partition":     {"/requestComputerPartition", form, request("computer_partition_id", "slappart2"), nil},
		"a request of a free header":        {"/requestComputerPartition", form, request("computer_id", "", "computer_partition_id", ""), partition("node-1", "slappart2")},
		"a method of a person":              {"/slapos.post.v0.software_instance", contentJSON, order, nil},
		"a method of another's":             {"/slapos.post.v0.software_instance", contentJSON, order, partition("node-2", "slappart0")},
		"a method of a free partition":      {"/slapos.post.v0.software_instance", contentJSON, order, partition("node-1", "slappart2")},
		"another's shared instance":         {"/setComputerPartitionConnectionXml", form, publish.Encode(), nil},
		"another's shared instance by name": {"/slapos.put.v0.software_instance_connection_parameter", contentJSON, `{"instance_guid": "visitor______1", "connection_parameter_dict": {}}`, nil},
		"another's instance":                {"/slapos.get.v0.software_instance", contentJSON, `{"instance_guid": "shop______0"}`, nil},
		"nobody's instance":                 {"/slapos.get.v0.software_instance", contentJSON, `{"instance_guid": "none______0"}`, nil},
		"another's description":             {"/loadComputerConfigurationFromXML", form, url.Values{"xml": {strings.ReplaceAll(clubForm(t).Get("xml"), "node-1", "node-2")}}.Encode(), nil},
		"two computers in a form":           {"/useComputer", form, "computer_id=node-2&computer_id=node-1&use_string=x", nil},
		"a computer in the query":           {"/useComputer?computer_id=node-1", form, "computer_id=node-2&use_string=x", nil},
	} {
		w := c.ask("own", http.MethodPost, try.path, try.kind, try.body, try.headers...)
		if !refused(w) && !strings.Contains(w.Body.String(), "No partition matching the authorization header") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret of") {
			t.Errorf("%s: the answer tells %s", name, w.Body)
		}
	}
	for _, title := range []string{"web", "shop"} {
		instance, err := c.store.Instance(t.Context(), store.Name{Title: title})
		if err != nil || instance.State != "started" || instance.Connection["a"] != nil {
			t.Errorf("%s: %+v, %v", title, instance, err)
		}
	}
	// What it may: a request in the name of its partition, which is told so.
	if w := c.ask("own", http.MethodPost, "/slapos.post.v0.software_instance", contentJSON, strings.Replace(order, "destroyed", "started", 1), partition("node-1", "slappart0")...); w.Code != 200 && w.Code != 403 || refused(w) {
		t.Errorf("its own: %d %s", w.Code, w.Body)
	}
	if w := c.ask("own", http.MethodPost, "/slapos.put.v0.software_instance_bang", contentJSON, `{"instance_guid": "web______0", "message": "x"}`); w.Code != 200 {
		t.Errorf("bang: %d %s", w.Code, w.Body)
	}
	events, err := c.store.Events(t.Context(), store.EventFilter{Computer: "node-1"})
	if err != nil || !slices.ContainsFunc(events, func(e store.Event) bool { return strings.HasPrefix(e.Actor, "node node-1 from ") }) {
		t.Errorf("no event names the node: %+v, %v", events, err)
	}
}

// TestReaders: what read-only ones see has no parameters in it (JOIN-21).
func TestReaders(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newClub(t, a)
	for _, path := range []string{"/panel/", "/panel/nodes", "/panel/node?computer=node-1", "/panel/instances", "/panel/software", "/panel/static/panel.css", "/metrics",
		"/hateoas/", "/hateoas/computers/node-1", "/hateoas/?mode=search&query=" + url.QueryEscape(queryNodes)} {
		if w := c.ask("read-only", http.MethodGet, path, "", ""); w.Code != 200 && w.Code != 404 || strings.Contains(w.Body.String(), "secret of") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for method := range c.proxy.rpcMethods() {
		_, kind, body, headers := c.question("/" + method)
		if w := c.ask("read-only", http.MethodPost, "/"+method, kind, body, headers...); strings.Contains(w.Body.String(), "secret of") {
			t.Errorf("%s tells %s", method, w.Body)
		}
	}
	for _, path := range []string{"/panel/instance?title=web", "/panel/log?event=1", "/panel/request", "/panel/public/x", "/hateoas/partitions/web", "/hateoas/shared/guest",
		"/hateoas/?mode=search&query=" + url.QueryEscape(queryServices), "/hateoas/?mode=search&query=" + url.QueryEscape(queryInstances+`"web"`)} {
		if w := c.ask("read-only", http.MethodGet, path, "", ""); !refused(w) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := c.ask("read-only", http.MethodPost, "/panel/", "application/x-www-form-urlencoded", ""); !refused(w) {
		t.Errorf("a form: %d", w.Code)
	}
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"slapos/slap/testkit"
)

// recorder is a Master that gives prepared answers and remembers requests.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []recorded
	// answers has the body for each path; other paths get 404.
	answers map[string]string
}

type recorded struct {
	method, path, query, body string
	header                    http.Header
}

func newRecorder(t *testing.T, answers map[string]string) *recorder {
	r := &recorder{answers: answers}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, recorded{
		request.Method, request.URL.Path, request.URL.RawQuery, string(body), request.Header.Clone(),
	})
	answer, ok := r.answers[strings.TrimPrefix(request.URL.Path, "/")]
	if !ok {
		http.NotFound(w, request)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8") // SLAP-7
	_, _ = io.WriteString(w, answer)
}

// last returns the last request, and the number of requests since the last call.
func (r *recorder) last(t *testing.T) (recorded, int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.requests)
	if n == 0 {
		t.Fatal("no request came")
	}
	last := r.requests[n-1]
	r.requests = nil
	return last, n
}

func newTestClient(t *testing.T, config ClientConfig) *Client {
	t.Helper()
	c, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCalls checks what each call sends (section 5), in which form (SLAP-4,
// SLAP-50, SLAP-51), and how it reads the answer (SLAP-48, SLAP-56).
func TestCalls(t *testing.T) {
	ctx := t.Context()
	id := PartitionID{"C", "p0"}
	const partition = "computer_id=C&computer_partition_id=p0"
	const emptyDict = "%3Cmarshal%3E%3Cdictionary+id%3D%22i2%22%2F%3E%3C%2Fmarshal%3E"
	const no = "%3Cmarshal%3E%3Cbool%3E0%3C%2Fbool%3E%3C%2Fmarshal%3E"
	const none = "%3Cmarshal%3E%3Cnone%2F%3E%3C%2Fmarshal%3E"
	const certificates = `<dictionary><string>certificate</string><string>c</string><string>key</string><string>k</string></dictionary>`
	const urls = `<list><string>http://best</string><string>http://other</string></list>`
	instance, host, computer := document(t, "instance.xml"), document(t, "host.xml"), document(t, "computer.xml")

	for _, test := range []struct {
		path   string // and query
		body   string // of a POST, "" for a GET
		auth   bool
		answer string
		call   func(*Client) (any, error)
		want   any
	}{
		{path: "getFullComputerInformation?computer_id=C+%C3%A9", answer: computer,
			call: func(c *Client) (any, error) { return c.FullComputerInformation(ctx, "C é") }, want: captured["computer.xml"]},
		{path: "getComputerInformation?computer_id=C", answer: computer,
			call: func(c *Client) (any, error) { return c.ComputerInformation(ctx, "C") }, want: captured["computer.xml"]},
		{path: "registerComputerPartition?computer_reference=C&computer_partition_reference=p0", answer: host,
			call: func(c *Client) (any, error) { return c.Partition(ctx, id) }, want: captured["host.xml"]},
		{path: "requestComputerPartition", answer: instance, // order
			body: "software_release=sr&partition_reference=ref&partition_parameter_xml=" + emptyDict + "&filter_xml=" + emptyDict +
				"&software_type=t&state=" + none + "&shared_xml=" + no,
			call: func(c *Client) (any, error) {
				return c.Request(ctx, Request{SoftwareRelease: "sr", Reference: "ref", SoftwareType: "t"})
			}, want: captured["instance.xml"]},
		{path: "requestComputerPartition", answer: instance, auth: true, // SLAP-54
			body: partition + "&software_release=sr&software_type=default&partition_reference=ref&shared_xml=" + no +
				"&partition_parameter_xml=" + emptyDict + "&filter_xml=" + emptyDict + "&state=" + none,
			call: func(c *Client) (any, error) {
				return c.Request(ctx, Request{SoftwareRelease: "sr", SoftwareType: DefaultSoftwareType, Reference: "ref", Requester: id})
			}, want: captured["instance.xml"]},
		{path: "setComputerPartitionConnectionXml", auth: true, // SLAP-55
			body: partition + "&connection_xml=%3Cmarshal%3E%3Cdictionary+id%3D%22i2%22%3E%3Cstring%3Ea%3C%2Fstring%3E" +
				"%3Cstring%3Eb%3C%2Fstring%3E%3C%2Fdictionary%3E%3C%2Fmarshal%3E&slave_reference=None",
			call: func(c *Client) (any, error) { return nil, c.SetConnection(ctx, id, Dict{"a": "b"}, "") }},
		{path: "setComputerPartitionConnectionXml", auth: true,
			body: partition + "&connection_xml=" + emptyDict + "&slave_reference=s",
			call: func(c *Client) (any, error) { return nil, c.SetConnection(ctx, id, nil, "s") }},
		{path: "startedComputerPartition", auth: true, body: partition,
			call: func(c *Client) (any, error) { return nil, c.Started(ctx, id) }},
		{path: "stoppedComputerPartition", auth: true, body: partition,
			call: func(c *Client) (any, error) { return nil, c.Stopped(ctx, id) }},
		{path: "destroyedComputerPartition", auth: true, body: partition,
			call: func(c *Client) (any, error) { return nil, c.Destroyed(ctx, id) }},
		{path: "softwareInstanceError", auth: true, body: partition + "&error_log=a%0Ab+%26",
			call: func(c *Client) (any, error) { return nil, c.InstanceError(ctx, id, "a\nb &") }},
		{path: "softwareInstanceError", auth: true, body: partition + "&error_log=e&slave_reference=s",
			call: func(c *Client) (any, error) { return nil, c.SharedInstanceError(ctx, id, "s", "e") }},
		{path: "softwareInstanceBang", auth: true, body: partition + "&message=m", // SLAP-61
			call: func(c *Client) (any, error) { return nil, c.InstanceBang(ctx, id, "m") }},
		{path: "softwareInstanceRename", auth: true, body: partition + "&new_name=n",
			call: func(c *Client) (any, error) { return nil, c.Rename(ctx, id, "n", "") }},
		{path: "softwareInstanceRename", auth: true, body: partition + "&new_name=n&slave_reference=s",
			call: func(c *Client) (any, error) { return nil, c.Rename(ctx, id, "n", "s") }},
		{path: "getComputerPartitionCertificate?" + partition, answer: certificates,
			call: func(c *Client) (any, error) {
				certificate, key, err := c.Certificate(ctx, id)
				return []string{certificate, key}, err
			}, want: []string{"c", "k"}},
		{path: "getHostingSubscriptionIpList?" + partition,
			answer: `<list><tuple><string>t</string><string>::1</string></tuple></list>`,
			call:   func(c *Client) (any, error) { return c.IPList(ctx, id) }, want: []Address{{"t", "::1"}}},
		{path: "updateComputerPartitionRelatedInstanceList", auth: true,
			body: partition + "&instance_reference_xml=%3Cmarshal%3E%3Clist+id%3D%22i2%22%3E%3Cstring%3Ea%3C%2Fstring%3E%3C%2Flist%3E%3C%2Fmarshal%3E",
			call: func(c *Client) (any, error) { return nil, c.RelatedInstances(ctx, id, []string{"a"}) }},
		{path: "getComputerPartitionStatus?" + partition, answer: `<dictionary/>`,
			call: func(c *Client) (any, error) { return c.PartitionStatus(ctx, id) }, want: Dict{}},
		{path: "availableSoftwareRelease", body: "url=u&computer_id=C",
			call: func(c *Client) (any, error) { return nil, c.AvailableRelease(ctx, "u", "C") }},
		{path: "buildingSoftwareRelease", body: "url=u&computer_id=C",
			call: func(c *Client) (any, error) { return nil, c.BuildingRelease(ctx, "u", "C") }},
		{path: "destroyedSoftwareRelease", body: "url=u&computer_id=C",
			call: func(c *Client) (any, error) { return nil, c.DestroyedRelease(ctx, "u", "C") }},
		{path: "softwareReleaseError", body: "url=u&computer_id=C&error_log=e",
			call: func(c *Client) (any, error) { return nil, c.ReleaseError(ctx, "u", "C", "e") }},
		{path: "supplySupply", body: "url=u&computer_id=C&state=available",
			call: func(c *Client) (any, error) { return nil, c.Supply(ctx, "u", "C", "") }},
		{path: "supplySupply", body: "url=u&computer_id=C&state=destroyed",
			call: func(c *Client) (any, error) { return nil, c.Supply(ctx, "u", "C", StateDestroyed) }},
		{path: "useComputer", body: "computer_id=C&use_string=%3Cjournal%2F%3E",
			call: func(c *Client) (any, error) { return nil, c.UseComputer(ctx, "C", "<journal/>") }},
		{path: "loadComputerConfigurationFromXML", body: "xml=" + emptyDict, answer: "done",
			call: func(c *Client) (any, error) { return c.LoadComputerConfiguration(ctx, Dict{}) }, want: "done"},
		{path: "computerBang", body: "computer_id=C&message=m",
			call: func(c *Client) (any, error) { return nil, c.ComputerBang(ctx, "C", "m") }},
		{path: "getComputerStatus?computer_id=C", answer: `<dictionary/>`,
			call: func(c *Client) (any, error) { return c.ComputerStatus(ctx, "C") }, want: Dict{}},
		{path: "revokeComputerCertificate", body: "computer_id=C",
			call: func(c *Client) (any, error) { return nil, c.RevokeComputerCertificate(ctx, "C") }},
		{path: "generateComputerCertificate", body: "computer_id=C", answer: certificates,
			call: func(c *Client) (any, error) {
				certificate, key, err := c.GenerateComputerCertificate(ctx, "C")
				return []string{certificate, key}, err
			}, want: []string{"c", "k"}},
		{path: "requestComputer", body: "computer_title=T", answer: computer,
			call: func(c *Client) (any, error) { return c.RequestComputer(ctx, "T") }, want: captured["computer.xml"]},
		{path: "getSoftwareReleaseListFromSoftwareProduct?software_product_reference=p", answer: urls,
			call: func(c *Client) (any, error) { return c.Product(ctx, "p") }, want: "http://best"},
		{path: "getSoftwareReleaseListFromSoftwareProduct?software_release_url=u", answer: urls,
			call: func(c *Client) (any, error) { return c.SiblingReleases(ctx, "u") }, want: []string{"http://best", "http://other"}},
	} {
		path, query, _ := strings.Cut(test.path, "?")
		t.Run(path, func(t *testing.T) {
			server := newRecorder(t, map[string]string{"base/" + path: test.answer})
			got, err := test.call(newTestClient(t, ClientConfig{MasterURL: server.URL + "/base"}))
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Fatalf("got %#v, error %v, want %#v", got, err, test.want)
			}
			r, n := server.last(t)
			if n != 1 || r.path != "/base/"+path || r.query != query || r.body != test.body {
				t.Errorf("%d requests, the last\n got %s ? %s\n%s\nwant %s ? %s\n%s", n, r.path, r.query, r.body, path, query, test.body)
			}
			checkHeaders(t, r, test.body != "", test.auth)
		})
	}
}

// checkHeaders checks the headers of each request (SLAP-3), and that a
// partition's is where it belongs (SLAP-6).
func checkHeaders(t *testing.T, r recorded, post, auth bool) {
	t.Helper()
	want := map[string]string{"Accept": "*/*", "User-Agent": "slapos.core/1.26.1"}
	method := "GET"
	if post {
		method, want["Content-Type"] = "POST", "application/x-www-form-urlencoded"
	}
	if auth {
		want["Authorization"] = "X-SlapPartition computer_id=C, computer_partition_id=p0"
	}
	if r.method != method {
		t.Errorf("method %s, want %s", r.method, method)
	}
	for _, name := range []string{"Accept", "User-Agent", "Content-Type", "Authorization", "Cache-Control"} {
		if got := r.header.Get(name); got != want[name] {
			t.Errorf("%s: %q, want %q", name, got, want[name])
		}
	}
}

// Everything on the wire, including SLA keys (SLAP-53), arrives with its meaning.
func TestParseRequest(t *testing.T) {
	want := Request{
		SoftwareRelease: "sr", SoftwareType: "t", Reference: "é &", Shared: true,
		Parameters: Dict{"a": []any{1, nil}}, Filter: Dict{"computer_guid": "C"}, State: StateStopped,
		Requester: PartitionID{"C", "p0"},
	}
	form, err := want.Form()
	if err != nil {
		t.Fatal(err)
	}
	values, err := url.ParseQuery(form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseRequest(values)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, error %v, want %#v", got, err, want)
	}
	got, err = ParseRequest(url.Values{"state": {"<marshal><none/></marshal>"}})
	if err != nil || !reflect.DeepEqual(got, Request{Parameters: Dict{}, Filter: Dict{}}) {
		t.Errorf("empty form: %#v, error %v", got, err)
	}
	for field, value := range map[string]string{
		"state": "<int>1</int>", "shared_xml": "<", "partition_parameter_xml": "<list/>", "filter_xml": "<string/>",
	} {
		if got, err := ParseRequest(url.Values{field: {value}}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s=%s: %#v, error %v", field, value, got, err)
		}
	}
}

// TestStatus maps statuses to errors (SLAP-8).
func TestStatus(t *testing.T) {
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "why")
	}))
	defer server.Close()
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	address := server.URL + "/registerComputerPartition"
	const query = "?computer_reference=C%27&computer_partition_reference=p0"
	for _, test := range []struct {
		status int
		kind   error
		text   string
	}{
		{404, ErrNotFound, address + ` - {'computer_reference': "C'", 'computer_partition_reference': 'p0'}`},
		{408, ErrNotReady, "registerComputerPartition"},
		{500, ErrServer, "500 Server Error: Internal Server Error for url: " + address + query},
		{502, ErrServer, "502 Server Error: Bad Gateway for url: " + address + query},
		{503, ErrServer, "503 Server Error: Service Unavailable for url: " + address + query},
		{520, ErrServer, "520 Server Error: status code 520 for url: " + address + query},
		{523, ErrServer, "523 Server Error: status code 523 for url: " + address + query},
		{524, ErrServer, "524 Server Error: status code 524 for url: " + address + query},
		{526, ErrServer, "526 Server Error: status code 526 for url: " + address + query},
		{400, nil, "400 Client Error: Bad Request for url: " + address + query},
		{401, nil, "401 Client Error: Unauthorized for url: " + address + query},
		{402, nil, "402 Client Error: Payment Required for url: " + address + query},
		{403, nil, "403 Client Error: Forbidden for url: " + address + query},
		{405, nil, "405 Client Error: Method Not Allowed for url: " + address + query},
		{409, nil, "409 Client Error: Conflict for url: " + address + query},
		{501, nil, "501 Server Error: Not Implemented for url: " + address + query},
		{504, nil, "504 Server Error: Gateway Timeout for url: " + address + query},
	} {
		status = test.status
		_, err := c.Partition(t.Context(), PartitionID{"C'", "p0"})
		var answer *HTTPError
		if !errors.As(err, &answer) || answer.Status != test.status || string(answer.Body) != "why" {
			t.Errorf("%d: error %#v", test.status, err)
			continue
		}
		if err.Error() != test.text {
			t.Errorf("%d:\n got %s\nwant %s", test.status, err, test.text)
		}
		for _, kind := range []error{ErrNotFound, ErrNotReady, ErrServer, ErrConnection} {
			if got := errors.Is(err, kind); got != (kind == test.kind) {
				t.Errorf("%d is %v: %v", test.status, kind, got)
			}
		}
		if got := errors.Is(err, ErrSlap); got != (test.kind != nil) {
			t.Errorf("%d is of the family: %v", test.status, got)
		}
	}

	status = 404
	if err := c.ComputerBang(t.Context(), "C", "m"); err == nil || err.Error() != server.URL+"/computerBang" {
		t.Errorf("404 without query: %v", err)
	}
	err := c.Supply(t.Context(), "u", "C", "")
	// SLAP-47
	if !errors.Is(err, ErrNotFound) || err.Error() != "Computer C has not been found by SlapOS Master." {
		t.Errorf("supply: %v", err)
	}
}

// TestNoCache asks again, whatever the answer says about caching (SLAP-9).
func TestNoCache(t *testing.T) {
	count := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count++
		if r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Modified-Since") != "" {
			t.Error("asked for changes only")
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("ETag", `"1"`)
		_, _ = io.WriteString(w, "<dictionary><string>text</string><int>"+strconv.Itoa(count)+"</int></dictionary>")
	}))
	defer server.Close()
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	for i := range 2 {
		if got, err := c.ComputerStatus(t.Context(), "C"); err != nil || got["text"] != i+1 {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestWithoutNetwork(t *testing.T) {
	server := newRecorder(t, nil)
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	ctx := t.Context()
	if _, err := c.FullComputerInformation(ctx, ""); !errors.Is(err, ErrNotFound) { // SLAP-43
		t.Errorf("computer without name: %v", err)
	}
	if _, err := c.Partition(ctx, PartitionID{"C", ""}); !errors.Is(err, ErrNotFound) { // SLAP-41
		t.Errorf("partition without name: %v", err)
	}
	if err := c.Started(ctx, PartitionID{"C", ""}); !errors.Is(err, ErrNotReady) { // SLAP-44
		t.Errorf("report without partition: %v", err)
	}
	if err := c.UseComputer(ctx, "C", ""); err != nil {
		t.Errorf("empty usage: %v", err)
	}
	if err := c.SetConnection(ctx, PartitionID{"C", "p"}, Dict{"a": "\x00"}, ""); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("forbidden character: %v", err)
	}
	if len(server.requests) != 0 {
		t.Errorf("requests %v", server.requests)
	}
}

// What is published is posted whether or not it changed: nothing is compared (SLAP-55).
func TestConnectionAlwaysPosted(t *testing.T) {
	server := newRecorder(t, map[string]string{"setComputerPartitionConnectionXml": ""})
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	for _, shared := range []string{"", "shared"} {
		for range 2 {
			if err := c.SetConnection(t.Context(), PartitionID{"C", "p0"}, Dict{"a": "b"}, shared); err != nil {
				t.Fatal(err)
			}
			if _, n := server.last(t); n != 1 {
				t.Errorf("%q: %d requests", shared, n)
			}
		}
	}
}

// TestOldMaster falls back to the older call (SLAP-43).
func TestOldMaster(t *testing.T) {
	server := newRecorder(t, map[string]string{"getComputerInformation": document(t, "computer.xml")})
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	computer, err := c.FullComputerInformation(t.Context(), "c4")
	if err != nil || computer.Reference != "c4" {
		t.Fatalf("%v, %v", computer, err)
	}
	if r, n := server.last(t); n != 2 || r.path != "/getComputerInformation" || r.query != "computer_id=c4" {
		t.Errorf("%d requests, the last %s?%s", n, r.path, r.query)
	}
}

func TestSharedInstance(t *testing.T) {
	server := newRecorder(t, map[string]string{
		"requestComputerPartition": document(t, "shared.xml"), "registerComputerPartition": document(t, "host.xml"),
	})
	c := newTestClient(t, ClientConfig{MasterURL: server.URL})
	i, err := c.Request(t.Context(), Request{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := i.State(); ok {
		t.Error("a shared instance of the proxy has a state")
	}
	if err := c.Complete(t.Context(), i); err != nil || i.RequestedState != StateStarted || i.Parameters["k"] != "v" {
		t.Errorf("%v, completed %#v", err, i)
	}
	if r, n := server.last(t); n != 2 || r.query != "computer_reference=local_computer&computer_partition_reference=slappart0" {
		t.Errorf("%d requests, the last %s?%s", n, r.path, r.query)
	}
	if err := c.Complete(t.Context(), captured["instance.xml"].(*Instance)); err != nil {
		t.Error(err)
	}
	if len(server.requests) != 0 {
		t.Error("a complete instance was fetched again") // SLAP-57
	}
}

// TestForwardedAnswer reads the partition that some proxies answer with.
func TestForwardedAnswer(t *testing.T) {
	server := newRecorder(t, map[string]string{"requestComputerPartition": document(t, "forwarded.xml")})
	i, err := newTestClient(t, ClientConfig{MasterURL: server.URL}).Request(t.Context(), Request{})
	if err != nil || i.Computer != "extcomp" || i.Partition != "slappart0" || i.SoftwareReleaseURL != forwarded ||
		i.RequestedState != StateStarted || i.Parameters["a"] != "1" {
		t.Errorf("%#v, %v", i, err)
	}
}

func TestUnexpectedAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		"":                    "no element",
		"<html><body>":        "html is not known",
		"<none/>":             "none where an instance belongs",
		"<list/>":             "a list where an instance belongs",
		"\xff\xfe\x00binary!": " to requestComputerPartition: ",
	} {
		server := newRecorder(t, map[string]string{"requestComputerPartition": answer, "registerComputerPartition": answer})
		c := newTestClient(t, ClientConfig{MasterURL: server.URL})
		if _, err := c.Request(t.Context(), Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", answer, err, want)
		}
		if _, err := c.Partition(t.Context(), PartitionID{"C", "p"}); err == nil || !strings.HasPrefix(err.Error(), "answer of "+server.URL+" to registerComputerPartition: ") {
			t.Errorf("%q: error %v", answer, err)
		}
	}
}

func TestMain(m *testing.M) {
	if master := os.Getenv("SLAP_TEST_CHILD"); master != "" {
		os.Exit(childCall(master))
	}
	testkit.Main(m)
}

// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"slapos/proxy/authority"
	"slapos/proxy/store"
	"slapos/slap"
	"slapos/slap/testkit"
)

// TestRevoked: a revocation counts from the next request on, for a request that waits
// too, and for the partitions of a node (JOIN-17).
func TestRevoked(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newClub(t, a)
	const full = "/getFullComputerInformation?computer_id=node-1"
	first := c.ask("own", http.MethodGet, full, "", "")
	if first.Code != 200 {
		t.Fatal(first.Body)
	}
	waited := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		waited <- c.ask("own", http.MethodGet, full, "", "", "If-None-Match", first.Header().Get("ETag"), "Prefer", "wait=300")
	}()
	testkit.Eventually(t, testkit.Patience, "the request waits", func() bool { return c.proxy.waiting.number() == 1 })
	if w := c.ask("partition", http.MethodGet, "/registerComputerPartition?computer_reference=node-1&computer_partition_reference=slappart0", "", ""); w.Code != 200 {
		t.Errorf("the partition: %s", w.Body)
	}
	if _, err := c.store.Revoke(t.Context(), "node-1"); err != nil {
		t.Fatal(err)
	}
	c.must(c.store.Supply(t.Context(), store.Software{URL: "http://example.com/next", Computer: "node-1", State: "available"}))
	if w := <-waited; !refused(w) {
		t.Errorf("what waited is told %d %s", w.Code, w.Body)
	}
	for _, who := range []string{"own", "partition"} {
		if w := c.ask(who, http.MethodGet, "/registerComputerPartition?computer_reference=node-1&computer_partition_reference=slappart0", "", ""); !refused(w) {
			t.Errorf("%s: %d %s", who, w.Code, w.Body)
		}
	}
	if w := c.ask("own", http.MethodPost, "/renew", "", ""); !refused(w) {
		t.Errorf("renewed: %d %s", w.Code, w.Body)
	}
	c.must(c.store.RevokeToken(t.Context(), strings.Split(c.bearers["user"], ".")[2]))
	if w := c.ask("token of user", http.MethodGet, "/panel/", "", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "was revoked") {
		t.Errorf("the user's token: %d %s", w.Code, w.Body)
	}
}

// TestPartitionCertificate: it is the same until the instance is another, whose
// partition it was is nobody then, and it is given to the node alone (JOIN-23).
func TestPartitionCertificate(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newClub(t, a)
	const path = "/getComputerPartitionCertificate?computer_id=node-1&computer_partition_id=slappart"
	read := func(number string) (certificate, key string) {
		t.Helper()
		w := c.ask("own", http.MethodGet, path+number, "", "")
		value, err := slap.Unmarshal(w.Body.Bytes())
		if w.Code != 200 || err != nil {
			t.Fatal(w.Code, w.Body, err)
		}
		certificate, _ = value.(slap.Dict)["certificate"].(string)
		key, _ = value.(slap.Dict)["key"].(string)
		return certificate, key
	}
	certificate, key := read("0")
	again, _ := read("0")
	if _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); err != nil || again != certificate {
		t.Errorf("%v; the same: %t", err, again == certificate)
	}
	if certificate, key := read("2"); certificate+key != "" {
		t.Error("a free partition has a certificate")
	}
	const own = "/registerComputerPartition?computer_reference=node-1&computer_partition_reference=slappart"
	if w := c.ask("partition", http.MethodGet, own+"0", "", ""); w.Code != 200 {
		t.Error(w.Body)
	}
	for _, other := range []string{own + "1", strings.Replace(own, "node-1", "node-2", 1) + "0", "/getFullComputerInformation?computer_id=node-1"} {
		if w := c.ask("partition", http.MethodGet, other, "", ""); !refused(w) {
			t.Errorf("%s: %d %s", other, w.Code, w.Body)
		}
	}
	// The instance goes, and another comes.
	for _, name := range []store.Name{{Title: "web"}} {
		c.must(c.store.SetState(t.Context(), name, "destroyed"))
		if _, err := c.store.Destroy(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if w := c.ask("partition", http.MethodGet, own+"0", "", ""); !refused(w) {
		t.Errorf("after the end: %d %s", w.Code, w.Body)
	}
	c.request("next", "node-1", false)
	if w := c.ask("partition", http.MethodGet, own+"0", "", ""); !refused(w) {
		t.Errorf("as the next one: %d %s", w.Code, w.Body)
	}
	if next, _ := read("0"); next == certificate || next == "" {
		t.Error("the next instance has the certificate of the former one")
	}
}

// TestJoin is the protocol of joining (JOIN-14, JOIN-15, JOIN-16).
func TestJoin(t *testing.T) {
	a, err := authority.Open(filepath.Join(t.TempDir(), "a"), authority.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := newClub(t, a)
	token := authority.NewToken(a.Pin())
	c.must(c.store.AddToken(t.Context(), store.Token{ID: token.ID, Digest: token.Digest(), Role: store.RoleNode, Uses: 1, Expires: float64(time.Now().Unix() + 3600)}))
	c.bearers["joiner"] = token.String()
	key := newTestKey(t)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	c.must(err)
	asking := func(der []byte, computer string) string {
		text, err := json.Marshal(map[string]string{"request": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), "computer_id": computer})
		c.must(err)
		return string(text)
	}
	body := func(computer string) string { return asking(der, computer) }
	var answer struct{ Role, Name, Certificate, Authority string }
	for range 2 { // again, as after an interruption
		w := c.ask("token of joiner", http.MethodPost, "/join", contentJSON, body(""))
		if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != 200 || err != nil || answer.Name != "node-3" || answer.Role != "node" || answer.Authority != string(a.Certificates()) {
			t.Fatalf("%d %s, %v", w.Code, w.Body, err)
		}
	}
	c.shown["joined"] = c.state([]byte(answer.Certificate))
	if w := c.ask("joined", http.MethodPost, "/loadComputerConfigurationFromXML", "application/x-www-form-urlencoded",
		url.Values{"xml": {strings.ReplaceAll(clubForm(t).Get("xml"), "node-1", "node-3")}}.Encode()); w.Code != 200 {
		t.Errorf("it can't format itself: %d %s", w.Code, w.Body)
	}
	w := c.ask("joined", http.MethodPost, "/renew", "", "")
	c.must(json.Unmarshal(w.Body.Bytes(), &answer))
	renewed := c.state([]byte(answer.Certificate))
	if !key.PublicKey.Equal(renewed.PeerCertificates[0].PublicKey) || renewed.PeerCertificates[0].Equal(c.shown["joined"].PeerCertificates[0]) {
		t.Error("the renewed certificate is for another key, or the same")
	}
	c.shown["renewed"] = renewed
	for name, try := range map[string]struct {
		who, body string
		status    int
		want      string
	}{
		"no token":        {"", body(""), 403, "is no token"},
		"used up":         {"token of joiner", asking(another(t), ""), 403, "is used up"},
		"a revoked token": {"token of revoked", body(""), 403, "was revoked"},
		"no request":      {"token of joiner", `{}`, 400, "no certificate request"},
		"no JSON":         {"token of joiner", `x`, 400, ""},
		"another's name":  {"token of joiner", body("node-1"), 403, "used up"},
	} {
		w := c.ask(try.who, http.MethodPost, "/join", contentJSON, try.body)
		if w.Code != try.status || !strings.Contains(w.Body.String(), try.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := c.ask("token of user", http.MethodPost, "/renew", "", ""); w.Code != 403 {
		t.Errorf("a token is renewed: %d", w.Code)
	}
	if w := c.ask("renewed", http.MethodPost, "/leave", "", ""); w.Code != 200 {
		t.Errorf("leave: %d %s", w.Code, w.Body)
	}
	for _, who := range []string{"joined", "renewed"} {
		if w := c.ask(who, http.MethodGet, "/getFullComputerInformation?computer_id=node-3", "", ""); !refused(w) {
			t.Errorf("%s, after it has left: %d", who, w.Code)
		}
	}
}

func another(t *testing.T) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newTestKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

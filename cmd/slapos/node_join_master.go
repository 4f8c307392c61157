// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"slapos/proxy/authority"
	"slapos/slap/wholefile"
)

// master is the address of a master that machines join.
type master struct{ url, host string }

// joinMaster reads the address that slapos proxy token prints.
func joinMaster(text string) (master, error) {
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Host == "" || address.Hostname() == "":
		return master{}, fmt.Errorf("invalid value %.200q: must be like https://10.0.0.1:5000 or https://[fd00::1]:5000", text)
	case address.Scheme != "https":
		return master{}, fmt.Errorf("invalid value %.200q: must begin with https://", text)
	case address.User != nil || strings.Trim(address.Path, "/") != "" || address.RawQuery != "" || address.Fragment != "":
		return master{}, fmt.Errorf("invalid value %.200q: must be the address of the master alone, like https://10.0.0.1:5000", address.Redacted())
	}
	return master{"https://" + address.Host, address.Hostname()}, nil
}

// joinAnswer is what a master answers to /join and /renew.
type joinAnswer struct {
	Role, Name, Certificate, Authority string
	Title                              string // why it answers nothing
}

const (
	joinPatience = 60 * time.Second
	// clockPatience is how much the clocks of node and master may differ.
	clockPatience = 5 * time.Minute
	// maximumAnswer bounds answers, in bytes.
	maximumAnswer = 1 << 20
)

// certify gets the certificate, unless it is there, and returns the name in it.
func (j *joining) certify(ctx context.Context) (name string, err error) {
	key, err := j.key()
	if err != nil {
		return "", err
	}
	if name := j.certified(key); name != "" {
		return name, nil
	}
	client := pinnedClient(authority.Pinned(j.token.Pin, j.master.host, j.e.now))
	defer client.CloseIdleConnections()
	// Before the token is used up by a machine whose clock is wrong.
	if err := j.checkClock(ctx, client); err != nil {
		return "", err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]string{
		"request": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})), "computer_id": j.computer,
	})
	if err != nil {
		return "", err
	}
	answer, err := j.e.askMaster(ctx, client, j.master, "/join", j.token.String(), body)
	if err != nil {
		return "", err
	}
	if answer.Role != "node" {
		return "", fmt.Errorf("this token is for a %s, not for a node: slapos proxy token node makes the right one", answer.Role)
	}
	// The authority first: a certificate is there only when all else is.
	if err := wholefile.Write(j.files.authority, []byte(answer.Authority), 0o644); err != nil {
		return "", err
	}
	if err := wholefile.Write(j.files.certificate, []byte(answer.Certificate), 0o644); err != nil {
		return "", err
	}
	if name := j.certified(key); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("the master %s answered with a certificate that isn't of its authority or for another key", j.master.url)
}

// key is the key of this machine, made when it is missing. Nobody else may read it.
func (j *joining) key() (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(j.files.key)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		return key, wholefile.Write(j.files.key, text, 0o600, wholefile.ExactMode(0o600))
	}
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil {
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if key, ok := parsed.(*ecdsa.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is no key that this command made: remove it, and repeat the command", j.files.key)
}

// certified returns the name in the certificate that is there, if it is good, for this
// key, and of the authority of the token; "" if there is none.
func (j *joining) certified(key *ecdsa.PrivateKey) string {
	text, err := os.ReadFile(j.files.certificate)
	if err != nil {
		return ""
	}
	certificate, err := authority.CertificateIn(text)
	if err != nil || !key.PublicKey.Equal(certificate.PublicKey) {
		return ""
	}
	roots, err := os.ReadFile(j.files.authority)
	if err != nil {
		return ""
	}
	pool := x509.NewCertPool()
	pinned := false
	for block, rest := pem.Decode(roots); block != nil; block, rest = pem.Decode(rest) {
		if root, err := x509.ParseCertificate(block.Bytes); err == nil {
			pinned = pinned || authority.PinOf(root) == j.token.Pin
			pool.AddCert(root)
		}
	}
	_, err = certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: j.e.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	subject := authority.SubjectOf(certificate)
	if err != nil || !pinned || subject.Role != "node" || j.computer != "" && j.computer != subject.Name {
		return ""
	}
	return subject.Name
}

// checkClock refuses a clock that differs from the master's: certificates would be
// none yet, or no longer.
func (j *joining) checkClock(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, j.master.url+"/getRunId", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return j.e.describeMaster(ctx, j.master, err)
	}
	defer response.Body.Close()
	theirs, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return nil // it tells none
	}
	if off := j.e.now().Sub(theirs); off > clockPatience || off < -clockPatience {
		return fmt.Errorf("the clock of this machine says %s, that of the master %s (UTC): set it right, as timedatectl set-ntp true does, and repeat the command",
			j.e.now().UTC().Format(time.DateTime), theirs.UTC().Format(time.DateTime))
	}
	return nil
}

func pinnedClient(security *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       joinPatience,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: security},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// askMaster posts to /join, /renew or /leave.
func (e *environment) askMaster(ctx context.Context, client *http.Client, to master, path, token string, body []byte) (joinAnswer, error) {
	var answer joinAnswer
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url+path, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer, e.describeMaster(ctx, to, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maximumAnswer))
	if err != nil {
		return answer, e.describeMaster(ctx, to, err)
	}
	isJSON := json.Unmarshal(text, &answer) == nil
	switch {
	case response.StatusCode == http.StatusOK && isJSON:
		return answer, nil
	case isJSON && answer.Title != "":
		return answer, &refusedError{to.url, answer.Title}
	case response.StatusCode == http.StatusNotFound:
		return answer, fmt.Errorf("the master %s lets no machine join: it is an older or another one", to.url)
	}
	return answer, fmt.Errorf("the master %s answers with status %d", to.url, response.StatusCode)
}

// refusedError is why a master refuses.
type refusedError struct{ url, reason string }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the master %s refuses: %s", e.url, strings.TrimSuffix(lastLine(e.reason), "."))
}

// describeMaster says in one line why a master can't be spoken to.
func (e *environment) describeMaster(ctx context.Context, to master, err error) error {
	var pin *authority.PinError
	var clock *authority.ClockError
	var name x509.HostnameError
	var network *net.OpError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &pin):
		return fmt.Errorf("%s: %w: somebody is in between, or the token is of another master; get a new one from its owner", to.url, pin)
	case errors.As(err, &clock):
		return fmt.Errorf("%s: %w, and the clock of this machine says %s: set it right, as timedatectl set-ntp true does, and repeat the command",
			to.url, clock, e.now().UTC().Format(time.DateTime))
	case errors.As(err, &name):
		return fmt.Errorf("%s: the master's certificate hasn't the name %s: add it to listen_names in section [slapproxy] of the master, and start it again", to.url, to.host)
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fmt.Errorf("%s answers without TLS: its owner sets listen_authority = true in section [slapproxy]", to.url)
	case errors.As(err, &network):
		return fmt.Errorf("%s can't be reached: %w: look at the address, the firewall, and whether the master runs", to.url, network.Err)
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	return fmt.Errorf("%s: %w", to.url, err)
}

// lastLine is the last line of a text.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

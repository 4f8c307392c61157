// SPDX-License-Identifier: GPL-3.0-or-later

// Package authority is the small certificate authority of a local master: it
// keeps its key in a directory, signs the certificates of nodes and users, has
// a certificate for the master itself, and knows the words of tokens. It speaks
// to nobody: the proxy does.
//
//	a, err := authority.Open(directory, authority.Options{Names: names})
//	server := a.TLS(nil)                 // what the master listens with
//	key, err := authority.ParseRequest(text)
//	certificate, err := a.Sign(authority.Subject{Role: "node", Name: "node-1"}, key, ...)
//
// [Open] makes what is missing, and one that is killed leaves nothing that
// another one stumbles over: each file has all that belongs together, and is
// replaced as a whole, while a lock keeps a second one out.
//
//	authority.pem   the key and the certificate of the authority, of both
//	                authorities in its last year
//	authority.crt   the certificates alone, for clients (master_ca_file)
//	server.pem      the key and the certificates of the master
//	lock
//
// An authority lives ten years. A year before its end there is a second one:
// whoever joins or renews from then on trusts both, and half a year later the
// new one signs, when every certificate was renewed meanwhile (JOIN-4).
package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"slapos/slap/wholefile"
)

// How long things last.
const (
	Lifetime     = 10 * 365 * 24 * time.Hour // of the authority
	Overlap      = 365 * 24 * time.Hour      // with the next one
	CertLifetime = 90 * 24 * time.Hour       // of certificates of clients and of the master
	// skew is how much earlier a certificate begins: clocks differ.
	skew = time.Hour
)

// Options say what an authority is for.
type Options struct {
	// Names returns the names and addresses that the master is reached at. It
	// is asked when a certificate for the master is made, and now and then.
	Names func() []string
	// Now is time.Now, unless tests move it.
	Now func() time.Time
}

// Authority signs. It is safe for concurrent use.
type Authority struct {
	directory string
	options   Options

	mutex  sync.Mutex
	pairs  []pair // the oldest first
	server server
}

// pair is a certificate with its key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Open reads the authority of a directory, and makes it when it is missing. The
// directory must be its owner's alone, and so must what is in it.
func Open(directory string, options Options) (*Authority, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Names == nil {
		options.Names = func() []string { return nil }
	}
	a := &Authority{directory: directory, options: options}
	if err := makeDirectory(directory); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := a.load(); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	return a, nil
}

// makeDirectory makes the directory, or refuses one that others can write to or
// look into: whoever does is the authority.
func makeDirectory(directory string) error {
	if err := os.Mkdir(directory, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(directory)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory: name the directory itself, no link to one", directory)
	case ownerOf(info) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user: chown it, or name another directory", directory)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to others: chmod 700 %s, if nobody has read the key in it", directory, directory)
	}
	return nil
}

// load reads what is there, makes what is missing, and renews what ends.
func (a *Authority) load() error {
	unlock, err := a.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if a.pairs, err = a.readPairs(); err != nil {
		return err
	}
	return a.refresh()
}

// refresh makes the first authority, and the next one in time. The lock is held.
func (a *Authority) refresh() error {
	now := a.options.Now()
	for len(a.pairs) > 0 && !now.Before(a.pairs[0].certificate.NotAfter) {
		a.pairs = a.pairs[1:] // over: nobody has a certificate of it any longer
	}
	if n := len(a.pairs); n == 0 || now.After(a.pairs[n-1].certificate.NotAfter.Add(-Overlap)) {
		next, err := newPair(now)
		if err != nil {
			return err
		}
		// Not into a.pairs before it is on disk.
		pairs := append(append([]pair{}, a.pairs...), next)
		if err := a.write("authority.pem", encodePairs(pairs)); err != nil {
			return err
		}
		a.pairs = pairs
	}
	public := a.certificatesPEM()
	if present, err := a.read("authority.crt"); err != nil || !bytes.Equal(present, public) {
		return a.write("authority.crt", public)
	}
	return nil
}

// lock keeps other programs out until it is called off.
func (a *Authority) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(a.directory, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return func() { file.Close() }, nil
}

func (a *Authority) write(name string, content []byte) error {
	return wholefile.Write(filepath.Join(a.directory, name), content, 0o600, wholefile.ExactMode(0o600))
}

// maximumFile bounds the files, in bytes.
const maximumFile = 64 << 10

// read reads a file of the directory, which is a file of the same owner and no link.
func (a *Authority) read(name string) ([]byte, error) {
	path := filepath.Join(a.directory, name)
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a link: remove it", path)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maximumFile:
		return nil, fmt.Errorf("%s is no file of an authority: remove it", path)
	case ownerOf(info) != os.Geteuid() || info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s is open to others, or theirs: chown and chmod 600 it, if nobody has read it", path)
	}
	content := make([]byte, info.Size())
	n, err := file.ReadAt(content, 0)
	if n < len(content) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return content, nil
}

func (a *Authority) readPairs() ([]pair, error) {
	text, err := a.read("authority.pem")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pairs, err := parsePairs(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: restore it from a backup; without one, remove the directory and let all nodes join again",
			filepath.Join(a.directory, "authority.pem"), err)
	}
	return pairs, nil
}

// Certificates returns those of the authority, the newest first, in PEM: what a
// client trusts.
func (a *Authority) Certificates() []byte {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.certificatesPEM()
}

// File is the file with them, for clients on this machine.
func (a *Authority) File() string { return filepath.Join(a.directory, "authority.crt") }

func (a *Authority) certificatesPEM() []byte {
	var text []byte
	for i := len(a.pairs) - 1; i >= 0; i-- {
		text = append(text, encodeCertificate(a.pairs[i].certificate.Raw)...)
	}
	return text
}

// Pool has the certificates of the authority.
func (a *Authority) Pool() *x509.CertPool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	pool := x509.NewCertPool()
	for _, p := range a.pairs {
		pool.AddCert(p.certificate)
	}
	return pool
}

// signer is the authority that signs: a new one when every certificate that was
// made before it has been renewed. The mutex is held.
func (a *Authority) signer() pair {
	signer := a.pairs[0]
	for _, p := range a.pairs[1:] {
		if a.options.Now().After(p.certificate.NotBefore.Add(skew + Overlap/2)) {
			signer = p
		}
	}
	return signer
}

// Pin is the sum of the key that signs, which tokens name.
func (a *Authority) Pin() Pin {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return PinOf(a.signer().certificate)
}

// newPair makes an authority.
func newPair(now time.Time) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial, err := newSerial()
	if err != nil {
		return pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "SlapOS master's authority " + fmt.Sprintf("%x", serial.Bytes()[:4])},
		NotBefore: now.Add(-skew), NotAfter: now.Add(Lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, // the next one, see vouch
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pair{certificate, key}, err
}

// vouch has an authority sign the key of the next one: who knows the former by its
// pin alone, from a token, takes the next one (JOIN-6).
func (a *Authority) vouch(former, next pair) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: next.certificate.Subject,
		NotBefore: a.options.Now().Add(-skew), NotAfter: former.certificate.NotAfter,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return x509.CreateCertificate(rand.Reader, template, former.certificate, &next.key.PublicKey, former.key)
}

// newSerial draws a number of 128 bits that is at least 2^127, so that all have
// the same length.
func newSerial() (*big.Int, error) {
	half := new(big.Int).Lsh(big.NewInt(1), 127)
	serial, err := rand.Int(rand.Reader, half)
	if err != nil {
		return nil, err
	}
	return serial.Add(serial, half), nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // it is a key that we made or read
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// encodePairs writes each key, followed by its certificate.
func encodePairs(pairs []pair) (text []byte) {
	for _, p := range pairs {
		text = append(append(text, encodeKey(p.key)...), encodeCertificate(p.certificate.Raw)...)
	}
	return text
}

func parsePairs(text []byte) (pairs []pair, err error) {
	var key *ecdsa.PrivateKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		switch block.Type {
		case "PRIVATE KEY":
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			if key, _ = parsed.(*ecdsa.PrivateKey); key == nil {
				return nil, errors.New("its key is of another kind")
			}
		case "CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			if key == nil || !key.PublicKey.Equal(certificate.PublicKey) {
				return nil, errors.New("a certificate and the key before it don't belong together")
			}
			pairs, key = append(pairs, pair{certificate, key}), nil
		}
	}
	if len(pairs) == 0 {
		return nil, errors.New("it has no certificate")
	}
	return pairs, nil
}

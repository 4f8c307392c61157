// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"slapos/networkcache"
)

type cacheGenerateKeyOptions struct {
	keyFile, commonName string
	certificateFile     string
	rotate              bool
	passphraseFile      string
}

func (o *cacheGenerateKeyOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "cert-file", Destination: &o.certificateFile, Value: "-", Usage: "write the certificate to `FILE` too"},
		&cli.StringFlag{Name: "passphrase-file", Destination: &o.passphraseFile, Usage: "encrypt the key with the passphrase in the first line of `FILE`"},
		&cli.BoolFlag{Name: "rotate", Destination: &o.rotate, Usage: "replace the key in KEYFILE, in two steps"},
	}
}

func newCacheGenerateKeyCommand(e *environment) *cli.Command {
	options := new(cacheGenerateKeyOptions)
	return &cli.Command{
		Name:      "generate-signature-key",
		Usage:     "make a key and a certificate to sign uploads with",
		ArgsUsage: "KEYFILE COMMON-NAME",
		Description: `Writes a new private key to KEYFILE and prints its certificate. Those who trust
the owner of the key put the certificate in signature-certificate-list.

--rotate replaces a key without a gap. The first time it makes the next one,
KEYFILE.next, whose certificate everybody adds beside the old one. The second
time that becomes KEYFILE, and the old one KEYFILE.old; its certificate stays in
the lists for as long as what it signed is wanted.

Exit codes: 0 done; 1 failed, or one of the files exists.`,
		Flags: options.flags(),
		Action: func(c *cli.Context) error {
			options.keyFile, options.commonName = c.Args().Get(0), c.Args().Get(1)
			if options.rotate {
				return runCacheRotateKey(e, *options)
			}
			return runCacheGenerateKey(e, *options)
		},
	}
}

func runCacheGenerateKey(e *environment, options cacheGenerateKeyOptions) (err error) {
	for _, file := range [][2]string{{"Certificate", options.certificateFile}, {"Key", options.keyFile}} {
		if _, err := os.Lstat(file[1]); file[1] != "-" && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s '%s' exists, will not overwrite.", file[0], file[1])
		}
	}
	key, certificate, err := networkcache.GenerateKey(options.commonName, e.now())
	if err != nil {
		return err
	}
	if options.passphraseFile != "" {
		if key, err = options.encrypt(e, key); err != nil {
			return err
		}
	}
	var made []string // one without the other would only be in the way of another try
	defer func() {
		for _, path := range made {
			if err != nil {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	if err := writeNew(options.keyFile, key, 0o600); err != nil {
		return err
	}
	made = append(made, options.keyFile)
	if options.certificateFile != "-" {
		if err := writeNew(options.certificateFile, certificate, 0o644); err != nil {
			return err
		}
		made = append(made, options.certificateFile)
	}
	_, err = fmt.Fprintf(e.stdout, `Generating certificate for '%s' (key: '%s', certificate: '%s')

%s
Don't forget to add the certificate to the signature-certificate-list in your SlapOS configuration file.
`, options.commonName, options.keyFile, options.certificateFile, certificate)
	return err
}

func (o cacheGenerateKeyOptions) encrypt(e *environment, key []byte) ([]byte, error) {
	passphrase, err := networkcache.ReadPassphrase(e.expandUser(o.passphraseFile))
	if err != nil {
		return nil, err
	}
	return networkcache.EncryptKey(key, passphrase)
}

// runCacheRotateKey does the first step if there is no next key yet, else the
// second (NC-105).
func runCacheRotateKey(e *environment, options cacheGenerateKeyOptions) error {
	present := options.keyFile
	next, old := present+".next", present+".old"
	if _, err := networkcache.ReadSigner(present, e.expandUser(options.passphraseFile)); err != nil {
		return fmt.Errorf("there is no key to replace: %w", err)
	}
	if _, err := os.Lstat(next); errors.Is(err, fs.ErrNotExist) {
		options.keyFile = next
		if err := runCacheGenerateKey(e, options); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "%s goes on to sign. When every node trusts the new certificate, too, run this again.\n", present)
		return err
	}
	if _, err := networkcache.ReadSigner(next, e.expandUser(options.passphraseFile)); err != nil {
		return fmt.Errorf("%w: remove it to begin again", err)
	}
	_ = os.Remove(old) // if it can't be, the link says why
	if err := os.Link(present, old); err != nil {
		return err
	}
	if err := os.Rename(next, present); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s signs now; the key before is %s. Its certificate stays in signature-certificate-list for as long as what it signed is wanted.\n", present, old)
	return err
}

// writeNew writes a file that didn't exist.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a file would keep the next try from writing it
	}
	return nil
}

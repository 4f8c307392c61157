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

func newCacheGenerateKeyCommand(e *environment) *cli.Command {
	return &cli.Command{
		Name:      "generate-signature-key",
		Usage:     "make a key and a certificate to sign uploads with",
		ArgsUsage: "KEYFILE COMMON-NAME",
		Description: `Writes a new private key to KEYFILE, and prints its certificate, which those put
in signature-certificate-list who trust the owner of the key.

Exit codes: 0 done; 1 failed, or one of the files exists.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "cert-file", Value: "-", Usage: "write the certificate to `FILE` too"},
		},
		Action: func(c *cli.Context) error {
			return runCacheGenerateKey(e, c.Args().Get(0), c.Args().Get(1), c.String("cert-file"))
		},
	}
}

func runCacheGenerateKey(e *environment, keyFile, commonName, certificateFile string) error {
	for _, file := range [][2]string{{"Certificate", certificateFile}, {"Key", keyFile}} {
		if _, err := os.Lstat(file[1]); file[1] != "-" && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s '%s' exists, will not overwrite.", file[0], file[1])
		}
	}
	key, certificate, err := networkcache.GenerateKey(commonName, e.now())
	if err != nil {
		return err
	}
	if err := writeNew(keyFile, key, 0o600); err != nil {
		return err
	}
	if certificateFile != "-" {
		if err := writeNew(certificateFile, certificate, 0o644); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(e.stdout, `Generating certificate for '%s' (key: '%s', certificate: '%s')

%s
Don't forget to add the certificate to the signature-certificate-list in your SlapOS configuration file.
`, commonName, keyFile, certificateFile, certificate)
	return err
}

// writeNew writes a file that didn't exist.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

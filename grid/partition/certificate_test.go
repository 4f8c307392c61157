// SPDX-License-Identifier: GPL-3.0-or-later

package partition

import "testing"

// The paths are those of Python's os.path.join: a partition's profile has them (GRID-57).
func TestCertificateFiles(t *testing.T) {
	for repository, want := range map[string]string{
		"/pki": "/pki/slappart0", "/pki/": "/pki/slappart0", "/srv//pki//": "/srv//pki//slappart0", "pki/../x": "pki/../x/slappart0",
	} {
		if key, certificate := CertificateFiles(repository, "slappart0"); key != want+".key" || certificate != want+".crt" {
			t.Errorf("%s: %s, %s", repository, key, certificate)
		}
	}
}

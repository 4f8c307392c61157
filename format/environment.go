// SPDX-License-Identifier: GPL-3.0-or-later

package format

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// osType describes the operating system in the master's format: a JSON list of
// platform, distribution, its version and its name (FMT-72).
func osType(etc string) (string, error) {
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return "", err
	}
	platform := strings.Join([]string{
		unix.ByteSliceToString(kernel.Sysname[:]),
		unix.ByteSliceToString(kernel.Release[:]),
		unix.ByteSliceToString(kernel.Machine[:]),
	}, "-")
	release := osRelease(etc)
	parts := make([]string, 0, 4)
	for _, part := range []string{platform, strings.ToLower(strings.ReplaceAll(release["ID"], " ", "_")), release["VERSION_ID"], release["NAME"]} {
		quoted := pythonJSON(part, "")
		parts = append(parts, string(quoted))
	}
	return "[" + strings.Join(parts, ", ") + "]", nil
}

// osRelease reads os-release(5); it is empty without that file.
func osRelease(etc string) map[string]string {
	fields := map[string]string{}
	content, err := os.ReadFile(filepath.Join(etc, "os-release"))
	if err != nil {
		return fields
	}
	for line := range strings.Lines(string(content)) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found || strings.HasPrefix(key, "#") {
			continue
		}
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		fields[key] = strings.Trim(value, "'")
	}
	return fields
}

// PublicAddressServices return the IPv4 address that a caller comes from, as
// the text "ip" or "origin" in a JSON object (FMT-73).
var PublicAddressServices = []string{
	"https://api.ipify.org/?format=json",
	"http://httpbin.org/ip",
	"http://jsonip.com",
}

// publicAddressLimit bounds the whole look-up, which runs beside the rest of
// the work: a node without Internet must not wait for it.
const publicAddressLimit = 3 * time.Second

// lookUpPublicIPv4 asks all services at once. It returns the address on which
// two of them agree, or ""; answered is false if none answered.
func lookUpPublicIPv4(ctx context.Context, services []string) (address string, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, publicAddressLimit)
	defer cancel()
	type answer struct {
		service int
		address string
	}
	answers := make(chan answer, len(services))
	for i, service := range services {
		go func() { answers <- answer{service: i, address: askPublicIPv4(ctx, service)} }()
	}
	given := make([]string, len(services))
	for range services {
		a := <-answers
		given[a.service] = a.address
	}
	former := ""
	for _, address := range given {
		if address != "" && address == former {
			return address, true
		}
		if address != "" {
			former = address
		}
	}
	return "", former != ""
}

func askPublicIPv4(ctx context.Context, service string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, service, nil)
	if err != nil {
		return ""
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return parsePublicIPv4(body)
}

func parsePublicIPv4(body []byte) string {
	var object map[string]any
	if json.Unmarshal(bytes.TrimSpace(body), &object) != nil {
		return ""
	}
	for _, key := range []string{"ip", "origin"} {
		if address, ok := object[key].(string); ok {
			return address
		}
	}
	return ""
}

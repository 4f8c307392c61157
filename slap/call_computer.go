// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const fullComputerPath = "getFullComputerInformation"

// FullComputerInformation fetches everything that should be on a computer. It
// calls ComputerInformation for Masters without that call (SLAP-43).
func (c *Client) FullComputerInformation(ctx context.Context, computer string) (*Computer, error) {
	if computer == "" {
		return nil, notFound("the computer has no name")
	}
	query := Form{{"computer_id", computer}}
	full, err := fetch[*Computer](ctx, c, call{path: fullComputerPath, query: query})
	if errors.Is(err, ErrNotFound) {
		return c.ComputerInformation(ctx, computer)
	}
	return full, err
}

// ComputerInformation is the older form of FullComputerInformation.
func (c *Client) ComputerInformation(ctx context.Context, computer string) (*Computer, error) {
	return fetch[*Computer](ctx, c, call{path: "getComputerInformation", query: Form{{"computer_id", computer}}})
}

// LoadComputerConfiguration sends the description of a computer (SLAP-59) and
// returns the answer unchanged.
func (c *Client) LoadComputerConfiguration(ctx context.Context, computer Dict) (string, error) {
	xml, err := marshalText(computer)
	if err != nil {
		return "", fmt.Errorf("computer description: %w", err)
	}
	answer, err := c.do(ctx, call{
		method: http.MethodPost, path: "loadComputerConfigurationFromXML", body: Form{{"xml", xml}},
	})
	return string(answer), err
}

// UseComputer sends a usage report, an XML document (SLAP-60). An empty one is
// not sent. After a broken connection the report is not repeated, since the
// Master may have counted it.
func (c *Client) UseComputer(ctx context.Context, computer, report string) error {
	if report == "" {
		return nil
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: "useComputer", once: true,
		body: Form{{"computer_id", computer}, {"use_string", report}}, most: maxConfirmation,
	})
	return err
}

// ComputerBang asks the Master to have all instances of a computer processed
// again (SLAP-61).
func (c *Client) ComputerBang(ctx context.Context, computer, message string) error {
	return c.post(ctx, "computerBang", Form{{"computer_id", computer}, {"message", message}})
}

// ComputerStatus fetches a computer's last sign of life: keys user, created_at
// and text.
func (c *Client) ComputerStatus(ctx context.Context, computer string) (Dict, error) {
	return fetch[Dict](ctx, c, call{path: "getComputerStatus", query: Form{{"computer_id", computer}}})
}

// GenerateComputerCertificate makes a new certificate and key, both PEM.
func (c *Client) GenerateComputerCertificate(ctx context.Context, computer string) (certificate, key string, err error) {
	d, err := fetch[Dict](ctx, c, call{
		method: http.MethodPost, path: "generateComputerCertificate", once: true,
		body: Form{{"computer_id", computer}},
	})
	return text(d, "certificate"), text(d, "key"), err
}

// RevokeComputerCertificate makes the computer's certificate invalid.
func (c *Client) RevokeComputerCertificate(ctx context.Context, computer string) error {
	return c.post(ctx, "revokeComputerCertificate", Form{{"computer_id", computer}})
}

// RequestComputer registers a computer under a title.
func (c *Client) RequestComputer(ctx context.Context, title string) (*Computer, error) {
	return fetch[*Computer](ctx, c, call{
		method: http.MethodPost, path: "requestComputer", once: true, body: Form{{"computer_title", title}},
	})
}

// Supply asks that a computer install a release, or remove it
// (StateDestroyed). The state "" means StateAvailable.
func (c *Client) Supply(ctx context.Context, url, computer string, state State) error {
	if state == "" {
		state = StateAvailable
	}
	err := c.post(ctx, "supplySupply", Form{{"url", url}, {"computer_id", computer}, {"state", string(state)}})
	if errors.Is(err, ErrNotFound) {
		return notFound("Computer %s has not been found by SlapOS Master.", computer) // SLAP-47
	}
	return err
}

// BuildingRelease reports that a release is being built.
func (c *Client) BuildingRelease(ctx context.Context, url, computer string) error {
	return c.post(ctx, "buildingSoftwareRelease", releaseFields(url, computer))
}

// AvailableRelease reports that a release is installed.
func (c *Client) AvailableRelease(ctx context.Context, url, computer string) error {
	return c.post(ctx, "availableSoftwareRelease", releaseFields(url, computer))
}

// DestroyedRelease reports that a release was removed.
func (c *Client) DestroyedRelease(ctx context.Context, url, computer string) error {
	return c.post(ctx, "destroyedSoftwareRelease", releaseFields(url, computer))
}

// ReleaseError reports why a release could not be installed or removed. If the
// report itself fails, the caller logs that and goes on (SLAP-46).
func (c *Client) ReleaseError(ctx context.Context, url, computer, text string) error {
	return c.post(ctx, "softwareReleaseError", append(releaseFields(url, computer), Field{"error_log", text}))
}

// ProductReleases fetches the releases of a software product, the best one
// first (SLAP-48).
func (c *Client) ProductReleases(ctx context.Context, product string) ([]string, error) {
	return c.releases(ctx, Field{"software_product_reference", product})
}

// SiblingReleases fetches the releases of the product that a release belongs
// to, the best one first (SLAP-48).
func (c *Client) SiblingReleases(ctx context.Context, url string) ([]string, error) {
	return c.releases(ctx, Field{"software_release_url", url})
}

// Product resolves "product.<name>" to the best release of that product.
func (c *Client) Product(ctx context.Context, name string) (url string, err error) {
	releases, err := c.ProductReleases(ctx, name)
	if err != nil {
		return "", err
	}
	if len(releases) == 0 {
		return "", notFound("No Software Release corresponding to this Software Product has been found.")
	}
	return releases[0], nil
}

func (c *Client) releases(ctx context.Context, by Field) ([]string, error) {
	list, err := fetch[[]any](ctx, c, call{path: "getSoftwareReleaseListFromSoftwareProduct", query: Form{by}})
	if err != nil {
		return nil, err
	}
	urls := make([]string, 0, len(list))
	for _, item := range list {
		url, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("releases of %s: %s where text belongs", by.Value, kindName(item))
		}
		urls = append(urls, url)
	}
	return urls, nil
}

func releaseFields(url, computer string) Form {
	return Form{{"url", url}, {"computer_id", computer}}
}

// post makes a call whose answer does not matter.
func (c *Client) post(ctx context.Context, path string, form Form) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: path, body: form, most: maxConfirmation})
	return err
}

// SPDX-License-Identifier: GPL-3.0-or-later

package slap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
)

// Hateoas is the part of a Master through which people's tools browse it: a
// hypermedia interface of JSON documents. Get it from [Client.Hateoas].
type Hateoas struct {
	client *Client
	root   string

	mu       sync.Mutex
	document *rootDocument // fetched once (SLAP-70)
}

// rootDocument has the links at the root of the interface.
type rootDocument struct {
	Links struct {
		RawSearch struct {
			Href string `json:"href"`
		} `json:"raw_search"`
		Traverse struct {
			Href string `json:"href"`
		} `json:"traverse"`
		Self struct {
			Href string `json:"href"`
		} `json:"self"`
		Me struct {
			Href string `json:"href"`
		} `json:"me"`
	} `json:"_links"`
}

// Hateoas returns the Master's HATEOAS interface. If the configuration has no
// address, it asks the Master once. The error is [ErrNoHateoas] if the Master
// has none, or cannot say (SLAP-40).
func (c *Client) Hateoas(ctx context.Context) (*Hateoas, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest != nil {
		return c.rest, nil
	}
	root := c.config.RESTURL
	if root == "" {
		answer, err := c.do(ctx, call{method: "GET", path: "getHateoasUrl", most: maxConfirmation})
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, ErrConnection) { // nobody knows whether it has one
			return nil, err
		}
		if err != nil {
			c.log.Debug("master has no HATEOAS address", slog.Any("error", err))
		}
		root = strings.TrimSpace(string(answer))
	}
	if _, err := parseMaster(root); err != nil {
		c.log.Debug("master has no HATEOAS address", slog.Any("error", err))
		return nil, ErrNoHateoas
	}
	c.rest = &Hateoas{client: c, root: root}
	return c.rest, nil
}

// get fetches the JSON document at the path of a call into v.
func (h *Hateoas) get(ctx context.Context, c call, v any) error {
	c.method = http.MethodGet
	answer, err := h.client.do(ctx, c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("answer of %s: %w", c.path, err)
	}
	return nil
}

func (h *Hateoas) links(ctx context.Context) (*rootDocument, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.document != nil {
		return h.document, nil
	}
	var document rootDocument
	if err := h.get(ctx, call{path: NormalizeURL(h.root), noCache: true}, &document); err != nil {
		return nil, err
	}
	h.document = &document
	return h.document, nil
}

// searchLimit is the number of requested rows (SLAP-71).
const searchLimit = 40

// Row is a row of a search: the requested columns, and those that the Master
// adds.
type Row map[string]json.RawMessage

// Text returns a column with text, "" for anything else.
func (r Row) Text(column string) string { return jsonText(r[column]) }

// Search runs a catalog query and returns at most 40 rows.
func (h *Hateoas) Search(ctx context.Context, query string, columns ...string) ([]Row, error) {
	root, err := h.links(ctx)
	if err != nil {
		return nil, err
	}
	if root.Links.RawSearch.Href == "" {
		return nil, fmt.Errorf("%s: the Master has no search", h.root)
	}
	url, err := expandTemplate(root.Links.RawSearch.Href, map[string]any{
		"query": query, "select_list": columns, "limit": searchLimit,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.root, err)
	}
	var result struct {
		Embedded struct {
			Contents []Row `json:"contents"`
		} `json:"_embedded"`
	}
	err = h.get(ctx, call{path: url}, &result)
	return result.Embedded.Contents, err
}

// Document is a document of the Master: the values of the fields in its view
// (SLAP-72).
type Document struct {
	PortalType string
	// ParentURL is the relative URL of the parent, "" if unknown.
	ParentURL string
	// FormID identifies the view.
	FormID string
	// Fields has the values by field name, null when a field has none.
	Fields map[string]json.RawMessage
}

// Text returns a field with text, "" for anything else.
func (d *Document) Text(field string) string { return jsonText(d.Fields[field]) }

// fieldTypes are the types of fields that hold data.
var fieldTypes = map[string]bool{
	"StringField": true, "EmailField": true, "IntegerField": true, "FloatField": true, "TextAreaField": true,
}

// Document fetches a document by its relative URL.
func (h *Hateoas) Document(ctx context.Context, relativeURL string) (*Document, error) {
	root, err := h.links(ctx)
	if err != nil {
		return nil, err
	}
	if root.Links.Traverse.Href == "" {
		return nil, fmt.Errorf("%s: the Master has no documents", h.root)
	}
	url, err := expandTemplate(root.Links.Traverse.Href, map[string]any{
		"relative_url": relativeURL, "view": "slaposjs_view",
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.root, err)
	}
	var page documentPage
	if err := h.get(ctx, call{path: url}, &page); err != nil {
		return nil, err
	}
	d, err := page.document()
	if err != nil {
		return nil, fmt.Errorf("document %s: %w", relativeURL, err)
	}
	return d, nil
}

// Me fetches the document of the client certificate's owner: a person, an
// instance or a computer.
func (h *Hateoas) Me(ctx context.Context) (*Document, error) {
	root, err := h.links(ctx)
	if err != nil {
		return nil, err
	}
	relativeURL, ok := strings.CutPrefix(root.Links.Me.Href, "urn:jio:get:")
	if !ok {
		return nil, fmt.Errorf("%s: the Master does not say who we are", h.root)
	}
	return h.Document(ctx, relativeURL)
}

type documentPage struct {
	Links struct {
		Type struct {
			Name string `json:"name"`
		} `json:"type"`
		Parent *struct {
			Href string `json:"href"`
		} `json:"parent"`
	} `json:"_links"`
	Embedded struct {
		View map[string]json.RawMessage `json:"_view"`
	} `json:"_embedded"`
}

type viewField struct {
	Type    string          `json:"type"`
	Default json.RawMessage `json:"default"`
}

func (p *documentPage) document() (*Document, error) {
	d := &Document{PortalType: p.Links.Type.Name, Fields: map[string]json.RawMessage{}}
	if p.Links.Parent != nil {
		path := strings.Split(p.Links.Parent.Href, "/")
		d.ParentURL = strings.Join(path[max(0, len(path)-2):], "/")
	}
	form, ok := p.Embedded.View["form_id"]
	if !ok {
		return nil, errors.New("its view has no form_id")
	}
	for key, raw := range p.Embedded.View {
		name, ok := strings.CutPrefix(key, "my_")
		if !ok {
			if name, ok = strings.CutPrefix(key, "your_"); !ok {
				continue
			}
			if _, mine := p.Embedded.View["my_"+name]; mine {
				continue
			}
		}
		var field viewField
		if err := json.Unmarshal(raw, &field); err != nil {
			return nil, fmt.Errorf("field %s: %w", key, err)
		}
		if fieldTypes[field.Type] {
			d.Fields[name] = field.Default
		}
	}
	var id viewField
	if err := json.Unmarshal(form, &id); err != nil {
		return nil, fmt.Errorf("form_id: %w", err)
	}
	d.FormID = jsonText(id.Default)
	return d, nil
}

// jsonText returns the text in raw, "" for anything else.
func jsonText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

package proxy

import (
	"embed"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"

	"slapos/proxy/store"
)

//go:embed panel
var panelFiles embed.FS

var panelPages = template.Must(template.ParseFS(panelFiles, "panel/*.html"))

// panelPage is what the page of the panel shows.
type panelPage struct {
	Nodes []panelNode
}

type panelNode struct {
	store.Computer
	Software  []store.Software
	Instances []*store.Partition
	Free      int
}

// panel serves the page for browsers, its style, and the public directory
// (D-17).
func (p *Proxy) panel(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/panel/")
	if public, ok := strings.CutPrefix(name, "public/"); ok {
		return p.public(w, r, public)
	}
	if name == "" {
		return p.panelIndex(w, r)
	}
	if !fs.ValidPath(name) || path.Ext(name) == ".html" {
		return errNoPage
	}
	file, err := panelFiles.Open(path.Join("panel", name))
	if err != nil {
		return errNoPage
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return errNoPage
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, panelFiles, path.Join("panel", name))
	return nil
}

func (p *Proxy) panelIndex(w http.ResponseWriter, r *http.Request) error {
	var page panelPage
	computers, err := p.store.Computers(r.Context())
	if err != nil {
		return err
	}
	for _, computer := range computers {
		node, err := p.store.Node(r.Context(), computer.Reference)
		if err != nil {
			return err
		}
		shown := panelNode{Computer: computer, Software: node.Software}
		for _, partition := range node.Partitions {
			if partition.Busy {
				shown.Instances = append(shown.Instances, partition)
			} else {
				shown.Free++
			}
		}
		page.Nodes = append(page.Nodes, shown)
	}
	var text strings.Builder
	if err := panelPages.ExecuteTemplate(&text, "index.html", page); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
	return writeText(w, http.StatusOK, text.String())
}

// public serves a file of the public directory, never of elsewhere: not even
// through a symbolic link (PROXY-141).
func (p *Proxy) public(w http.ResponseWriter, r *http.Request, name string) error {
	if p.options.PublicDirectory == "" {
		return refuse(http.StatusForbidden, "The public directory path is not configured.")
	}
	root, err := os.OpenRoot(p.options.PublicDirectory)
	if err != nil {
		return errNoPage
	}
	defer root.Close()
	file, err := root.Open(name)
	if err != nil {
		return errNoPage
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errNoPage
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	serveAttachment(w, r, kind, info, file)
	return nil
}

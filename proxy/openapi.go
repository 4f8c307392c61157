// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// openAPI describes the methods of JSON-RPC in the form of OpenAPI 3.1, from the
// schemas that check them (PROXY-200).
func (p *Proxy) openAPI(w http.ResponseWriter, r *http.Request) error {
	schemas, err := openSchemas()
	if err != nil {
		return err
	}
	paths := map[string]any{
		"/healthz": openPath("Says ok while the master lives.", map[string]any{"200": textAnswer("It lives.")}),
		"/readyz": openPath("Says ok while the master can serve requests, else why it can't.",
			map[string]any{"200": textAnswer("It is ready."), "503": textAnswer("Why it isn't.")}),
		"/version": map[string]any{"get": map[string]any{"summary": "Which program this is.", "tags": []string{"master"},
			"responses": map[string]any{"200": jsonContent("The program.", "version")}}},
	}
	for name, method := range p.rpcMethods() {
		paths["/"+name] = methodPath(name, method)
	}
	document := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "SlapOS master", "version": p.versionName(),
			"description": "The JSON-RPC methods of a local SlapOS master. A call is a POST whose body is the input, and whose answer is the output; " +
				"an error has the status of HTTP and says it again in the body.",
			"license": map[string]any{"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
		},
		"servers": []any{map[string]any{"url": originOf(r).url("")}},
		"paths":   paths,
		"components": map[string]any{
			"schemas":         schemas,
			"responses":       map[string]any{"error": jsonContent("Why the call failed.", "error")},
			"securitySchemes": securitySchemes(),
		},
	}
	if p.options.Allow != nil {
		document["security"] = []any{map[string]any{"token": []any{}}, map[string]any{"password": []any{}}, map[string]any{"certificate": []any{}}}
	}
	body, err := json.Marshal(document)
	if err != nil {
		return err
	}
	writeBytes(w, contentJSON, body)
	return nil
}

func securitySchemes() map[string]any {
	return map[string]any{
		"token":       map[string]any{"type": "http", "scheme": "bearer"},
		"password":    map[string]any{"type": "http", "scheme": "basic", "description": "Any login, a token as password."},
		"certificate": map[string]any{"type": "mutualTLS"},
	}
}

// openSchemas are the definitions of schemas.json where OpenAPI looks for them.
func openSchemas() (any, error) {
	moved := bytes.ReplaceAll(schemaText, []byte(`"#/definitions/`), []byte(`"#/components/schemas/`))
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(moved))
	if err != nil {
		return nil, err
	}
	return document.(map[string]any)["definitions"], nil
}

func methodPath(name string, method rpcMethod) any {
	responses := map[string]any{"200": jsonContent("Done.", method.output)}
	for _, status := range []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotAcceptable, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusInternalServerError, http.StatusServiceUnavailable,
	} {
		responses[strconv.Itoa(status)] = map[string]any{"$ref": "#/components/responses/error"}
	}
	return map[string]any{"post": map[string]any{
		"operationId": name, "summary": summaries[name], "tags": []string{tagOf(name)},
		"requestBody": map[string]any{"required": true, "content": jsonContent("", method.input)["content"]},
		"responses":   responses,
	}}
}

// tagOf is what a method is about: the words after its version, up to the second.
func tagOf(name string) string {
	words := strings.Split(name[strings.LastIndexByte(name, '.')+1:], "_")
	return strings.Join(words[:min(2, len(words))], " ")
}

func jsonContent(description, schema string) map[string]any {
	content := map[string]any{"content": map[string]any{contentJSON: map[string]any{
		"schema": map[string]any{"$ref": "#/components/schemas/" + schema}}}}
	if description != "" {
		content["description"] = description
	}
	return content
}

// openPath is a path that everybody may ask for.
func openPath(summary string, responses map[string]any) any {
	return map[string]any{"get": map[string]any{"summary": summary, "tags": []string{"master"}, "security": []any{}, "responses": responses}}
}

func textAnswer(description string) any {
	return map[string]any{"description": description, "content": map[string]any{"text/html": map[string]any{"schema": map[string]any{"type": "string"}}}}
}

// summaries say what each method does.
var summaries = map[string]string{
	"slapos.get.v0.hateoas_url":                                 "Where the documents of HATEOAS begin.",
	"slapos.post.v0.compute_node_certificate":                   "A certificate for a node: a local master issues none, both parts are empty.",
	"slapos.remove.v0.compute_node_certificate":                 "Revoke the certificate of a node: ignored.",
	"slapos.get.v0.software_instance_certificate":               "The certificate of an instance: a local master issues none, both parts are empty.",
	"slapos.post.v0.compute_node_usage":                         "Report what a node and its partitions used.",
	"slapos.get.v0.compute_node_status":                         "A fixed text; see slapos.get.v1.status.",
	"slapos.post.v0.software_installation":                      "Ask for a software release on a node, or for its removal.",
	"slapos.put.v0.software_installation_error":                 "Report that a release can't be built.",
	"slapos.allDocs.v0.compute_node_instance_list":              "The instances that a node should have.",
	"slapos.allDocs.v0.instance_tree_list":                      "The roots of all instance trees.",
	"slapos.get.v0.instance_tree":                               "The root of a tree by its title.",
	"slapos.get.v0.compute_partition":                           "The instance in a partition.",
	"slapos.get.v0.software_instance":                           "An instance.",
	"slapos.post.v0.software_instance":                          "Request an instance: it is made, or changed to what is asked for.",
	"slapos.put.v0.software_instance_bang":                      "Have an instance and its tree processed again.",
	"slapos.put.v0.software_instance_title":                     "Rename an instance.",
	"slapos.put.v0.software_instance_error":                     "Report that an instance can't be deployed.",
	"slapos.put.v0.compute_node_bang":                           "Note that a node is to be processed again.",
	"slapos.put.v0.compute_node_format":                         "Say which partitions a node has.",
	"slapos.allDocs.WIP.compute_node_list":                      "The nodes.",
	"slapos.allDocs.v0.compute_node_software_installation_list": "The releases that a node should have.",
	"slapos.allDocs.v0.instance_node_instance_list":             "The shared instances that an instance hosts.",
	"slapos.put.v0.software_installation_reported_state":        "Report the state of a release.",
	"slapos.put.v0.software_instance_reported_state":            "Report the state of an instance.",
	"slapos.get.v1.status":                                      "How everything is: counts by condition, and what needs attention.",
	"slapos.get.v1.software_instance_status":                    "How an instance is, with its promises.",
	"slapos.get.v1.software_installation_status":                "How a release on a node is.",
	"slapos.allDocs.v1.event_list":                              "What happened, and who asked for it.",
	"slapos.get.v1.event_log":                                   "The text of an error that a node sent.",
	"slapos.put.v1.software_instance_promise_list":              "Report which promises of an instance fail.",
	"slapos.put.v0.software_instance_connection_parameter":      "Publish connection parameters of an instance.",
}

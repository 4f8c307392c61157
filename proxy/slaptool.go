// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"slapos/proxy/store"
	"slapos/slap"
)

// slapRoutes are the calls of the SLAP protocol (section 4 of the proxy's
// requirements). Calls that the original ignores need no field (PROXY-38).
func (p *Proxy) slapRoutes() map[string]map[string]handler {
	return map[string]map[string]handler{
		"/getFullComputerInformation":       get(p.fullComputerInformation),
		"/getComputerInformation":           get(p.fullComputerInformation),
		"/registerComputerPartition":        get(p.registerComputerPartition),
		"/loadComputerConfigurationFromXML": post(p.loadComputerConfiguration),
		"/supplySupply":                     post(p.supplySupply),
		"/destroyedSoftwareRelease":         post(p.destroyedSoftwareRelease),
		"/buildingSoftwareRelease":          post(p.reported(store.KindRelease, store.ReportBuilding)),
		"/availableSoftwareRelease":         post(p.reported(store.KindRelease, store.ReportAvailable)),
		"/softwareReleaseError":             post(p.reported(store.KindRelease, store.ReportError)),
		"/softwareInstanceError":            post(p.reported(store.KindInstance, store.ReportError)),
		"/startedComputerPartition":         post(p.reported(store.KindInstance, store.ReportStarted)),
		"/stoppedComputerPartition":         post(p.reported(store.KindInstance, store.ReportStopped)),
		"/useComputer":                      post(p.useComputer),
		"/computerBang":                     post(p.computerBang),
		"/getComputerPartitionStatus":       get(constant("Not implemented.")),
		"/getComputerPartitionCertificate":  get(p.partitionCertificate),

		"/getSoftwareReleaseListFromSoftwareProduct": get(p.softwareProduct),

		"/requestComputerPartition":                   post(p.requestComputerPartition),
		"/setComputerPartitionConnectionXml":          post(p.setConnection),
		"/softwareInstanceBang":                       post(p.softwareInstanceBang),
		"/updateComputerPartitionRelatedInstanceList": post(p.relatedInstances),
		"/softwareInstanceRename":                     post(p.softwareInstanceRename),
		"/destroyedComputerPartition":                 post(p.destroyedComputerPartition),
	}
}

func ignored(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, http.StatusOK, "Ignored")
}

// constant answers the same value to everybody (PROXY-39).
func constant(value any) handler {
	return func(w http.ResponseWriter, _ *http.Request) error { return writeMarshalled(w, value) }
}

func writeMarshalled(w http.ResponseWriter, value any) error {
	body, err := slap.Marshal(value)
	if err != nil {
		return err
	}
	writeBytes(w, contentText, body)
	return nil
}

func (p *Proxy) fullComputerInformation(w http.ResponseWriter, r *http.Request) error {
	var computer string
	if err := queryOf(r).mandatory("computer_id", &computer); err != nil {
		return err
	}
	if done, err := p.notModified(w, r, computer); done || err != nil {
		return err
	}
	body, tag, err := p.answers.get(r.Context(), "computer", computer, func(node *store.Node) ([]byte, error) {
		answer, err := marshalNode(node)
		if err != nil {
			return nil, err
		}
		return slap.Marshal(answer)
	})
	if errors.Is(err, store.ErrNotFound) {
		return errOurs // PROXY-32
	}
	if err != nil {
		return err
	}
	p.store.Polled(computer)
	w.Header().Set(acceptsHeader, "promises")
	w.Header().Set("ETag", tag)
	writeBytes(w, contentText, body)
	return nil
}

func (p *Proxy) registerComputerPartition(w http.ResponseWriter, r *http.Request) error {
	query := queryOf(r)
	var id slap.PartitionID
	if err := query.mandatory("computer_partition_reference", &id.Partition, "computer_reference", &id.Computer); err != nil {
		return err
	}
	instance, err := p.store.Instance(r.Context(), store.At(id))
	if errors.Is(err, store.ErrNotFound) {
		return errOurs // PROXY-34
	}
	if err != nil {
		return err
	}
	if instance.Partition.SoftwareRelease == "" {
		return writeMarshalled(w, marshalFree(instance.Partition))
	}
	answer, err := marshalUsed(instance.Partition, instance.Parameters, instance.Connection)
	if err != nil {
		return err
	}
	return writeMarshalled(w, answer)
}

func (p *Proxy) loadComputerConfiguration(w http.ResponseWriter, r *http.Request) error {
	var xml string
	if err := mandatory(r, "xml", &xml); err != nil {
		return err
	}
	description, err := parseDescription([]byte(xml))
	if err != nil {
		return fmt.Errorf("computer configuration: %w", err)
	}
	if err := p.store.LoadComputer(r.Context(), description); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "done")
}

func (p *Proxy) supplySupply(w http.ResponseWriter, r *http.Request) error {
	var url, computer, state string
	if err := mandatory(r, "url", &url, "computer_id", &computer, "state", &state); err != nil {
		return err
	}
	if err := p.store.Supply(r.Context(), store.Software{URL: url, Computer: computer, State: slap.State(state)}); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, fmt.Sprintf("Supplied %s to be %s", slap.PythonRepr(url), state))
}

func (p *Proxy) destroyedSoftwareRelease(w http.ResponseWriter, r *http.Request) error {
	var url, computer string
	if err := mandatory(r, "computer_id", &computer, "url", &url); err != nil {
		return err
	}
	if err := p.store.RemoveSoftware(r.Context(), computer, url); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "OK")
}

// useComputer keeps usage reports, which the original drops.
func (p *Proxy) useComputer(w http.ResponseWriter, r *http.Request) error {
	form, err := formOf(r)
	if err != nil {
		return err
	}
	computer, report := form.get("computer_id"), form.get("use_string")
	if computer != "" && report != "" {
		if err := p.store.AddUsage(r.Context(), computer, report); err != nil {
			return err
		}
	}
	return ignored(w, r)
}

func (p *Proxy) softwareProduct(w http.ResponseWriter, r *http.Request) error {
	query := queryOf(r)
	name := query.get("software_product_reference")
	if query.get("software_release_url") != "" || !query.has("software_product_reference") {
		return errors.New("only software_product_reference is supported") // PROXY-40
	}
	list := []any{}
	if url, ok := p.options.Products[name]; ok {
		list = append(list, url)
	}
	return writeMarshalled(w, list)
}

func (p *Proxy) setConnection(w http.ResponseWriter, r *http.Request) error {
	form, err := formOf(r)
	if err != nil {
		return err
	}
	var id slap.PartitionID
	var xml string
	if err := form.mandatory("computer_partition_id", &id.Partition, "computer_id", &id.Computer, "connection_xml", &xml); err != nil {
		return err
	}
	value, err := slap.Unmarshal([]byte(xml))
	if err != nil {
		return fmt.Errorf("connection parameters of %s: %w", id.Partition, err)
	}
	connection, ok := value.(slap.Dict)
	if !ok {
		return fmt.Errorf("connection parameters of %s are not a dictionary", id.Partition)
	}
	var subject store.Subject = store.At(id)
	if reference := form.get("slave_reference"); reference != "" && reference != "None" {
		subject = store.Reference{Text: reference, Host: id.Partition}
	}
	if err := unlessUnknown(p.store.Publish(r.Context(), subject, connection)); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "done")
}

func (p *Proxy) softwareInstanceBang(w http.ResponseWriter, r *http.Request) error {
	form, err := formOf(r)
	if err != nil {
		return err
	}
	var id slap.PartitionID
	if err := form.mandatory("computer_id", &id.Computer, "computer_partition_id", &id.Partition); err != nil {
		return err
	}
	if err := unlessUnknown(p.store.Bang(r.Context(), store.At(id), store.Tree, form.get("message"))); err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "OK")
}

// relatedInstances gets what the deployment of a partition has requested, for what it
// no longer requests to go (PROXY-187).
func (p *Proxy) relatedInstances(w http.ResponseWriter, r *http.Request) error {
	var id slap.PartitionID
	var document string
	if err := mandatory(r, "computer_id", &id.Computer, "computer_partition_id", &id.Partition, "instance_reference_xml", &document); err != nil {
		return err
	}
	value, err := slap.Unmarshal([]byte(document))
	list, ok := value.([]any)
	if err != nil || !ok {
		return refuse(http.StatusBadRequest, "instance_reference_xml is not a list of names")
	}
	titles := make([]string, len(list))
	for i, item := range list {
		if titles[i], ok = item.(string); !ok {
			return refuse(http.StatusBadRequest, "instance_reference_xml is not a list of names")
		}
	}
	dropped, err := p.store.Related(r.Context(), id, titles)
	if err := unlessUnknown(err); err != nil {
		return err
	}
	for _, title := range dropped {
		p.log.Info(fmt.Sprintf("%s is no longer requested by %s: it is to be destroyed", title, id.Partition))
	}
	return writeText(w, http.StatusOK, "OK")
}

func (p *Proxy) softwareInstanceRename(w http.ResponseWriter, r *http.Request) error {
	var id slap.PartitionID
	var title string
	if err := mandatory(r, "new_name", &title, "computer_partition_id", &id.Partition, "computer_id", &id.Computer); err != nil {
		return err
	}
	err := p.store.Rename(r.Context(), store.At(id), title, store.Below)
	if errors.Is(err, store.ErrNotFound) {
		return writeText(w, http.StatusOK, unknownPartition(id))
	}
	if err != nil {
		return err
	}
	return writeText(w, http.StatusOK, "done")
}

func unknownPartition(id slap.PartitionID) string {
	return fmt.Sprintf("Unknown partition %s on %s", slap.PythonRepr(id.Partition), slap.PythonRepr(id.Computer))
}

func notYet(waiting []string) string {
	return "Not destroying yet because this partition has child partitions: " + strings.Join(waiting, ", ")
}

func (p *Proxy) destroyedComputerPartition(w http.ResponseWriter, r *http.Request) error {
	var id slap.PartitionID
	if err := mandatory(r, "computer_partition_id", &id.Partition, "computer_id", &id.Computer); err != nil {
		return err
	}
	waiting, err := p.store.Destroy(r.Context(), store.At(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return writeText(w, http.StatusOK, unknownPartition(id))
	case err != nil:
		return err
	case len(waiting) > 0:
		return writeText(w, http.StatusOK, notYet(waiting))
	}
	return writeText(w, http.StatusOK, "OK")
}

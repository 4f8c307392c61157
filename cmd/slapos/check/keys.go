// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"slapos/cmd/slapos/argv"
)

// Keys are those that this program or slapos.core reads, by section. Sections of
// managers aren't among them: who writes a manager chooses its keys.
var Keys = map[string][]string{
	"slapos": {
		"agent_collect_periodicity", "agent_garbage_collect_periodicity", "agent_listen", "agent_poll_periodicity",
		"agent_prune_periodicity", "agent_report_periodicity", "agent_wait", "build_time_part_list", "buildout", "cert_file",
		"certificate_repository_path", "collect_cache", "computer_id", "develop", "forbid_supervisord_automatic_launch",
		"instance_min_free_space", "instance_root", "instance_storage_home", "ipv4_global_network", "jobs", "key_file",
		"manager_list", "master_ca_file", "master_insecure", "master_rest_url", "master_token_file", "master_url",
		"maximal_delay", "maximum_periodicity", "only-cp", "only-sr", "only_cp", "only_sr", "partition-timeout",
		"partition_timeout", "pidfile", "pidfile_instance", "pidfile_report", "pidfile_software", "power_user_list",
		"promise_timeout", "python", "root_check", "shared_part_list", "signature_private_key_file",
		"software_min_free_space", "software_root",
	},
	"slapformat": {
		"alter_network", "alter_user", "computer_json", "computer_model_id", "computer_xml", "cpu_weight", "create_tap",
		"create_tun", "heating_sensor_id", "input_definition_file", "interface_name", "ipv4_local_network",
		"ipv6_interface", "ipv6_local_network", "ipv6_prefixshift", "log_file", "memory_max", "output_definition_file",
		"partition_amount", "partition_base_name", "partition_has_ipv6_range", "pids_max", "public_ipv4_service_list",
		"software_user", "tap_base_name", "tap_gateway_interface", "tap_ipv6", "tun_ipv6", "user_base_name",
	},
	"networkcache": {
		"binary-cache-url-blacklist", "download-binary-cache-url", "download-binary-dir-url", "download-cache-url",
		"download-dir-url", "download-from-binary-cache-force-url-list", "download-from-binary-cache-url-blacklist",
		"proximity-url-list", "shacache-ca-file", "shacache-cert-file", "shacache-key-file", "shadir-ca-file",
		"shadir-cert-file", "shadir-key-file", "signature-certificate-list", "signature-date",
		"signature-passphrase-file", "signature-private-key-file", "signature_private_key_file", "upload-binary-cache-url",
		"upload-binary-dir-url", "upload-cache-url", "upload-dir-url", "upload-to-binary-cache-url-blacklist",
	},
	"slapproxy": {
		"authority_directory", "database_uri", "history_days", "history_events", "host", "listen_authority",
		"listen_cert_file", "listen_client_ca_file", "listen_connections", "listen_instance_root", "listen_key_file",
		"listen_names", "listen_open_cache", "listen_token_file", "local_software_release_root", "log_file", "port",
		"public_directory_path", "shacache_content_directory", "shacache_max_age", "shacache_max_size",
		"shacache_metadata_directory", "shacache_signing_key_path", "shacache_temporary_directory",
		"shacache_upstream_cache_url", "shacache_upstream_dir_url", "software_product_list", "software_release_list", "webhook_secret_file",
		"webhook_urls",
	},
	"firewall": {
		"authorized_sources", "dbus_executable", "dbus_log_file", "firewall_cmd", "firewall_executable", "log_file",
		"reload_config_cmd", "testing",
	},
	"collect": {
		"disk_snapshot_process_pid_foder", "disk_snapshot_time_cycle", "enable", "pid_folder", "report_disk_usage",
		"time_cycle", "use_quota",
	},
	"slapconsole":  {"cert_file", "key_file", "state", "type"},
	"multimaster/": {"cert", "computer", "key", "partition", "software_release_list"},
}

// alsoRead are sections whose keys commands find in another one, too: format
// merges [slapformat] and [slapos], the passes [slapos] and [networkcache], the
// master [slapos] and [slapproxy].
var alsoRead = map[string][]string{
	"slapos":       {"slapformat", "networkcache", "slapproxy"},
	"slapproxy":    {"slapos"},
	"networkcache": {"slapos"},
	"slapformat":   {"slapos"},
}

// Known returns the keys of a section, false for one whose keys aren't known.
func Known(section string) ([]string, bool) {
	if strings.HasPrefix(section, "multimaster/") {
		section = "multimaster/"
	}
	keys, found := Keys[section]
	for _, other := range alsoRead[section] {
		keys = append(slices.Clone(keys), Keys[other]...)
	}
	return keys, found
}

// keys finds what nobody reads. Keys in [DEFAULT] may be there for references.
func keys(_ context.Context, s *Subject) (found []Finding) {
	const remedy = "remove it, or make it a comment"
	for _, section := range s.Configuration.Sections() {
		names, isKnown := Known(section)
		if !isKnown {
			if near := argv.Nearest(section, slices.Sorted(maps.Keys(Keys))); len(near) > 0 {
				found = append(found, warning(fmt.Sprintf("section [%s] is read by nobody", section), "did you mean ["+near[0]+"]?"))
			}
			continue
		}
		for _, key := range s.Configuration.Own(section) {
			// The example configuration of slapos.core has hyphens there.
			plain := key
			if section == "slapproxy" && strings.HasPrefix(key, "shacache-") {
				plain = strings.ReplaceAll(key, "-", "_")
			}
			if slices.Contains(names, plain) {
				continue
			}
			way := remedy
			if near := argv.Nearest(key, names); len(near) > 0 {
				way = "did you mean " + near[0] + "?"
			} else if home := homeOf(key); home != "" {
				way = "it belongs to section [" + home + "]"
			}
			found = append(found, warning(fmt.Sprintf("section [%s], key %s is read by nobody", section, key), way))
		}
	}
	return found
}

// homeOf is the section that has a key, if one does.
func homeOf(key string) string {
	for _, section := range slices.Sorted(maps.Keys(Keys)) {
		if slices.Contains(Keys[section], key) {
			return section
		}
	}
	return ""
}

// values finds those that commands would refuse.
func values(_ context.Context, s *Subject) (found []Finding) {
	for _, section := range s.Configuration.Sections() {
		merged, err := s.Configuration.Section(section)
		if err != nil {
			found = append(found, fault(err.Error(), "write %% for a percent sign"))
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(merged)) {
			if err := s.Value(section, key, merged); err != nil {
				found = append(found, fault(fmt.Sprintf("section [%s], key %v", section, err), "change it, or remove the key"))
			}
		}
	}
	return found
}

// required finds keys without which nothing works.
func required(_ context.Context, s *Subject) (found []Finding) {
	missing := func(section, key, remedy string) {
		found = append(found, fault(fmt.Sprintf("key %s is missing in section [%s]", key, section), remedy))
	}
	if s.isMaster() {
		if s.proxy["database_uri"] == "" {
			missing("slapproxy", "database_uri", "name an SQLite file, or postgres://…")
		}
		if s.proxy["port"] == "" && s.slapos["port"] == "" {
			missing("slapproxy", "port", "give one, such as 5000")
		}
	}
	switch {
	case s.slapos == nil:
		return append(found, fault("there is no section [slapos]", "slapos configure local, configure client or node join write one"))
	case !s.isMaster() && s.slapos["master_url"] == "":
		missing("slapos", "master_url", "give the address of the master")
	}
	if (s.isMaster() || s.isNode()) && s.slapos["computer_id"] == "" {
		missing("slapos", "computer_id", "give the reference that the master knows this machine by")
	}
	if !s.isNode() {
		return found
	}
	for key, usual := range map[string]string{"software_root": "/opt/slapgrid", "instance_root": "/srv/slapgrid"} {
		if s.slapos[key] == "" {
			missing("slapos", key, "usually it is "+usual)
		}
	}
	if s.format != nil {
		for key, remedy := range map[string]string{"partition_amount": "give a number, such as 10", "computer_xml": "usually it is /opt/slapos/slapos.xml"} {
			if s.format[key] == "" && s.slapos[key] == "" {
				missing("slapformat", key, remedy)
			}
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) })
	return found
}

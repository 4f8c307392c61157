// SPDX-License-Identifier: GPL-3.0-or-later

package check

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"slapos/grid/pass"
)

// python finds an interpreter that builds nothing.
func python(ctx context.Context, s *Subject) []Finding {
	if err := s.Python(ctx); err != nil {
		text := LineOf(err)
		at := strings.LastIndex(text, ": ")
		if at < 0 {
			return []Finding{fault(text, "name another interpreter in the key python")}
		}
		return []Finding{fault(text[:at], text[at+2:])}
	}
	return nil
}

// programs finds what formatting would miss.
func programs(_ context.Context, s *Subject) []Finding {
	if missing := s.Missing(); len(missing) > 0 {
		return []Finding{fault("slapos node format needs "+strings.Join(missing, ", ")+", which are not on PATH", "install the package passwd (rpm: shadow-utils)")}
	}
	return nil
}

// space finds a disk on which nothing is built any longer.
func space(_ context.Context, s *Subject) (found []Finding) {
	for key, root := range map[string]string{"software_min_free_space": s.slapos["software_root"], "instance_min_free_space": s.slapos["instance_root"]} {
		required := int64(pass.DefaultMinFreeSpace)
		if text, given := s.slapos[key]; given {
			size, err := pass.ParseSize(text)
			if err != nil {
				continue // values says so
			}
			required = size
		}
		if root == "" {
			continue
		}
		if err := pass.CheckFreeSpace(root, required, key); err != nil {
			found = append(found, fault(err.Error(), "remove what isn't needed (slapos node prune), or give less in "+key))
		}
	}
	return found
}

// ipv6 finds an interface from which partitions get no addresses.
func ipv6(ctx context.Context, s *Subject) []Finding {
	option := func(key string) string { return cmp.Or(s.slapos[key], s.format[key]) }
	name := cmp.Or(option("ipv6_interface"), option("interface_name"))
	if s.format == nil || name == "" || strings.EqualFold(option("alter_network"), "false") || option("ipv6_local_network") != "" {
		return nil
	}
	const remedy = "name another one in interface_name or ipv6_interface"
	has, err := s.HasGlobalIPv6(ctx, name)
	switch {
	case err != nil:
		return []Finding{fault(err.Error(), remedy)}
	case !has:
		return []Finding{fault("interface "+name+" has no global IPv6 address, from which partitions get theirs", remedy+", or a network such as fd12:3456:789a::/48 in ipv6_local_network")}
	}
	return nil
}

// cgroups finds limits that nothing enforces.
func cgroups(_ context.Context, s *Subject) []Finding {
	for _, key := range []string{"memory_max", "cpu_weight", "pids_max"} {
		limit := cmp.Or(s.slapos[key], s.format[key])
		if limit == "" || limit == "max" {
			continue
		}
		if err := s.CGroups(); err != nil {
			return []Finding{warning(fmt.Sprintf("%s limits nothing: %v", key, err), "start the machine with control groups of version 2 (systemd.unified_cgroup_hierarchy=1)")}
		}
		return nil
	}
	return nil
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var gridMutations = []mutation{
	// What the agent does in directories of users.
	{
		"A file of a user that is read is a regular file", "grid/owned_root.go", "grid.TestOwnedRootRead",
		`	if !info.Mode().IsRegular() {
		return nil, nil, fmt`,
		`	if false {
		return nil, nil, fmt`,
	},
	{
		"Opening a file of a user waits for nobody", "grid/owned_root.go", "grid.TestOwnedRootRead",
		`os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err`,
		`os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err`,
	},
	{
		"A file of a user has a limit", "grid/owned_root.go", "grid.TestOwnedRootRead",
		`if err == nil && len(content) > maxFile {`,
		`if false {`,
	},
	{
		"No more of a file of a user is read than its limit", "grid/owned_root.go", "grid.TestOwnedRootReadsNoMore",
		`io.LimitReader(file, maxFile+1)`,
		`io.MultiReader(file)`,
	},
	{
		"A file that is told belongs to the partition", "grid/owned_root.go", "grid.TestOwnedRootRead",
		`if err == nil && !r.owns(info) {`,
		`if err == nil && info == nil {`,
	},
	{
		"What stands in the way of a new file goes", "grid/owned_root.go", "grid.TestOwnedRootWrite",
		`	if err := r.clear(temporary); err != nil {
		return err
	}
	file, err`,
		`	file, err`,
	},
	{
		"A file is whole or as it was", "grid/owned_root.go", "grid.TestOwnedRootWrite",
		`	if err == nil {
		err = r.rename(temporary, name)
	}`,
		`	if err == nil {
		err = r.root.Link(temporary, name)
	}`,
	},
	{
		"A new file has the mode that was asked for", "grid/owned_root.go", "grid.TestOwnedRootWrite",
		`err = file.Chmod(a.mode)`,
		`err = nil`,
	},
	{
		"A log is added to the user's own file", "grid/owned_root.go", "grid.TestOwnedRootAppend",
		`info.Mode().IsRegular() && r.owns(info) {`,
		`info.Mode().IsRegular() {`,
	},
	{
		"A log is added to a regular file", "grid/owned_root.go", "grid.TestOwnedRootAppend",
		`err == nil && info.Mode().IsRegular() && r.owns(info) {`,
		`err == nil && r.owns(info) {`,
	},
	{
		"A hard link is not given away", "grid/owned_root.go", "grid.TestOwnedRootGiveAway",
		`if isPlain && (!r.linksProtected || links(info) > 1) {`,
		`if false && isPlain {`,
	},
	{
		"A link is given away, not its target", "grid/owned_root.go", "grid.TestOwnedRootGiveAway",
		`unix.O_PATH|syscall.O_NOFOLLOW`,
		`unix.O_PATH`,
	},
	{
		"A user who swaps names gains nothing", "grid/owned_root.go", "grid.TestOwnedRootSwapping",
		`if isPlain && (!r.linksProtected || links(info) > 1) {`,
		`if isPlain && !r.linksProtected && false {`,
	},
	{
		"A directory of a user has a limit of entries", "grid/owned_root.go", "grid.TestOwnedRootManyEntries",
		`if len(entries) > maxEntries {`,
		`if false {`,
	},
	{
		"A directory of the agent is no link", "grid/owned_root.go", "grid.TestOwnedRootMakeDirectory",
		`if err == nil && !info.IsDir() {`,
		`if err == nil && info == nil {`,
	},
	{
		"A directory of a user is opened without following a way out", "slap/rooted/rooted.go", "grid.TestOwnedRootWrite",
		`file, err := r.Root.OpenFile(name, flag, mode)`,
		`file, err := os.OpenFile(filepath.Join(r.Name(), name), flag, mode)`,
	},
	{
		"A partition's name is one name", "grid/partition.go", "grid.TestInstancePassRefuses",
		`if name != filepath.Base(path) {`,
		`if false {`,
	},
	{
		"A partition of root is not processed", "promise/process/user.go", "promise/process.TestRunRefusals",
		`	if err := refuseRoot(uid, gid); err != nil {
		return nil, err
	}
	entry`,
		`	entry`,
	},
	{
		"A partition's directory has the mode 0750", "grid/partition_install.go", "grid.TestInstancePassRefuses",
		`mode != partitionMode {`,
		`false && mode != partitionMode {`,
	},
	{
		"A partition's key and certificate are its user's alone", "grid/partition_certificate.go", "grid.TestInstancePassCertificates",
		`wholefile.ExactMode(0o400)`,
		`wholefile.ExactMode(0o444)`,
	},
	{
		"A build's logins are no link to another user's", "grid/release_build.go", "grid.TestSoftwarePassNetrc",
		`fileOwner != uid && (!root.linksProtected || links(info) > 1) {`,
		`false && fileOwner != uid {`,
	},
	{
		"Firewall rules are read from the agent's own file", "grid/firewall_apply.go", "grid.TestFirewalldHostileFile",
		`uid != os.Geteuid() || links(info) > 1 {`,
		`uid == os.Getppid() {`,
	},
	{
		"Firewall rules are written as the agent writes them", "grid/firewall.go", "grid.TestParseFirewallRuleRefuses",
		` && rule.String() == text`,
		``,
	},
	{
		"Sources of firewall rules are addresses", "grid/firewall.go", "grid.TestParseFirewallRuleRefuses",
		`(rule.source == "" || isSource(rule.source))`,
		`true`,
	},
	{
		"A retention lock is a regular file", "grid/retention.go", "grid.TestRetentionHostileFiles",
		`err == nil && !info.Mode().IsRegular() {
		return 0`,
		`err == nil && info == nil {
		return 0`,
	},
	{
		"A retention lock that can't be read holds", "grid/retention.go", "grid.TestRetentionOver",
		`return 0, false, fmt.Errorf("retention lock`,
		`return 0, false, nil
		_ = fmt.Errorf("retention lock`,
	},
	{
		"Opening a partition's watched state waits for nobody", "grid/supervisor/watch.go", "grid/supervisor.TestWatchTraps",
		`os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW`,
		`os.O_RDONLY|unix.O_NOFOLLOW`,
	},
	{
		"The watchdog goes to partitions only", "grid/supervisor/watch.go", "grid/supervisor.TestWatch",
		`if partition == "" || partition != filepath.Base(partition) || !filepath.IsLocal(partition) {`,
		`if false {`,
	},
	{
		"A manager's request is a regular file", "manager/files.go", "manager.TestFilesStayInPartition",
		`if !information.Mode().IsRegular() {`,
		`if information == nil {`,
	},
	{
		"Opening a manager's request waits for nobody", "manager/files.go", "manager.TestRequestIsPipe",
		`os.O_RDONLY|syscall.O_NONBLOCK`,
		`os.O_RDONLY`,
	},
	{
		"A manager's request has a limit", "manager/files.go", "manager.TestFilesStayInPartition",
		`if len(content) > maxRequest {`,
		`if false {`,
	},
	{
		"No more of a manager's request is read than its limit", "manager/files.go", "manager.TestRequestIsEndless",
		`io.LimitReader(file, maxRequest+1)`,
		`io.MultiReader(file)`,
	},
	{
		"Partitions get allowed disks only", "manager/devperm.go", "manager.TestDevPerm",
		`if m.allowed != nil && !slices.Contains(m.allowed, disk) {`,
		`if false {`,
	},
	{
		"Partitions get disks only", "manager/devperm.go", "manager.TestDevPerm",
		`if !slices.Contains(devices, disk) {`,
		`if false {`,
	},
	{
		"A disk is what its path leads to", "manager/devperm.go", "manager.TestDevPerm",
		`filepath.EvalSymlinks(wanted)`,
		`filepath.Abs(wanted)`,
	},
	{
		"A firewall's whitelist ends with a refusal", "manager/whitelistfirewall.go", "manager.TestWhitelistFirewallSequences",
		`"0", "-j", "REJECT")`,
		`"0", "-j", "ACCEPT")`,
	},
	{
		"Addresses of a redirection have no zone", "manager/portredir.go", "manager.FuzzRedirections",
		`if err == nil && address.Zone() != "" {`,
		`if false {`,
	},
	{
		"A file of the collector in a partition is its own", "collect/monitor.go", "collect.TestMonitorHostile",
		`!info.Mode().IsRegular() || !ok || status.Nlink != 1 || int(status.Uid) != os.Geteuid() {`,
		`!ok || status == nil {`,
	},
	{
		"A file of the collector in a partition is a new one", "collect/monitor.go", "collect.TestMonitorHostile",
		`directory.Remove(temporary); err != nil &&`,
		`error(nil); err != nil &&`,
	},
	{
		"Folders are walked without following links", "collect/walk.go", "collect.TestFolderUse",
		`unix.Fstatat(j.directory, name, &status, unix.AT_SYMLINK_NOFOLLOW)`,
		`unix.Fstatat(j.directory, name, &status, 0)`,
	},
	{
		"A partition's further disks are its own", "collect/folder.go", "collect.TestFolderExtraDisks",
		`|| !trusted && target.Uid != owner ||`,
		`|| !trusted && false ||`,
	},
	{
		"A folder that is counted is no link", "collect/folder.go", "collect.TestFolderIsALink",
		`unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME`,
		`unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOATIME`,
	},
	{
		"A resource file is a new one", "format/state.go", "format.TestResourceFileIsConfined",
		`root.Remove(temporary); err != nil &&`,
		`error(nil); err != nil &&`,
	},
	{
		"A resource file is compared when it is a regular file", "format/state.go", "format.TestResourceFileIsAPipe",
		`os.O_RDONLY|syscall.O_NONBLOCK`,
		`os.O_RDONLY|syscall.O_CLOEXEC`,
	},
	{
		"A partition's directory is made with the mode 0750", "format/plan.go", "format.TestPlanOfFirstRun",
		`p.directory(path, 0o750,`,
		`p.directory(path, 0o755,`,
	},
	// Removing trees.
	{
		"Removal does not follow links", "grid/tree.go", "grid.TestOpenSubdirectory",
		`flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}`,
		`flags |= unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags)}`,
	},
	{
		"Removal does not cross mounts", "grid/tree.go", "grid.TestOpenSubdirectory",
		`unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV`,
		`unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS`,
	},
	{
		"Removal does not cross mounts on old kernels", "grid/tree.go", "grid.TestOpenSameDevice",
		`if status.Dev != above.Dev {`,
		`if false {`,
	},
	{
		"Removal returns to the directory it came from", "grid/tree.go", "grid.TestReopenParent",
		`if uint64(status.Dev) != parent.dev || status.Ino != parent.ino {`,
		`if false {`,
	},
	{
		"Removal takes a directory from its owner first", "grid/tree.go", "grid.TestSeize",
		`_ = unix.Fchown(fd, 0, -1)`,
		``,
	},
	{
		"Removal of a tree that is being filled has an end", "grid/tree.go", "grid.TestRemovalEnds",
		`if l.passes > removalPasses {`,
		`if false {`,
	},
	{
		"What is emptied is no link", "grid/tree.go", "grid.TestEmptyDirectory",
		`unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)`,
		`unix.O_DIRECTORY, 0)`,
	},
	{
		"Only a user's mount is detached", "grid/tree_mount.go", "grid.TestIsUserMount",
		`ok && user != "0" {`,
		`ok && user != "x" {`,
	},
	{
		"Pruning reads regular files", "grid/prune.go", "grid.TestPrune",
		`if !info.Mode().IsRegular() {`,
		`if info == nil {`,
	},
	{
		"Pruning keeps what it can't judge", "grid/prune.go", "grid.TestPruneKeepsWhatItCannotJudge",
		`if err := used.searchSoftware(ctx, directory); err != nil {`,
		`if err := used.searchSoftware(ctx, directory); err != nil && false {`,
	},
	{
		"A build's processes are told by their owner", "grid/buildout/exclusive.go", "grid/buildout.TestMarkedByOthers",
		`if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid {`,
		`if err != nil || info == nil {`,
	},
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var gridMutations = []mutation{
	// What the agent does in directories of users.
	{
		"A partition's name is a single name", "grid/partition/open.go", "grid/instance.TestPassRefusesPaths",
		`if !confined.IsName(name) || `,
		`if `,
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
		"A partition's directory has the mode 0750", "grid/instance/install.go", "grid/instance.TestPassRefuses",
		`mode != partitionMode {`,
		`false && mode != partitionMode {`,
	},
	{
		"Only its user can read a partition's key and certificate", "grid/partition/certificate.go", "grid/instance.TestPassCertificates",
		`wholefile.ExactMode(0o400)`,
		`wholefile.ExactMode(0o444)`,
	},
	{
		"A build's logins are not a link to another user's", "grid/software/build.go", "grid/software.TestPassNetrc",
		`fileOwner != uid && !root.IsOneName(info) {`,
		`false && fileOwner != uid {`,
	},
	{
		"Only its user can read a build's copy of logins", "grid/software/build.go", "grid/software.TestPassLogins",
		`confined.Attributes{Mode: 0o600, UID: r.root.UID`,
		`confined.Attributes{Mode: 0o644, UID: r.root.UID`,
	},
	{
		"Rules in a partition's file count for its own addresses", "grid/firewall/firewall.go", "grid/firewall.TestFirewalldForeignRules",
		`return !slices.Contains(own, rule.destination)`,
		`return false && !slices.Contains(own, rule.destination)`,
	},
	{
		"What was processed is noted by the agent", "grid/instance/timestamp.go", "grid/instance.TestPassTimestampOfUser",
		`string(noted) == wanted && isRecent`,
		`len(noted) > 0 && isRecent`,
	},
	{
		"A retention lock begins when destruction is requested", "grid/partition/retention.go", "grid/partition.TestRetentionIsNotMade",
		`if err := r.state.Write(r.dateNote(), []byte(date), confined.AgentFile); err != nil {
		return fmt`,
		`if err := error(nil); date == "" {
		return fmt`,
	},
	{
		"A retention lock has its noted length", "grid/partition/retention.go", "grid/partition.TestRetentionIsNotProlonged",
		`return min(number, noted), present, nil`,
		`return number, present, nil`,
	},
	{
		"The agent's notes are in its own directory", "grid/pass/state.go", "grid/pass.TestStateDirectory",
		`!info.IsDir() || uid != os.Geteuid() || info.Mode().Perm() != 0o700 {`,
		`!info.IsDir() && uid != os.Geteuid() {`,
	},
	{
		"Firewall rules are written as the agent writes them", "grid/firewall/rule.go", "grid/firewall.TestParseRuleRefuses",
		` && rule.String() == text`,
		``,
	},
	{
		"Sources of firewall rules are addresses", "grid/firewall/rule.go", "grid/firewall.TestParseRuleRefuses",
		`(rule.source == "" || isSource(rule.source))`,
		`true`,
	},
	{
		"A retention lock is a regular file", "grid/partition/retention.go", "grid/partition.TestRetentionHostileFiles",
		`err == nil && !info.Mode().IsRegular() {
		return 0`,
		`err == nil && info == nil {
		return 0`,
	},
	{
		"An unreadable retention lock holds", "grid/partition/retention.go", "grid/partition.TestRetentionOver",
		`return 0, false, fmt.Errorf("retention lock`,
		`return 0, false, nil
		_ = fmt.Errorf("retention lock`,
	},
	{
		"The watchdog only writes into partitions", "grid/supervisor/watch.go", "grid/supervisor.TestWatch",
		`if partition == "" || partition != filepath.Base(partition) || !filepath.IsLocal(partition) {`,
		`if false {`,
	},
	{
		"The watchdog shows only timestamps", "grid/supervisor/watch.go", "grid/supervisor.TestWatch",
		` || len(data) > maximumTimestamp {`,
		` {`,
	},
	{
		"Partitions only get allowed disks", "manager/devperm.go", "manager.TestDevPerm",
		`if m.allowed != nil && !slices.Contains(m.allowed, disk) {`,
		`if false {`,
	},
	{
		"Partitions only get disks", "manager/devperm.go", "manager.TestDevPerm",
		`if !slices.Contains(devices, disk) {`,
		`if false {`,
	},
	{
		"A disk is the target of its path", "manager/devperm.go", "manager.TestDevPerm",
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
		"Folders are walked without following links", "collect/walk.go", "collect.TestFolderUse",
		`unix.Fstatat(j.directory, name, &status, unix.AT_SYMLINK_NOFOLLOW)`,
		`unix.Fstatat(j.directory, name, &status, 0)`,
	},
	{
		"A partition's additional disks are its own", "collect/folder.go", "collect.TestFolderExtraDisks",
		`|| !trusted && target.Uid != owner ||`,
		`|| !trusted && false ||`,
	},
	{
		"A counted folder is not a link", "collect/folder.go", "collect.TestFolderIsALink",
		`unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME`,
		`unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOATIME`,
	},
	{
		"A partition's directory is made with the mode 0750", "format/plan.go", "format.TestPlanOfFirstRun",
		`makeDirectory{path: path, mode: 0o750}`,
		`makeDirectory{path: path, mode: 0o755}`,
	},
	{
		"Only root can read the directory of certificates", "format/plan.go", "format.TestCertificateRepositoryIsPrivate",
		`certificatesMode fs.FileMode = 0o700`,
		`certificatesMode fs.FileMode = 0o755`,
	},
	{
		"Root's account is left alone", "format/plan.go", "format.TestSharedUsers",
		`if user.Name == "root" ||`,
		`if user.Name == "" ||`,
	},
	// Removing trees.
	{
		"Pruning reads regular files", "grid/parts/parts.go", "grid/prune.TestPruneOpensFilesOnly",
		`handle, err := os.OpenFile(path, unix.O_PATH, 0)`,
		`handle, err := os.OpenFile(path, unix.O_NONBLOCK, 0)`,
	},
	{
		"Pruning looks with the rights of users", "grid/parts/owner.go", "grid/prune.TestPruneWithRights",
		`	if os.Geteuid() != 0 || uid == 0 {`,
		`	if os.Geteuid() != 0 || uid != 29993 {`,
	},
	{
		"What one user can't see another may", "grid/prune/nested.go", "grid/prune.TestPruneWithRights",
		`	place := fmt.Sprint(kind, uid, resolved)`,
		`	place := fmt.Sprint(kind, resolved)`,
	},
	{
		"A release is searched as its builder", "grid/parts/owner.go", "grid/prune.TestPruneReleaseWithRights",
		`	return As(uid, work)`,
		`	return As(0*uid, work)`,
	},
	{
		"A script of a destruction is looked up as its user", "grid/report/destroy.go", "grid/report.TestDestroyScriptIsLookedUpAsUser",
		`	err = rights.Do(func() error {
		info, err := os.Stat(p.Root.Join(destroyScript))
		there = err == nil && info.Mode().IsRegular()
		if confined.IsAbsent(err) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return err
	})
	return there, err`,
		`	info, err := os.Stat(p.Root.Join(destroyScript))
	there = err == nil && info.Mode().IsRegular()
	if confined.IsAbsent(err) || errors.Is(err, fs.ErrPermission) {
		err = nil
	}
	return there, err`,
	},
	{
		"Pruning keeps what it can't judge", "grid/prune/prune.go", "grid/prune.TestPruneKeepsWhatItCannotJudge",
		`func() error { return used.Software(ctx, directory) }`,
		`func() error { _ = used.Software(ctx, directory); return nil }`,
	},
	{
		"A build's lock is out of its user's reach", "grid/buildout/exclusive.go", "grid/buildout.TestBeginIgnoresOtherLocks",
		`os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)`,
		`os.Open(b.Directory)`,
	},
	{
		"A wait for another build ends", "grid/buildout/exclusive.go", "grid/buildout.TestBeginWaitsForAWhile",
		`if time.Since(begun) >= patience {`,
		`if time.Since(begun) < 0 {`,
	},
	{
		"Root's git runs only where root alone leads to", "grid/buildout/profile.go", "grid/buildout.TestGitRevisionBehindLinks",
		`		if directory == "/" {
			return uid, found`,
		`		if found || directory == "/" {
			return uid, found`,
	},
	{
		"Root's git runs as the repository's owner", "grid/buildout/profile.go", "grid/buildout.TestGitRevisionOfStrangers",
		`		if uid != 0 {
			if command.User`,
		`		if false {
			if command.User`,
	},
	{
		"A repository of several users has no owner", "grid/buildout/profile.go", "grid/buildout.TestGitRevisionOfStrangers",
		`		case uid != 0:
			return false`,
		`		case false:
			return false`,
	},
	{
		"A release is on disk before its mark", "grid/software/complete.go", "grid/software.TestSyncOrder",
		`if err := r.root.SyncAll(); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"A partition is on disk before its timestamp", "grid/instance/timestamp.go", "grid/instance.TestSyncOrder",
		`if err := d.Root.SyncAll(); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"A reused process number is not an agent", "grid/pass/pidfile.go", "grid/pass.TestPIDFileOfStrangers",
		`if uid, _ := confined.Owner(info); uid != os.Geteuid() {`,
		`if uid, _ := confined.Owner(info); uid < 0 {`,
	},
	{
		"A younger process is not an agent", "grid/pass/pidfile.go", "grid/pass.TestPIDFileOfAReusedNumber",
		` && !clock.BeganAfter(pid, written) {`,
		` && !clock.BeganAfter(0, written) {`,
	},
	{
		"A younger process is not a supervisor", "grid/supervisor/daemon/pidfile.go", "grid/supervisor/daemon.TestPIDFileOfAReusedNumber",
		`if info, err := file.Stat(); err != nil || clock.BeganAfter(number, info.ModTime()) {`,
		`if info, err := file.Stat(); err != nil || clock.BeganAfter(0, info.ModTime()) {`,
	},
	{
		"A younger process is not a collector", "collect/folder.go", "collect.TestClaimOfAReusedNumber",
		`!clock.BeganAfter(pid, modified(path))`,
		`!clock.BeganAfter(0, modified(path))`,
	},
	{
		"A boot goes on without what can't be formatted", "grid/boot/boot.go", "grid/boot.TestBootGoesOn",
		`		case errors.As(err, &partly):`,
		`		case errors.As(err, &partly) && ctx.Err() != nil:`,
	},
	{
		"A boot removes timestamps where partitions are", "grid/boot/boot.go", "grid/boot.TestBootGoesOn",
		`	directory, err := place.Open(name, confined.Anybody)`,
		`	root, err := confined.OpenRoot(place.Path(name))
	directory := &confined.Directory{Root: root}`,
	},
	{
		"The collector's lock is out of others' reach", "collect/lock.go", "collect.TestLockOfStrangers",
		`os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)`,
		`os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)`,
	},
	{
		"A wait for another collector ends", "collect/lock.go", "collect.TestLockWaitsForAWhile",
		`if time.Since(begun) >= patience {`,
		`if time.Since(begun) < 0 {`,
	},
	{
		"A build's processes are recognized by their owner", "grid/buildout/exclusive.go", "grid/buildout.TestMarked",
		`if owner != uid && !begins {`,
		`if owner != uid && !begins && false {`,
	},
	{
		"Instances get their own release's profile", "grid/instance/releases.go", "grid/instance.TestPassReleaseExchanged",
		`return place.Open(filepath.Base(release), place.UID)`,
		`release, _ = filepath.EvalSymlinks(release)
	_ = place
	return confined.Open(release)`,
	},
	{
		"A release is built as the owner of all releases", "grid/software/release.go", "grid/software.TestPassReleaseExchanged",
		`	r.root, err = r.place.Open(r.name, r.place.UID)`,
		`	r.root, err = r.place.Open(r.name, confined.Anybody)`,
	},
	{
		"What is uploaded is in its place", "grid/software/upload.go", "grid/software.TestOpenPacked",
		`directory, err := confined.OpenBelow(place, name)`,
		`path, _ = filepath.EvalSymlinks(path)
			directory, err := confined.Open(path)`,
	},
	{
		"A partition's log is rotated while it grows", "grid/instance/log.go", "grid/instance.TestInstanceLogIsBounded",
		`	if l.file != nil && l.size >= maxInstanceLog {`,
		`	if l.file != nil && l.size < 0 {`,
	},
	{
		"A place for downloaded parts is made where root alone can reach it", "grid/software/parts.go", "grid/software.TestOpenParts",
		`		if err := place.Make(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {`,
		`		err = os.Mkdir(place.Path(name), 0o755)
		_ = os.Lchown(place.Path(name), place.UID, place.GID)
		if err != nil && !errors.Is(err, fs.ErrExist) {`,
	},
	{
		"A place for downloaded parts belongs to their owner", "grid/software/parts.go", "grid/software.TestOpenParts",
		`place.Open(name, place.UID)`,
		`place.Open(name, confined.Anybody)`,
	},
	{
		"The supervisor's directories are not partitions", "grid/partition/open.go", "grid/instance.TestLyingMaster",
		`if !confined.IsName(name) || supervisor.IsLayout(name) {`,
		`if !confined.IsName(name) || supervisor.IsLayout(name) && name == "" {`,
	},
	{
		"Root's directory is not a partition", "grid/partition/open.go", "grid/instance.TestLyingMaster",
		`if os.Geteuid() == 0 && root.UID == 0 {`,
		`if os.Geteuid() < 0 && root.UID == 0 {`,
	},
	{
		"Pruning removes nothing through a link", "grid/prune/prune.go", "grid/prune.TestPruneLinks",
		`if err := confined.RemoveBelow(ctx, options.SharedRoot, name); err != nil {`,
		`_ = name
	if err := confined.Remove(ctx, part); err != nil {`,
	},
	{
		"Scripts before a removal are looked up as their user", "manager/prerm.go", "manager.TestPreRemoveLink",
		`_ = rights.Do(func() error {`,
		`_ = func(task func() error) error { return task() }(func() error {`,
	},
	{
		"Promises run in the opened directory", "promise/files.go", "promise.TestPartitionExchanged",
		`opened, err := rights.OpenSame(directory)`,
		`opened, err := rights.Open(directory.Name())`,
	},
	{
		"A child starts in the opened directory", "promise/process/streams.go", "promise/process.TestRunInOpened",
		`cmd.ExtraFiles[directoryPlace], start.Entered = directory, firstExtra+directoryPlace`,
		`start.Directory = c.In.Name()`,
	},
	{
		"The agent doesn't wait for what a child opens", "promise/process/process.go", "promise/process.TestStartWaits",
		`cmd.Args, cmd.Env = start.Command()`,
		`cmd.Path, cmd.Args, cmd.Env = start.Path, start.Args, start.Env`,
	},
	{
		"The supervisor doesn't wait for what a program opens", "grid/supervisor/daemon/slice.go", "grid/supervisor.TestStartWaits",
		`pid, err = syscall.ForkExec(child.Program, args, attributes)`,
		`pid, err = syscall.ForkExec(child.Program[:0]+args[3], args[4:], attributes)`,
	},
	{
		"Nothing reads a program's variables before it", "slap/child/child.go", "slap/child.TestStart",
		`const mark = "+"`,
		`const mark = ""`,
	},
	{
		"A child becomes its user before it enters a directory", "slap/child/stage.go", "slap/child.TestUser",
		`if s.User != nil {
		if errno`,
		`if s.User != nil {
		_ = syscall.Fchdir(s.Entered)
		s.Entered = 0
		if errno`,
	},
	{
		"A child has no groups of ours", "slap/child/stage.go", "slap/child.TestUser",
		`uintptr(len(user.Groups)), uintptr(groups), 0); errno != 0`,
		`0, uintptr(groups), 0); errno != 0 && groups == nil`,
	},
}

// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var runMutations = []mutation{
	// Processes of partitions and builds.
	{
		"A child becomes the partition's user", "promise/process/process.go", "promise/process.TestCredential",
		`start.User, err = c.User.credential()`,
		`_, err = c.User.credential()`,
	},
	{
		"Nothing runs for a partition that root owns", "promise/process/user.go", "promise/process.TestCredential",
		`func (u *User) credential() (*syscall.Credential, error) {
	if err := refuseRoot(u.UID, u.GID); err != nil {`,
		`func (u *User) credential() (*syscall.Credential, error) {
	if err := error(nil); err != nil {`,
	},
	{
		"Root's group counts as root, too", "promise/process/user.go", "promise/process.TestCredential",
		`if os.Geteuid() == 0 && (uid == 0 || gid == 0) {`,
		`if os.Geteuid() == 0 && uid == 0 {`,
	},
	{
		"A child has only its user's groups", "promise/process/user.go", "promise/process.TestCredential",
		`Gid: uint32(u.GID), Groups: groups}, nil`,
		`Gid: uint32(u.GID), Groups: append(groups, 0)}, nil`,
	},
	{
		"A child's groups are set", "promise/process/user.go", "promise/process.TestCredential",
		`Gid: uint32(u.GID), Groups: groups}, nil`,
		`Gid: uint32(u.GID), Groups: groups, NoSetGroups: true}, nil`,
	},
	{
		"The owner of what root runs is known", "promise/process/user.go", "promise/process.TestRunRefusals",
		`	if err := refuseRoot(uid, gid); err != nil {
		return nil, err
	}
	entry`,
		`	entry`,
	},
	{
		"A child has a clean environment", "promise/process/user.go", "promise/process.TestCleanEnvironment",
		`&& !slices.Contains(removedVariables, name) {`,
		`{`,
	},
	{
		"A child's home is its user's", "promise/process/user.go", "promise/process.TestCleanEnvironment",
		`if name != "HOME" && name`,
		`if name`,
	},
	{
		"A child never inherits the environment by accident", "slap/child/child.go", "promise/process.TestCredential",
		`env = make([]string, 0, len(s.Env))`,
		`env = nil`,
	},
	{
		"A child has no descriptor of the agent", "promise/process/process.go", "promise/process.TestNoInheritedDescriptors",
		`syscall.CloseOnExec(fd)`,
		`_ = fd`,
	},
	{
		"Commands inherit no descriptor of their caller", "cmd/slapos/main.go", "cmd/slapos.TestKeepDescriptorsFromChildren",
		`if unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {`,
		`if true {`,
	},
	{
		"A child's umask is its own", "promise/process/process.go", "promise/process.TestUmaskIsTheChildsOnly",
		`if c.Umask != 0 {`,
		`if false {`,
	},
	{
		"A child has its own session", "promise/process/process.go", "promise/process.TestCredential",
		`&syscall.SysProcAttr{Setsid: !c.Terminal}`,
		`&syscall.SysProcAttr{}`,
	},
	{
		"A child's time is limited", "promise/process/process.go", "promise/process.TestTimeoutKillsTree",
		`expired = timer.C`,
		`_ = timer.C`,
	},
	{
		"A child's descendants end with it", "promise/process/process.go", "promise/process.TestTimeoutKillsTree",
		`killSession(pid)`,
		`_ = unix.Kill(pid, unix.SIGKILL)`,
	},
	{
		"Orphans of a child end with it", "promise/process/process.go", "promise/process.TestTimeoutKillsTree",
		`killSession(pid)`,
		`killTree(pid)`,
	},
	{
		"A child that ignores SIGTERM is killed", "promise/process/tree.go", "promise/process.TestTimeoutKillsTree",
		`	_ = unix.Kill(t.root, unix.SIGKILL)
`,
		`	_ = unix.Kill(t.root, unix.SIGTERM)
`,
	},
	{
		"A background process doesn't delay the end", "promise/process/output.go", "promise/process.TestBackgroundGrandchild",
		`_ = o.readEnd.SetReadDeadline(time.Unix(1, 0)) // ends the wait of read`,
		`_ = time.Unix(1, 0) // ends the wait of read`,
	},
	{
		"A promise's background processes end with it", "promise/process/process.go", "promise/process.TestLeftovers",
		`		c.endLeftovers(pid)
`,
		`		orphans.leave(c.uid())
`,
	},
	{
		"Processes outside their promise's session end with it", "promise/process/leftovers.go", "promise/process.TestLeftovers",
		`unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)`,
		`unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)`,
	},
	{
		"The kept output is limited", "promise/process/output.go", "promise/process.TestOutputMemory",
		`if len(o.tail) > 2*o.keep+maxLine {`,
		`if false {`,
	},
	{
		"A line of output is limited", "promise/process/output.go", "promise/process.TestFloodIsBounded",
		`for len(o.partial) > o.maxLine {`,
		`for false {`,
	},
	{
		"The output of builds is limited", "promise/process/limit.go", "grid/buildout.TestOutputIsLimited",
		`passed > limit {`,
		`passed > limit && false {`,
	},
	{
		"Output begins no line of the log", "grid/pass/printable.go", "grid/pass.TestPrintable",
		`if strings.Contains(text, "\n") {`,
		`if text == "" {`,
	},
	{
		"Control characters are written as text", "grid/pass/printable.go", "grid/pass.TestPrintable",
		`unicode.IsControl(r) && r != '\n'`,
		`r == 0 && unicode.IsControl(r) && r != '\n'`,
	},
	{
		"The output of promises is limited", "promise/plugin.go", "promise.TestPrintedIsLimited",
		`	if d.printed > maxDriverLog {
		return
	}`,
		``,
	},
	{
		"A promise can't forge lines of the log", "promise/plugin.go", "promise.TestParseRecord",
		`|| strings.ContainsFunc(r.Logger, unicode.IsControl) {`,
		`|| false && unicode.IsControl(0) {`,
	},
	{
		"Files of promises are read and written as their user", "slap/confined/rights.go", "promise.TestFilesAsUser",
		`	_, _ = unix.SetfsuidRetUid(uid)
`,
		`	uid = 0
`,
	},
	{
		"Files of promises are read and written with their user's groups", "slap/confined/rights.go", "promise.TestFilesHaveTheUsersGroups",
		`unix.RawSyscall(unix.SYS_SETGROUPS,`,
		`unix.RawSyscall(unix.SYS_GETPID,`,
	},
	{
		"A failure to take a user's file access is an error", "slap/confined/rights.go", "promise.TestFilesHaveTheUsersGroups",
		`if gotUID != uid || gotGID != gid {`,
		`if gotUID == -2 && gotGID == -2 {`,
	},
	{
		"State files of promises are limited", "slap/confined/directory.go", "promise.TestFilesAreLimited",
		`io.LimitReader(file, MaxFile+1)`,
		`io.MultiReader(file)`,
	},
	{
		"A state file of a promise is a regular file", "slap/confined/directory.go", "promise.TestFilesAreLimited",
		`if err == nil && !info.Mode().IsRegular() {`,
		`if false {`,
	},
	{
		"Opening a promise's state file never blocks", "slap/confined/directory.go", "promise.TestFilesAreLimited",
		`flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o666)`,
		`flags|syscall.O_NOCTTY, 0o666)`,
	},
	{
		"A promise's state file is a new file", "slap/confined/write.go", "promise.TestFilesAreLimited",
		`const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL`,
		`const flags = os.O_WRONLY | os.O_CREATE`,
	},
	{
		"The entries of promises' directories are limited", "promise/files.go", "promise.TestFilesAreLimited",
		`	if more {
`,
		`	if false && more {
`,
	},
	{
		"State directories of others are not given away", "slap/confined/give.go", "slap/confined.TestGivePath",
		`if status.Uid != 0 {`,
		`if false {`,
	},
	{
		"State directories behind links are not given away", "slap/confined/give.go", "slap/confined.TestGivePath",
		`openBeneath(fd, part, unix.O_RDONLY|unix.O_DIRECTORY)`,
		`unix.Openat(fd, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)`,
	},
	{
		"State directories that only root can list are not given away", "slap/confined/give.go", "slap/confined.TestGivePath",
		`if status.Mode&0o005 != 0o005 && !isEmpty(fd) {`,
		`if false {`,
	},
	{
		"State directories that are mounted are not given away", "slap/confined/give.go", "slap/confined.TestGivePathOfMount",
		`fd, err = openBeneath(fd, part, unix.O_RDONLY|unix.O_DIRECTORY)`,
		`fd, err = unix.Openat(fd, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)`,
	},
	{
		"Promises of root are not run", "promise/promise.go", "promise.TestRefusals",
		`if err != nil && os.Geteuid() != 0 {`,
		`if err != nil {`,
	},
	// The supervisor.
	{
		"Services run as the partition's user", "grid/supervisor/daemon/spawn.go", "grid/supervisor.TestUser",
		`Env: p.variables(), User: credential,`,
		`Env: p.variables(), User: map[bool]*syscall.Credential{true: credential}[false],`,
	},
	{
		"Services have only their user's groups", "grid/supervisor/daemon/spawn.go", "grid/supervisor.TestUser",
		`	credential.Groups = []uint32{credential.Gid}
	for`,
		`	credential.Groups = []uint32{credential.Gid, 0}
	for`,
	},
	{
		"Services have no descriptor of the supervisor", "grid/supervisor/daemon/spawn.go", "grid/supervisor.TestChildren",
		`Files: []uintptr{uintptr(pipes.stdin), uintptr(pipes.stdout), uintptr(pipes.stderr)},`,
		`Files: []uintptr{uintptr(pipes.stdin), uintptr(pipes.stdout), uintptr(pipes.stderr), uintptr(pipes.stdout)},`,
	},
	{
		"Services have their own process group", "grid/supervisor/daemon/spawn.go", "grid/supervisor.TestChildren",
		`Setpgid: true, PidFD`,
		`PidFD`,
	},
	{
		"The supervisor has an empty environment", "grid/supervisor/launch.go", "grid/supervisor.TestLaunch",
		`command.Env = []string{}`,
		`_ = command`,
	},
	{
		"The supervisor's socket is never open to others", "grid/supervisor/daemon/listen.go", "grid/supervisor.TestHTTP",
		`umask := syscall.Umask(0o777 &^ int(c.Mode))`,
		`umask := syscall.Umask(0)`,
	},
	{
		"The supervisor's socket replaces no other file", "grid/supervisor/daemon/listen.go", "grid/supervisor.TestSocketObstructed",
		`if info, err := os.Lstat(c.Socket); err == nil && info.Mode().Type() == os.ModeSocket {`,
		`if info, err := os.Lstat(c.Socket); err == nil && info != nil {`,
	},
	{
		"The supervisor's password is compared", "grid/supervisor/daemon/http.go", "grid/supervisor.TestHTTP",
		`case !s.authenticated(request):`,
		`case false:`,
	},
	{
		"A request to the supervisor is limited", "grid/supervisor/daemon/http.go", "grid/supervisor.TestRequestIsLimited",
		`limited.N = maximumRequest`,
		`limited.N = 1 << 62`,
	},
	{
		"The depth of XML-RPC values is limited", "grid/supervisor/xmlrpc/decode.go", "grid/supervisor/xmlrpc.TestDepth",
		`if d.depth++; d.depth > maximumDepth {`,
		`if d.depth++; false {`,
	},
	{
		"Input that waits for a process is limited", "grid/supervisor/daemon/input.go", "grid/supervisor.TestInput",
		`waiting+len(text) > maximumWaiting {`,
		`false && waiting > 0 {`,
	},
	{
		"A log in a partition is not a link", "grid/supervisor/daemon/logfile.go", "grid/supervisor.TestLogTraps",
		`	trusted := isTrusted(stat)
	var fd int`,
		`	trusted := true
	var fd int`,
	},
	{
		"A log in a partition is a regular file with one name", "grid/supervisor/daemon/logfile.go", "grid/supervisor.TestLogTraps",
		`	if err = unix.Fstat(fd, &file); err == nil && !trusted {`,
		`	if err = unix.Fstat(fd, &file); err == nil && trusted {`,
	},
	{
		"A log with other names is not written", "grid/supervisor/daemon/logfile.go", "grid/supervisor.TestLogTraps",
		`case file.Nlink != 1:`,
		`case false:`,
	},
	{
		"A log belongs to its directory's owner", "grid/supervisor/daemon/logfile.go", "grid/supervisor/daemon.TestCheckFile",
		`case int(file.Uid) != os.Geteuid() && file.Uid != directory.Uid:`,
		`case false:`,
	},
	{
		"A service's log belongs to its user", "grid/supervisor/daemon/logfile.go", "grid/supervisor/daemon.TestLogIsItsUsers",
		`if err = unix.Fchown(fd, int(owner.Uid), int(owner.Gid)); err != nil {`,
		`if err != nil {`,
	},
	{
		"Root's file is not a service's log", "grid/supervisor/daemon/logfile.go", "grid/supervisor/daemon.TestLogIsItsUsers",
		`|| !foreign || int(file.Uid) != os.Geteuid() {`,
		`|| true {`,
	},
	{
		"A shown log is not a link", "grid/supervisor/daemon/logfile.go", "grid/supervisor/daemon.TestOpenForReading",
		`	if !isTrusted(stat) {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(directory, filepath.Base(path), flags, 0)`,
		`	fd, err := unix.Openat(directory, filepath.Base(path), flags, 0)`,
	},
	{
		"A directory that others can write to is not trusted", "grid/supervisor/daemon/logfile.go", "grid/supervisor.TestLogTraps",
		`(int(directory.Uid) == os.Geteuid() || directory.Uid == 0) && directory.Mode&0o022 == 0`,
		`(int(directory.Uid) == os.Geteuid() || directory.Uid == 0)`,
	},
	{
		"Only its user's process is taken for a service", "grid/supervisor/daemon/adopt.go", "grid/supervisor.TestAdoptionDistrust",
		`if err != nil || !runsAs(status, p.uid()) && !(begins && runsAs(status, os.Geteuid())) {`,
		`if err != nil || !begins && status == nil {`,
	},
	{
		"Names of a partition's files can't add to the supervisor's configuration", "grid/supervisor/partition.go", "grid/supervisor.TestHostileNames",
		`if !fitName(p.Name) || strings.ContainsAny(p.Command, "\n\r") ||`,
		`if strings.ContainsAny(p.Command, "\n\r") ||`,
	},
	{
		"A group's file belongs to its partition", "grid/supervisor/partition.go", "grid/supervisor.TestWriteGroup",
		`if group.Name != id && !strings.HasPrefix(group.Name, id+"-") {`,
		`if false {`,
	},
	{
		"No value adds a line to the supervisor's configuration", "grid/supervisor/layout.go", "grid/supervisor.TestWriteConfiguration",
		`if strings.ContainsAny(value, "\n\r") {`,
		`if false {`,
	},
	{
		"Only its user can read the supervisor's configuration", "grid/supervisor/layout.go", "grid/supervisor.TestWriteConfiguration",
		`wholefile.Write(path, content, 0o600, wholefile.IgnoresUmask())`,
		`wholefile.Write(path, content, 0o644, wholefile.IgnoresUmask())`,
	},
	{
		"Only its user can access the supervisor's directories", "grid/supervisor/layout.go", "grid/supervisor.TestWriteConfiguration",
		`{"etc/supervisord.conf.d", 0o700},`,
		`{"etc/supervisord.conf.d", 0o755},`,
	},
	{
		"Only root and its user upgrade the supervisor", "grid/supervisor/daemon/upgrade.go", "grid/supervisor.TestUpgradeIsItsUsers",
		`if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {`,
		`if peer == nil {`,
	},
	{
		"The supervisor is not upgraded over a network", "grid/supervisor/daemon/upgrade.go", "grid/supervisor.TestUpgradeIsItsUsers",
		`	if !local {
		return errors.New`,
		`	if !local {
		return nil
		return errors.New`,
	},
	{
		"The supervisor becomes no program of another user", "grid/supervisor/daemon/upgrade.go", "grid/supervisor.TestUpgradeRefused",
		`case file.Uid != 0 && int(file.Uid) != os.Geteuid():`,
		`case false:`,
	},
	{
		"The supervisor becomes no program that others can write", "grid/supervisor/daemon/upgrade.go", "grid/supervisor.TestUpgradeRefused",
		`case file.Mode&0o022 != 0:`,
		`case false:`,
	},
	{
		"The supervisor becomes no program in a directory of others", "grid/supervisor/daemon/upgrade.go", "grid/supervisor.TestUpgradeRefused",
		`case !isTrusted(above):`,
		`case above == nil:`,
	},
	{
		"The supervisor's state has no name", "grid/supervisor/daemon/handover.go", "grid/supervisor/daemon.TestHandoverIsPrivate",
		`unix.MemfdCreate("supervisord", unix.MFD_CLOEXEC)`,
		`unix.Open(os.TempDir()+"/supervisord.state", unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)`,
	},
	{
		"The supervisor takes over only its own state", "grid/supervisor/daemon/takeover.go", "grid/supervisor/daemon.TestHandoverIsPrivate",
		`h.PID != os.Getpid()`,
		`h.PID < 0`,
	},
}

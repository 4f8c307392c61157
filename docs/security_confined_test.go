// SPDX-License-Identifier: GPL-3.0-or-later

package docs_test

var confinedMutations = []mutation{
	// How directories and files of others are reached.
	{
		"Only regular files of a user are read", "slap/confined/directory.go", "slap/confined.TestRead",
		`if err == nil && !info.Mode().IsRegular() {`,
		`if false {`,
	},
	{
		"Opening a user's file never blocks", "slap/confined/directory.go", "slap/confined.TestRead",
		`flags|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0o666)`,
		`flags|syscall.O_NOCTTY, 0o666)`,
	},
	{
		"A user's file is limited", "slap/confined/directory.go", "slap/confined.TestRead",
		`if err == nil && len(content) > MaxFile {`,
		`if false {`,
	},
	{
		"A user's file is read only up to its limit", "slap/confined/directory.go", "slap/confined.TestReadsNoMore",
		`io.LimitReader(file, MaxFile+1)`,
		`io.MultiReader(file)`,
	},
	{
		"A file that is shown belongs to the partition", "slap/confined/directory.go", "slap/confined.TestRead",
		`if err == nil && !d.Owns(info) {`,
		`if err == nil && info == nil {`,
	},
	{
		"An obstacle to a new file is removed", "slap/confined/write.go", "slap/confined.TestWrite",
		`	if err := d.Clear(name); err != nil {
		return nil, err
	}
	return d.OpenFile(name, flags, mode)`,
		`	return d.OpenFile(name, flags, mode)`,
	},
	{
		"A file is replaced whole or not at all", "slap/confined/write.go", "slap/confined.TestWrite",
		`		err = d.Rename(temporary, name)
`,
		`		err = d.Root.Link(temporary, name)
`,
	},
	{
		"A new file has the requested mode", "slap/confined/write.go", "slap/confined.TestWrite",
		`return file.Chmod(a.Mode)`,
		`return nil`,
	},
	{
		"A log is appended only to the user's own file", "slap/confined/write.go", "slap/confined.TestAppend",
		`info.Mode().IsRegular() && d.Owns(info) {`,
		`info.Mode().IsRegular() {`,
	},
	{
		"A hard link is not given away", "slap/confined/give.go", "slap/confined.TestGiveAway",
		`if isPlain && !d.IsOneName(info) {`,
		`if false && isPlain {`,
	},
	{
		"What only root can read is not given away", "slap/confined/give.go", "slap/confined.TestGiveAway",
		`uid == 0 && !isOpen(info.Mode()) {`,
		`uid < 0 && !isOpen(info.Mode()) {`,
	},
	{
		"A user who swaps names gains nothing", "slap/confined/give.go", "slap/confined.TestSwapping",
		`if isPlain && !d.IsOneName(info) {`,
		`if false && isPlain {`,
	},
	{
		"The entries of a user's directory are limited", "slap/confined/directory.go", "slap/confined.TestManyEntries",
		`	if more {
		return nil, fmt`,
		`	if false && more {
		return nil, fmt`,
	},
	{
		"A directory of the agent is not a link", "slap/confined/write.go", "slap/confined.TestMakeDirectory",
		`if !info.IsDir() {`,
		`if info == nil {`,
	},
	{
		"No path in a user's directory leads out", "slap/confined/root.go", "slap/confined.TestRootIsNotLeft",
		`file, err := r.Root.OpenFile(name, flag, mode)`,
		`file, err := os.OpenFile(filepath.Join(r.Name(), name), flag, mode)`,
	},
	{
		"The agent's own file isn't somebody else's with a removed name", "slap/confined/sole.go", "slap/confined.TestOpenSoleAttack",
		`err != nil || d.linksProtected {`,
		`err != nil || true {`,
	},
	{
		"The collector only writes its own files in a partition", "slap/confined/sole.go", "collect.TestMonitorHostile",
		`case Links(info) != 1:`,
		`case Links(info) == 0:`,
	},
	{
		"Removal does not follow links", "slap/confined/remove.go", "slap/confined.TestOpenSubdirectory",
		`flags |= unix.O_NOFOLLOW | unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}`,
		`flags |= unix.O_CLOEXEC
	how := unix.OpenHow{Flags: uint64(flags)}`,
	},
	{
		"Removal does not cross mounts", "slap/confined/remove.go", "slap/confined.TestOpenSubdirectory",
		`unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV`,
		`unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS`,
	},
	{
		"Removal does not cross mounts on old kernels", "slap/confined/remove.go", "slap/confined.TestOpenSameDevice",
		`if status.Dev != above.Dev {`,
		`if false {`,
	},
	{
		"Removal returns to the directory it came from", "slap/confined/remove.go", "slap/confined.TestReopenParent",
		`if uint64(status.Dev) != parent.dev || status.Ino != parent.ino {`,
		`if false {`,
	},
	{
		"Removal takes a directory from its owner first", "slap/confined/remove.go", "slap/confined.TestSeize",
		`_ = unix.Fchown(fd, 0, -1)`,
		``,
	},
	{
		"Removal of a tree that is being filled ends", "slap/confined/remove.go", "slap/confined.TestRemovalEnds",
		`if l.passes > removalPasses {`,
		`if false {`,
	},
	{
		"Removal of what is in place of a file is limited in time", "slap/confined/write.go", "slap/confined.TestClearEnds",
		`context.WithTimeout(context.Background(), d.clearTime)`,
		`context.WithCancel(context.Background())`,
	},
	{
		"What is emptied is not a link", "slap/confined/remove.go", "slap/confined.TestEmpty",
		`unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)`,
		`unix.O_DIRECTORY, 0)`,
	},
	{
		"Only a user's mount is detached", "slap/confined/mount.go", "slap/confined.TestIsUserMount",
		`ok && user != "0" {`,
		`ok && user != "x" {`,
	},
	{
		"The name of a replaced file is on disk", "slap/confined/write.go", "grid/instance.TestSyncOrder",
		`return d.syncNames(path.Dir(name))`,
		`return nil`,
	},
	{
		"A temporary file is written by its descriptor", "slap/wholefile/wholefile.go", "slap/wholefile.TestTemporaryExchanged",
		`	if _, err := file.Write(content); err != nil {`,
		`	if err := os.WriteFile(file.Name(), content, 0); err != nil {`,
	},
	{
		"A user's link doesn't lead to a release or a partition", "slap/confined/place.go", "slap/confined.TestPlaceLinks",
		`case !p.sure || status.Uid != 0:`,
		`case !p.sure:`,
	},
	{
		"A link counts only where only root can write", "slap/confined/place.go", "slap/confined.TestPlaceLinks",
		`p.sure = status.Uid == 0 && status.Mode&0o022 == 0`,
		`p.sure = status.Uid == 0`,
	},
	{
		"A mount counts only where only root can write", "slap/confined/place.go", "slap/confined.TestPlaceMounts",
		`if !p.sure || isUserMountAt(path) {`,
		`if isUserMountAt(path) {`,
	},
	{
		"A user's mount that root would wait for is detached", "slap/confined/place.go", "slap/confined.TestPlaceWaiting",
		`if err := p.clearWaiting(fd); err != nil {`,
		`if err := error(nil); err != nil {`,
	},
	{
		"Root doesn't wait for a mount that is made meanwhile", "slap/confined/guard.go", "grid/instance.TestMountsDuringProcess",
		`_ = clearWaiting(table, g.directory)`,
		`_ = table`,
	},
	{
		"What a user mounted for itself is left alone", "slap/confined/mount.go", "slap/confined.TestPlaceWaiting",
		`case !below, top == "srv", top == "tmp":`,
		`case !below:`,
	},
	{
		"A directory belongs to its required owner", "slap/confined/place.go", "slap/confined.TestPlaceOwner",
		`owner != Anybody && uid != owner`,
		`owner != Anybody && uid < 0`,
	},
	{
		"A name in a place is a single name", "slap/confined/place.go", "slap/confined.TestPlace",
		`return word != "" && word != "." && word != ".." && !strings.ContainsAny(word, "/\x00")`,
		`return word != "" && strings.IndexByte(word, 0) < 0`,
	},
	{
		"The checked directory is the opened one", "slap/confined/identity.go", "slap/confined.TestOpenIdentical",
		`if err == nil && found != wanted {`,
		`if err == nil && found.inode == 0 {`,
	},
	{
		"The mount is part of what is opened", "slap/confined/identity.go", "slap/confined.TestOpenIdentical",
		`return identity{mount: mount, device: uint64(status.Dev), inode: status.Ino}, status, err`,
		`return identity{mount: mount - mount, device: uint64(status.Dev), inode: status.Ino}, status, err`,
	},
	{
		"What root gives away is made where only root can reach", "slap/confined/make.go", "slap/confined.TestMadeInPrivate",
		`if err == nil && (status.Uid != 0 || status.Mode&0o777 != 0o700) {`,
		`if err == nil && status.Ino == 0 {`,
	},
	{
		"What is given away as a link is a link", "slap/confined/give.go", "slap/confined.TestMadeInPrivate",
		`if info.Mode().Type() != fs.ModeSymlink {`,
		`if info == nil {`,
	},
}

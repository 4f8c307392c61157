// SPDX-License-Identifier: GPL-3.0-or-later

// Package confined works inside directories that belong to somebody else: those
// of partitions and releases. Their users may change them at any moment, while
// the agent is root.
//
// A [Place] holds such directories, and opens them in their places, with the
// required owner. A [Root] is such a directory as far as names go: no link
// leads outside, and errors name the whole path. A [Directory] adds the rules
// for its content: nothing blocks, files are bounded, writes are whole or not
// at all, and only the agent's own files are given away. [Remove] and [Empty]
// remove trees without following a link or crossing a mount. A [Rights] is a
// thread with the file access of a user: what it does, that user could do.
//
// It is below slap because managers and promises need it as well as the passes,
// and none of them may import another.
package confined

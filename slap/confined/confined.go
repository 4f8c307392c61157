// SPDX-License-Identifier: GPL-3.0-or-later

// Package confined works inside directories of somebody else: those of
// partitions and releases. Their users own them and may change them at any
// moment, while the agent is root.
//
// A [Place] holds such directories, and opens them where they are, with the owner that
// they have to have. A [Root] is such a directory as far as names go: no link leads outside, and
// errors name the whole path. A [Directory] adds the rules for what is in it:
// nothing blocks, files are bounded, what is written is whole or not there, and
// only what is the agent's is given away. [Remove] and [Empty] take trees away
// without following a link or crossing a mount. A [Rights] is a thread with the
// file access of a user: what is done there may only do what that user may.
//
// It lies below slap because managers and promises need it as well as the
// passes, and none of them may import another.
package confined

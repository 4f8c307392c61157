// SPDX-License-Identifier: GPL-3.0-or-later

package proxy

import (
	"context"
	"strconv"
	"sync"

	"golang.org/x/sync/singleflight"

	"slapos/proxy/store"
)

// maximumKept bounds the memory of the cache, in bytes of answers.
const maximumKept = 64 << 20

// answerCache keeps answers about whole computers, which are long and asked
// for often: every pass of a node begins with one. An answer is good as long
// as the store's version of the computer stays.
type answerCache struct {
	store  store.Store
	making singleflight.Group

	mutex sync.Mutex
	kept  map[answerKey]answer
	size  int
}

// answerKey is a kind of answer and the computer that it is about.
type answerKey struct{ kind, computer string }

type answer struct {
	version int64
	body    []byte
}

func newAnswerCache(s store.Store) *answerCache {
	return &answerCache{store: s, kept: map[answerKey]answer{}}
}

// get returns the answer for the present state of a computer and its tag, from the
// cache when it can. Concurrent requests wait for the same answer.
func (c *answerCache) get(ctx context.Context, kind, computer string, encode func(*store.Node) ([]byte, error)) (body []byte, tag string, err error) {
	// The version is read before the state: the answer may be newer than its
	// version, never older.
	version, err := c.store.NodeVersion(ctx, computer)
	if err != nil {
		return nil, "", err
	}
	tag = etag(c.store.Epoch(), version)
	key := answerKey{kind, computer}
	if body, ok := c.look(key, version); ok {
		return body, tag, nil
	}
	made, err, _ := c.making.Do(kind+"\x00"+computer+"\x00"+strconv.FormatInt(version, 10), func() (any, error) {
		if body, ok := c.look(key, version); ok {
			return body, nil
		}
		// A client that gives up must not cancel the answer for the others.
		node, err := c.store.Node(context.WithoutCancel(ctx), computer)
		if err != nil {
			return nil, err
		}
		body, err := encode(node)
		if err != nil {
			return nil, err
		}
		c.keep(key, answer{version, body})
		return body, nil
	})
	if err != nil {
		return nil, "", err
	}
	return made.([]byte), tag, nil
}

func (c *answerCache) look(key answerKey, version int64) ([]byte, bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	a, ok := c.kept[key]
	return a.body, ok && a.version == version
}

func (c *answerCache) keep(key answerKey, a answer) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.size += len(a.body) - len(c.kept[key].body)
	c.kept[key] = a
	for other := range c.kept {
		if c.size <= maximumKept {
			return
		}
		if other != key {
			c.size -= len(c.kept[other].body)
			delete(c.kept, other)
		}
	}
}

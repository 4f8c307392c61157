// SPDX-License-Identifier: GPL-3.0-or-later

package proximity

import (
	"maps"
	"sync"
	"time"
)

// freshness remembers when the upstreams answered about keys, also that there
// is nothing, and when clients asked. After a start all that is kept counts as
// stale.
type freshness struct {
	lasts time.Duration

	mu    sync.Mutex
	known map[string]asked
}

type asked struct{ answered, used, failed time.Time }

// maximumKeys bounds the keys that are remembered: clients can ask for any.
const maximumKeys = 1 << 16

// look tells whether what is known of a key counts, else whether asking about
// it failed a moment ago. It records the use.
func (f *freshness) look(key string, now time.Time) (isFresh, hasFailed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, isKnown := f.known[key]
	if !isKnown {
		return false, false
	}
	a.used = now
	f.known[key] = a
	return now.Sub(a.answered) < f.lasts, now.Sub(a.failed) < rest
}

func (f *freshness) age(key string, now time.Time) (age time.Duration, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, known := f.known[key]
	return now.Sub(a.answered), known && !a.answered.IsZero()
}

func (f *freshness) answered(key string, now time.Time) {
	f.set(key, now, func(a *asked) { *a = asked{answered: now, used: now} })
}

func (f *freshness) failed(key string, now time.Time) {
	f.set(key, now, func(a *asked) { a.failed, a.used = now, now })
}

func (f *freshness) set(key string, now time.Time, change func(*asked)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maximumKeys {
		maps.DeleteFunc(f.known, func(_ string, a asked) bool { return now.Sub(a.answered) >= f.lasts })
	}
	if len(f.known) >= maximumKeys {
		clear(f.known)
	}
	a := f.known[key]
	change(&a)
	f.known[key] = a
}

func (f *freshness) forget(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, key)
}

func (f *freshness) forgetAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.known)
}

// unused returns the keys that weren't used for longer than an age.
func (f *freshness) unused(keys []string, now time.Time, age time.Duration) (unused []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		a, isKnown := f.known[key]
		switch {
		case !isKnown:
			f.known[key] = asked{used: now}
		case now.Sub(a.used) > age:
			unused = append(unused, key)
			delete(f.known, key)
		}
	}
	return unused
}

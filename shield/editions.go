package shield

import (
	"strings"
	"sync"
	"time"

	"weir/keying"
	"weir/policy"
	"weir/rfc9111"
)

// editions remembers which version of a response is the origin's, where an answer of
// slices met two of them. What is stored of others, and older, is not used any more.
// There are never more than max; when one is forgotten too early, one more answer ends
// in the middle.
type editions struct {
	max   int
	under *editions // of a rehearsal: what is known where nothing is said here

	mu sync.Mutex
	m  map[editionKey]edition
}

// editionKey names a variant of a response.
type editionKey struct {
	key       keying.Digest
	selection rfc9111.Selection
}

type edition struct {
	version rfc9111.Version
	seen    time.Time // when it was the origin's
	changes int       // in quick succession, this one included
}

const (
	quickChange = time.Minute
	maxChanges  = 3 // what changes more often, or back and forth, is better fetched whole
)

func newEditions(limit int) *editions {
	return &editions{m: map[editionKey]edition{}, max: limit}
}

// outdated says whether slice, of req's response, is of a version that the origin has
// no more.
func (e *editions) outdated(req *policy.Request, slice *rfc9111.Response) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	current, ok := e.m[editionKey{req.Keyed.Key.Digest(), slice.Selection}]
	if !ok && e.under != nil {
		return e.under.outdated(req, slice)
	}
	if !ok || slice.ResponseTime.IsZero() || slice.ResponseTime.After(current.seen) {
		return false
	}
	v, _ := slice.Version()
	return v != current.version
}

// change notes that the origin has now instead of old, which it had when old was seen.
// first says that this was not known yet, restless that the response changes too often to
// be read in slices.
func (e *editions) change(req *policy.Request, old, now edition) (first, restless bool) {
	key := editionKey{req.Keyed.Key.Digest(), old.version.Selection}
	e.mu.Lock()
	defer e.mu.Unlock()
	current, known := e.m[key]
	switch {
	case known && old.version != current.version && !old.seen.After(current.seen):
		return false, false // an answer from before
	case known && now.seen.Sub(current.seen) < quickChange:
		now.changes = current.changes
	case !known && len(e.m) >= e.max:
		for one := range e.m {
			delete(e.m, one)
			break
		}
	}
	now.changes++
	now.version, key.selection = apart(now.version), rfc9111.Selection(strings.Clone(string(key.selection)))
	e.m[key] = now
	return true, now.changes >= maxChanges
}

// apart is v without the head that its strings are parts of.
func apart(v rfc9111.Version) rfc9111.Version {
	v.Validator, v.Coding = strings.Clone(v.Validator), strings.Clone(v.Coding)
	v.Selection = rfc9111.Selection(strings.Clone(string(v.Selection)))
	return v
}

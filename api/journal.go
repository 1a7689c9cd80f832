package api

import (
	"strings"
	"sync"
	"sync/atomic"

	"weir/rfc9111"
)

// Journal keeps the newest requests of a node for those who look at them, [AdminOptions].Journal. It is
// of a fixed length, and nobody waits for a reader: what one has not read in time is counted as lost
// to it. While nobody follows, a few requests a second are kept, and all failures.
type Journal struct {
	followers atomic.Int32
	second    atomic.Int64 // of the last one kept while nobody follows
	taken     atomic.Int32 // in that second

	mu   sync.Mutex
	ring [journalLength]*Record // number n is at n modulo its length; they are never changed
	next uint64                 // the number of the next one
	news chan struct{}          // closed when there is one; nil: nobody waits
}

const (
	journalLength = 1024
	journalRate   = 100 // requests a second that are kept while nobody follows
	maxFollowers  = 16  // at a time
)

// NewJournal returns a journal for the doors of one node.
func NewJournal() *Journal { return new(Journal) }

// wants says whether r is to be added. Seconds may overlap by a few requests, which only keeps more.
func (j *Journal) wants(r *Record) bool {
	switch {
	case j == nil:
		return false
	case j.followers.Load() > 0 || r.failed():
		return true
	}
	if now := r.Began.Add(r.Duration).Unix(); j.second.Load() != now {
		j.second.Store(now)
		j.taken.Store(0)
	}
	return j.taken.Load() < journalRate && j.taken.Add(1) <= journalRate
}

// add keeps a copy of r, which shares no memory with a connection.
func (j *Journal) add(r *Record) {
	kept := *r
	kept.stack = nil
	for _, s := range []*string{&kept.Client, &kept.Method, &kept.Host, &kept.Target} {
		*s = strings.Clone(printable(*s))
	}
	if kept.Decision.Use == "" { // the client left before anything was decided
		kept.Decision.Use = rfc9111.Bypass
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring[j.next%journalLength] = &kept
	j.next++
	if j.news != nil {
		close(j.news)
		j.news = nil
	}
}

// follow returns a reader of what comes from now on, nil if there are too many. Its close ends it.
func (j *Journal) follow() *journalReader {
	if j.followers.Add(1) > maxFollowers {
		j.followers.Add(-1)
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return &journalReader{journal: j, next: j.next}
}

// recent returns a reader of what is there.
func (j *Journal) recent() *journalReader {
	j.mu.Lock()
	defer j.mu.Unlock()
	return &journalReader{journal: j, next: j.next - min(j.next, journalLength)}
}

// journalReader reads a journal at its own pace.
type journalReader struct {
	journal *Journal
	next    uint64 // the number to read next
}

// close ends a reader that follows.
func (r *journalReader) close() { r.journal.followers.Add(-1) }

// journalPiece is how many requests are read at once: the lock is held for no longer than that takes.
const journalPiece = 128

// read appends the next requests to records. lost is how many went by unread before them. news is
// nil while there are more, otherwise it is closed when there are.
func (r *journalReader) read(records []*Record) (_ []*Record, lost uint64, news <-chan struct{}) {
	j := r.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	if oldest := j.next - min(j.next, journalLength); r.next < oldest {
		lost, r.next = oldest-r.next, oldest
	}
	for range min(j.next-r.next, journalPiece) {
		records = append(records, j.ring[r.next%journalLength])
		r.next++
	}
	if r.next < j.next {
		return records, lost, nil
	}
	if j.news == nil {
		j.news = make(chan struct{})
	}
	return records, lost, j.news
}

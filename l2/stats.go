package l2

import (
	"sync/atomic"
	"time"
)

// Stats are counters since Open, and sizes now.
type Stats struct {
	Objects  int
	Bytes    int64 // of the records of live objects
	Segments int
	Disk     int64 // what the folder takes up
	Budget   int64 // Options.MaxBytes; Disk may be one segment more

	Hits, Misses    uint64
	Stored          uint64 // objects made durable
	Refused         uint64 // objects that were committed by a caller and could not be made durable
	Dropped         uint64 // objects that left to make room
	CarriedOver     uint64 // objects copied out of a segment before it was dropped
	SegmentsDropped uint64
	Damaged         uint64 // records and files that did not check out
	VariantsReset   uint64 // keys that had too many variants
	Commits         uint64
	Failures        uint64    // groups and segments that could not be written
	LastCommit      time.Time // zero before the first
	Stalled         bool      // nothing can be stored for now
}

type counters struct {
	hits, misses, stored, refused, dropped, carried  atomic.Uint64
	segmentsDropped, damaged, variantsReset, commits atomic.Uint64
	failures                                         atomic.Uint64
	lastCommit                                       atomic.Int64
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	c := &s.stats
	out := Stats{
		Budget: s.opts.MaxBytes,
		Hits:   c.hits.Load(), Misses: c.misses.Load(), Stored: c.stored.Load(), Refused: c.refused.Load(),
		Dropped: c.dropped.Load(), CarriedOver: c.carried.Load(), SegmentsDropped: c.segmentsDropped.Load(),
		Damaged: c.damaged.Load(), VariantsReset: c.variantsReset.Load(), Commits: c.commits.Load(),
		Failures: c.failures.Load(), Stalled: s.stalled(),
	}
	if t := c.lastCommit.Load(); t != 0 {
		out.LastCommit = time.Unix(0, t)
	}
	out.Objects, out.Bytes = s.index.totals()
	out.Disk, out.Segments = s.folderSize()
	return out
}

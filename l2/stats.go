package l2

import (
	"sync/atomic"
	"time"
)

// Stats are counters since Open, and sizes now.
type Stats struct {
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"` // of the records of live objects
	Segments int   `json:"segments"`
	Disk     int64 `json:"disk"`   // what the folder takes up
	Budget   int64 `json:"budget"` // Options.MaxBytes; Disk may be one segment more

	Hits            uint64    `json:"hits"`
	Misses          uint64    `json:"misses"`
	Stored          uint64    `json:"stored"`      // objects made durable
	Refused         uint64    `json:"refused"`     // objects that were committed by a caller and could not be made durable
	Dropped         uint64    `json:"dropped"`     // objects that left to make room
	CarriedOver     uint64    `json:"carriedOver"` // objects copied out of a segment before it was dropped
	SegmentsDropped uint64    `json:"segmentsDropped"`
	Damaged         uint64    `json:"damaged"`       // records and files that did not check out
	VariantsReset   uint64    `json:"variantsReset"` // keys that had too many variants
	Commits         uint64    `json:"commits"`
	Failures        uint64    `json:"failures"`   // groups and segments that could not be written
	LastCommit      time.Time `json:"lastCommit"` // zero before the first
	Stalled         bool      `json:"stalled"`    // nothing can be stored for now
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

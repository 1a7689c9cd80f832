package l2

import "sync/atomic"

// ValuesStats are counters since OpenValues, and sizes now.
type ValuesStats struct {
	Values  int    `json:"values"` // those that have expired and are still there included
	Bytes   int64  `json:"bytes"`  // that they take up, what finds them included
	Disk    int64  `json:"disk"`   // what the file takes up, one that was set aside included
	Budget  int64  `json:"budget"` // ValuesOptions.MaxBytes
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Evicted uint64 `json:"evicted"` // values that had to go before their time
	Expired uint64 `json:"expired"` // values that were removed after it
	Carried uint64 `json:"carried"` // values written once more because they were used, or to close holes

	Commits  uint64 `json:"commits"`
	Failures uint64 `json:"failures"` // transactions that could not be written
	Damaged  uint64 `json:"damaged"`  // values and files that did not check out
}

type valueCounters struct {
	values, bytes, ceiling             atomic.Uint64 // as of the last transaction
	hits, misses                       atomic.Uint64
	evicted, expired, carried, commits atomic.Uint64
	failures, damaged                  atomic.Uint64
}

// note takes over what a transaction wrote.
func (s *valueCounters) note(c valueCounts) {
	s.values.Store(c.values)
	s.bytes.Store(c.bytes)
	s.ceiling.Store(c.ceiling)
	s.evicted.Add(c.evicted)
	s.expired.Add(c.expired)
	s.carried.Add(c.carried)
}

// Stats returns the counters.
func (v *Values) Stats() ValuesStats {
	c := &v.stats
	return ValuesStats{
		Values: int(c.values.Load()), Bytes: int64(c.bytes.Load()), Disk: v.disk(), Budget: v.opts.MaxBytes,
		Hits: c.hits.Load(), Misses: c.misses.Load(), Evicted: c.evicted.Load(), Expired: c.expired.Load(),
		Carried: c.carried.Load(), Commits: c.commits.Load(), Failures: c.failures.Load(), Damaged: c.damaged.Load(),
	}
}

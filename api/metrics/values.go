package metrics

import (
	"weir/l1"
	"weir/l2"
)

// ValuesStats are about the values of programs. What this node does not have is nil.
type ValuesStats struct {
	Disk   *l2.ValuesStats `json:"disk,omitempty"`
	Memory *l1.ValuesStats `json:"memory,omitempty"`
	Pushes *PushStats      `json:"pushes,omitempty"`
}

// PushStats are about small values that travel to edges when they are written.
type PushStats struct {
	Sent    uint64 `json:"sent"`    // by a shield, counted for each edge
	Dropped uint64 `json:"dropped"` // not sent: an edge is slow to take them, or they are not small any more
	Taken   uint64 `json:"taken"`   // by an edge
	Ignored uint64 `json:"ignored"` // there: nobody has asked for them, or they may have been old
}

var (
	valuesHeld     = gauge("values", "Values of programs held, by tier.", "tier")
	valuesBytes    = gauge("values_bytes", "What they take up, by tier.", "tier")
	valuesLookups  = counter("values_lookups_total", "Look-ups of values, by tier and result.", "tier", "result")
	valuesEvicted  = counter("values_evicted_total", "Values that had to make room before their time, by tier.", "tier")
	valuesExpired  = counter("values_expired_total", "Values that were removed after their time.")
	valuesDisk     = gauge("values_disk_bytes", "What the file of values takes up.")
	valuesBudget   = gauge("values_budget_bytes", "What it may take up.")
	valuesCommits  = counter("values_commits_total", "Group commits of values.")
	valuesFailures = counter("values_write_failures_total", "Groups of values that could not be written.")
	valuesPushes   = counter("values_pushes_total", "Small values that travel to edges when they are written, by what became of them.", "result")
	valuesDamaged  = counter("values_damaged_total", "Values and files that did not check out.")
)

func (out sink) values(s ValuesStats) {
	if m := s.Memory; m != nil {
		send(out, valuesHeld, m.Values, "l1")
		send(out, valuesBytes, m.Bytes, "l1")
		send(out, valuesEvicted, m.Evictions, "l1")
		send(out, valuesLookups, m.Hits, "l1", "hit")
		send(out, valuesLookups, m.Misses, "l1", "miss")
	}
	if p := s.Pushes; p != nil {
		send(out, valuesPushes, p.Sent, "sent")
		send(out, valuesPushes, p.Dropped, "dropped")
		send(out, valuesPushes, p.Taken, "taken")
		send(out, valuesPushes, p.Ignored, "ignored")
	}
	if d := s.Disk; d != nil {
		send(out, valuesHeld, d.Values, "l2")
		send(out, valuesBytes, d.Bytes, "l2")
		send(out, valuesEvicted, d.Evicted, "l2")
		send(out, valuesLookups, d.Hits, "l2", "hit")
		send(out, valuesLookups, d.Misses, "l2", "miss")
		send(out, valuesExpired, d.Expired)
		send(out, valuesDisk, d.Disk)
		send(out, valuesBudget, d.Budget)
		send(out, valuesCommits, d.Commits)
		send(out, valuesFailures, d.Failures)
		send(out, valuesDamaged, d.Damaged)
	}
}

package metrics

import (
	"weir/l1"
	"weir/l2"
)

// ValuesStats are about the values of programs. What this node does not have is nil.
type ValuesStats struct {
	Disk   *l2.ValuesStats `json:"disk,omitempty"`
	Memory *l1.ValuesStats `json:"memory,omitempty"`
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

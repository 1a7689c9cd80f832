package policy

import "time"

// Purge is how far an edge may be behind the purge log.
type Purge struct {
	MaxBlind    time.Duration // purge.maxBlindSeconds: without its stream for longer, an edge asks before it answers
	OnPartition OnPartition   // purge.onPartition: and what it does when nobody can be asked
}

// OnPartition is what becomes of what an edge holds while it cannot learn of purges.
type OnPartition int

// The zero value is the default.
const (
	PartitionRevalidate OnPartition = iota // ask the origin before each use
	PartitionServe                         // answer with it, and say so
)

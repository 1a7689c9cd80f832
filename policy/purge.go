package policy

import "time"

// Purge is how far an edge may be behind the purge log.
type Purge struct {
	MaxBlind    time.Duration // purge.maxBlindSeconds: without its stream for longer, an edge asks before it answers; default 5 s
	OnPartition OnPartition   // purge.onPartition: and what it does when nobody can be asked
}

// OnPartition is what becomes of what an edge holds while it cannot learn of purges.
type OnPartition int

// The zero value is the default.
const (
	PartitionRevalidate OnPartition = iota // ask the origin before each use
	PartitionServe                         // answer with it, and say so
)

// keepingUp reads how edges keep up with their shield, and what they do without it.
func (c *compiler) keepingUp(root *node) {
	purge := root.get("purge")
	c.table.Purge.MaxBlind = purge.get("maxBlindSeconds").duration(time.Second, 5*time.Second)
	if purge.get("onPartition").value() == "serve" {
		c.table.Purge.OnPartition = PartitionServe
	}
	c.table.Fallback = root.get("shield").get("fallback").value() != "none"
}

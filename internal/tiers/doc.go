// Package tiers puts the concrete tiers behind the interfaces that the others declare: the disk
// tier for the shield, the purges for the memory tier, the memory tier for the shield.
//
// Two programs wire tiers together, the node and a Go program that has them in its own
// process. What both need is here, and nothing else: which tiers there are, and how they
// are opened and closed, is theirs.
package tiers

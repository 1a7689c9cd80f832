package shield

import (
	"weir/keying"
	"weir/rfc9111"
)

// NewPurgesWithin is NewPurges with other limits: of the digests and the prefixes that are
// remembered exactly, and of the rules that are kept in order.
func NewPurgesWithin(log Log, digests, prefixes, recent int) (*Purges, error) {
	return newPurges(log, limits{digests, prefixes, recent, 1})
}

// NewFollowerWithin is NewFollower with other limits, and one for what it owes.
func NewFollowerWithin(digests, prefixes, owed int) *Purges {
	return newFollower(limits{digests, prefixes, 1, owed})
}

// Rewrite writes the log anew.
func (p *Purges) Rewrite() error { return p.rewrite() }

// Seen has p look at a response that a tier which knows more purges has sent.
func (p *Purges) Seen(key keying.Key, epoch uint64) { p.forbids(key, &rfc9111.Response{Epoch: epoch}) }

// MostIdle is how many goroutines may wait for flights to come, and Idle how many do.
const MostIdle = mostIdle

func (s *Shield) Idle() int { return int(s.crew.idle.Load()) }

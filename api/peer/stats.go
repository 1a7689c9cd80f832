package peer

import (
	"sync/atomic"
	"time"
)

type counts struct {
	fetches, retries, resumed, catchUps atomic.Uint64

	up  atomic.Bool
	rtt atomic.Int64
}

// Stats is how a node gets along with its shield.
type Stats struct {
	Shield   string `json:"shield"` // the address in use
	Stream   bool   `json:"stream"` // of the purge log
	Epoch    uint64 `json:"epoch"`  // that is applied here
	Fetches  uint64 `json:"fetches"`
	Retries  uint64 `json:"retries"`  // requests sent again
	Resumed  uint64 `json:"resumed"`  // bodies that went on after they were cut short
	CatchUps uint64 `json:"catchUps"` // questions what was purged
	// Silence is for how long this node has not known that no purge is missing, in seconds.
	Silence float64 `json:"silenceSeconds"`
	// RoundTrip is how long the stream took to begin, in milliseconds.
	RoundTrip float64 `json:"roundTripMs"`
}

// Stats returns what has been counted since the client was made.
func (c *Client) Stats() Stats {
	n := &c.counts
	return Stats{
		Shield: c.address(), Stream: n.up.Load(), Epoch: c.opts.Purges.Current(),
		Fetches: n.fetches.Load(), Retries: n.retries.Load(), Resumed: n.resumed.Load(), CatchUps: n.catchUps.Load(),
		Silence:   c.sight.silence(c.opts.Now()).Seconds(),
		RoundTrip: float64(n.rtt.Load()) / float64(time.Millisecond),
	}
}

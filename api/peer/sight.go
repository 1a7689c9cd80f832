package peer

import (
	"context"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"weir/l1"
	"weir/policy"
)

// sight is until when this node knows of all purges. Its times are stamps: nanoseconds
// since it began, and never 0.
type sight struct {
	start time.Time
	heard atomic.Int64 // there was no purge then that is not applied here
}

func (s *sight) begin(now time.Time) {
	s.start = now
	s.heard.Store(math.MinInt64 / 2)
}

func (s *sight) stamp(now time.Time) uint64 { return uint64(max(1, now.Sub(s.start))) }

// hear takes a stamp back from the shield. 0 is none.
func (s *sight) hear(stamp uint64) {
	if at := int64(stamp); at > 0 && at > s.heard.Load() {
		s.heard.Store(at)
	}
}

// silence is how long ago the shield was heard, from the start where it never was.
func (s *sight) silence(now time.Time) time.Duration {
	return now.Sub(s.start) - time.Duration(max(s.heard.Load(), 0))
}

// Sight says how far what this node knows of purges can be trusted for a request that has
// come at now and wants an answer no older than the purge min. While the stream of the
// log is well that is two loads.
func (c *Client) Sight(ctx context.Context, now time.Time, min uint64) l1.Sight {
	if neverBlind {
		return l1.Sight{}
	}
	blind := int64(now.Sub(c.sight.start))-c.sight.heard.Load() > int64(c.opts.MaxBlind())
	if !blind && (min == 0 || c.opts.Purges.Current() >= min) {
		return l1.Sight{}
	}
	return c.look(ctx, now, min, blind)
}

// Details for Cache-Status.
const (
	toldPartition = "partition"
	toldMinEpoch  = "min-epoch"
)

// lookTimeout bounds how long a request waits for the shield's word about purges.
const lookTimeout = time.Second

// look asks the shield for what is missing here.
func (c *Client) look(ctx context.Context, now time.Time, min uint64, blind bool) l1.Sight {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := context.Cause(ctx)
	if err == nil { // a question that nobody waits for would only delay the next one
		err = c.catchUp(ctx)
	}
	switch {
	case min > 0 && c.opts.Purges.Current() < min:
		return l1.Sight{Blind: true, Since: now.Add(1), Told: toldMinEpoch} // only what comes from now on
	case err == nil || !blind:
		return l1.Sight{}
	case c.opts.Partition() == policy.PartitionServe:
		return l1.Sight{Told: toldPartition}
	}
	return l1.Sight{Blind: true, Since: now.Add(-c.opts.MaxBlind()), Told: toldPartition}
}

// reachTimeout bounds how long the answer to a request that changed something waits for
// the purges that it caused.
const reachTimeout = 2 * time.Second

// reach returns when this node has come to an epoch, or cannot in time.
func (c *Client) reach(ctx context.Context, epoch uint64) {
	if c.opts.Purges.Current() >= epoch {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	for c.opts.Purges.Current() < epoch && ctx.Err() == nil {
		if c.catchUp(ctx) != nil {
			_ = c.opts.Purges.Await(ctx, epoch-1) // the stream may bring it; the caller's answer counts either way
		}
	}
}

func parseEpoch(s string) (uint64, bool) {
	epoch, err := strconv.ParseUint(s, 10, 64)
	return epoch, err == nil
}

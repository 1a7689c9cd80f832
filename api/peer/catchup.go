package peer

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"weir/shield"
)

// catchUp applies what the shield's log has at a moment after the call.
func (c *Client) catchUp(ctx context.Context) error { return c.share(ctx, &c.catchUps, c.askBatch) }

// MaxBatch is how long a batch may be, in bytes.
const MaxBatch = 64 << 20

func (c *Client) askBatch() error {
	if c.outage.blocked(time.Now()) {
		return shield.ErrParent
	}
	c.counts.catchUps.Add(1)
	ctx, cancel := context.WithTimeout(c.base, lookTimeout)
	defer cancel()
	answer, _, err := c.call(ctx, PathCatchUp+"?"+c.place(), nil, MaxBatch)
	if err != nil {
		return fmt.Errorf("catch up with the purges: %w", err)
	}
	b, err := shield.DecodeBatch(answer)
	if err != nil {
		return fmt.Errorf("catch up with the purges: %w", err)
	}
	c.opts.Purges.Apply(b)
	if p := c.opts.Purges; p.ID() != b.Log || p.Current() < b.Epoch {
		return fmt.Errorf("catch up with the purges: %w: a batch for another place", ErrMalformed)
	}
	return nil
}

// place says which log this node follows, and how far it is.
func (c *Client) place() string {
	id := c.opts.Purges.ID()
	return "after=" + strconv.FormatUint(c.opts.Purges.Current(), 10) + "&log=" + hex.EncodeToString(id[:])
}

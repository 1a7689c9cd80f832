package peer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"weir/shield"
)

// maxOwed is how many rules are handed over at a time.
const maxOwed = 4096

// EncodeRules puts rules behind each other.
func EncodeRules(rules []shield.Rule) []byte {
	var e encoder
	e.uint(uint64(len(rules)))
	for _, r := range rules {
		e.text(string(r.Encode()))
	}
	return e
}

// DecodeRules parses what EncodeRules wrote. The error is [ErrMalformed].
func DecodeRules(src []byte) ([]shield.Rule, error) {
	d := decoder{s: string(src)}
	var rules []shield.Rule
	for range d.count() {
		r, err := shield.ParseRule([]byte(d.text()))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		rules = append(rules, r)
	}
	return rules, d.end()
}

// handTimeout bounds a hand-over: a shield that hangs, or has another log meanwhile, never
// comes to the epoch that is waited for.
const handTimeout = 30 * time.Second

// handOver gives the log the rules that this node put into force by itself. One hand-over
// is under way at a time.
func (c *Client) handOver(ctx context.Context, handing *sync.WaitGroup) {
	if !c.counts.handing.CompareAndSwap(false, true) {
		return
	}
	rules := c.opts.Purges.Owed()
	if len(rules) == 0 {
		c.counts.handing.Store(false)
		return
	}
	handing.Go(func() {
		defer c.counts.handing.Store(false)
		if err := c.settle(ctx, rules); err != nil && ctx.Err() == nil {
			c.opts.Report(fmt.Errorf("hand purges over to the shield: %w", err))
		}
	})
}

func (c *Client) settle(ctx context.Context, rules []shield.Rule) error {
	ctx, cancel := context.WithTimeout(ctx, handTimeout) // the next beat begins anew
	defer cancel()
	rules = rules[:min(len(rules), maxOwed)]
	_, said, err := c.call(ctx, PathOwed, EncodeRules(rules), maxMessage)
	if err != nil {
		return err
	}
	epoch, ok := parseEpoch(said)
	if !ok || epoch == 0 {
		return ErrMalformed
	}
	if err := c.opts.Purges.Await(ctx, epoch-1); err != nil {
		return err
	}
	c.opts.Purges.Settled(len(rules))
	return nil
}

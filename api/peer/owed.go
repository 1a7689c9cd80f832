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

// handOver gives the log what this node owes it, in the background.
func (c *Client) handOver(ctx context.Context, handing *sync.WaitGroup) {
	if !c.opts.Purges.Owes() || !c.debts.idle() {
		return
	}
	handing.Go(func() {
		if err := c.payDebts(ctx); err != nil && ctx.Err() == nil {
			c.opts.Report(err)
		}
	})
}

// payDebts returns when the log has the rules that this node put into force by itself
// until now.
func (c *Client) payDebts(ctx context.Context) error {
	if !c.opts.Purges.Owes() {
		return nil
	}
	return c.share(ctx, &c.debts, c.pay)
}

// payTimeout bounds a hand-over: a shield that hangs, or has another log meanwhile, never
// comes to the epoch that is waited for.
const payTimeout = 3 * time.Second

// pay hands over what is owed. A shield that is silent about it is one that is gone.
func (c *Client) pay() error {
	addr := c.address()
	ctx, cancel := context.WithTimeout(c.base, payTimeout)
	defer cancel()
	defer context.AfterFunc(c.line.now(), cancel)()
	for {
		rules := c.opts.Purges.Owed()
		if len(rules) == 0 {
			return nil
		}
		if err := c.settle(ctx, rules[:min(len(rules), maxOwed)]); err != nil {
			if c.base.Err() == nil && ctx.Err() != nil {
				c.lost(addr)
			}
			return fmt.Errorf("hand purges over to the shield: %w", err)
		}
	}
}

func (c *Client) settle(ctx context.Context, rules []shield.Rule) error {
	_, said, err := c.call(ctx, PathOwed, EncodeRules(rules), maxMessage)
	if err != nil {
		return err
	}
	epoch, ok := parseEpoch(said)
	if !ok || epoch == 0 {
		return ErrMalformed
	}
	if c.opts.Purges.Current() < epoch {
		_ = c.catchUp(ctx) // for there may be no stream; if there is one, it brings them too
	}
	if err := c.opts.Purges.Await(ctx, epoch-1); err != nil {
		return err
	}
	c.opts.Purges.Settled(len(rules))
	return nil
}

package tiers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/l1"
	"weir/l2"
	"weir/shield"
)

// OpenPurges replays the purges. What cannot be read any more may have forbidden
// anything, so then the cache starts cold.
func OpenPurges(rules *l2.Log, report func(error)) (*shield.Purges, error) {
	purges, err := shield.NewPurges(rules)
	if err == nil || !errors.Is(err, l2.ErrDamaged) && !errors.Is(err, l2.ErrForeign) {
		return purges, err
	}
	report(fmt.Errorf("nothing stored so far is reused: %w", err))
	if err := rules.Rewrite(func(func(uint64, []byte) bool) {}); err != nil {
		return nil, err
	}
	return shield.NewPurges(rules)
}

// InForce shows the memory tier the purges in force, durable or not.
type InForce struct{ *shield.Purges }

// Current changes whenever a purge comes into force.
func (p InForce) Current() uint64 { return p.Version() }

// Sight is clear, because the log is in this process. A purge that it does not have may be
// one of a log that was lost: then only what comes from now on is certainly newer.
func (p InForce) Sight(_ context.Context, now time.Time, min uint64) l1.Sight {
	if min > p.Newest() {
		return l1.Sight{Blind: true, Since: now.Add(1)}
	}
	return l1.Sight{}
}

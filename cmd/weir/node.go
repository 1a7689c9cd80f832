package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"weir/api"
	"weir/keying"
	"weir/l1"
	"weir/l2"
	"weir/policy"
	"weir/rfc9111"
	"weir/shield"
)

// node is the tiers of one process, wired together: the door asks l1, l1 asks the
// shield, the shield asks the disk tier and the origins.
type node struct {
	region string
	log    *zap.Logger
	now    func() time.Time
	live   *policy.Live
	purges *shield.Purges
	store  *l2.Store
	shield *shield.Shield
	memory *l1.Tier
	door   *api.Door
}

// nodeOptions are what a node is made of.
type nodeOptions struct {
	region         string
	folder         string
	l1Size, l2Size int64
	disabled       bool             // nothing is cached
	now            func() time.Time // nil: time.Now
	log            *zap.Logger
}

// openNode opens the data folder and puts the tiers on top of it.
func openNode(table *policy.Table, o nodeOptions) (_ *node, err error) {
	if o.now == nil {
		o.now = time.Now
	}
	n := &node{region: o.region, log: o.log, now: o.now, live: policy.NewLive(table)}
	report := troubleReporter(o.log)
	n.store, err = l2.Open(o.folder, l2.Options{MaxBytes: o.l2Size, Report: report})
	if err != nil {
		return nil, folderAdvice(o.folder, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.store.Close())
		}
	}()
	if n.purges, err = openPurges(n.store.Log(), report); err != nil {
		return nil, err
	}
	filled := new(lateListener)
	n.shield = shield.New(shieldStore{n.store}, n.purges, shield.Options{Listener: filled, Now: o.now, Report: report})
	if n.memory, err = l1.New(n.shield, inForce{n.purges}, l1.Options{MaxBytes: o.l1Size, Now: o.now}); err != nil {
		return nil, errors.Join(err, n.shield.Close(context.Background()))
	}
	filled.tier.Store(n.memory)
	n.shield.SetTable(table)
	n.door = api.NewDoor(n.memory, n.live.Load, api.DoorOptions{
		Region: o.region, Epoch: n.purges.Current, Now: o.now, Log: o.log, Disabled: func() bool { return o.disabled }, Settling: n.live.Settling,
	})
	return n, nil
}

// openPurges replays the purges. What cannot be read any more may have forbidden
// anything, so then the cache starts cold.
func openPurges(rules *l2.Log, report func(error)) (*shield.Purges, error) {
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

// inForce shows the memory tier the purges in force, durable or not.
type inForce struct{ *shield.Purges }

// Current changes whenever a purge comes into force.
func (p inForce) Current() uint64 { return p.Version() }

// Sight is clear, because the log is in this process. A purge that it does not have may be
// one of a log that was lost: then only what comes from now on is certainly newer.
func (p inForce) Sight(_ context.Context, now time.Time, min uint64) l1.Sight {
	if min > p.Newest() {
		return l1.Sight{Blind: true, Since: now.Add(1)}
	}
	return l1.Sight{}
}

// lateListener is the memory tier for a shield that has to be made first.
type lateListener struct{ tier atomic.Pointer[l1.Tier] }

// Filled hands over a whole body.
func (l *lateListener) Filled(key keying.Key, resp *rfc9111.Response, body []byte) {
	if tier := l.tier.Load(); tier != nil {
		tier.Filled(key, resp, body)
	}
}

// Dropped says that a variant is out of date.
func (l *lateListener) Dropped(key keying.Key, selection rfc9111.Selection) {
	if tier := l.tier.Load(); tier != nil {
		tier.Dropped(key, selection)
	}
}

// use puts a table in force. The shield knows its origins first, so that no
// request comes with an origin that is not there.
func (n *node) use(table *policy.Table) {
	n.shield.SetTable(table)
	n.live.Swap(table, n.now())
}

// purge carries out an order. The memory tier sees it as soon as the log does.
func (n *node) purge(_ context.Context, order shield.PurgeOrder) (shield.PurgeReport, error) {
	report, err := n.shield.Purge(n.live.Load(), order)
	if err == nil && !order.DryRun {
		report.Regions = append(report.Regions, shield.RegionReport{Region: n.region})
	}
	return report, err
}

// clear forgets everything that is cached.
func (n *node) clear() error {
	_, err := n.purges.Add(shield.AllRule())
	n.memory.Clear()
	return err
}

// close ends upgraded connections, fills and tiers, from the client inwards. Fills
// still running when ctx ends are cut off.
func (n *node) close(ctx context.Context) error {
	n.door.Close()
	if err := n.shield.Close(ctx); err != nil {
		n.log.Warn("fills were cut off", zap.Error(err))
	}
	n.memory.Close()
	return n.store.Close()
}

package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"weir/api/metrics"
	"weir/internal/tiers"
	"weir/kv"
	"weir/l1"
	"weir/l2"
	"weir/shield"
)

// nodeValues are the values of programs: those of the data folder, or what an edge remembers
// of its shield's.
type nodeValues struct {
	disk   *l2.Values // nil at an edge
	memory *l1.Values // nil at a shield, which clients of programs need not ask
	keeper *kv.Keeper // nil at an edge
	edge   *kv.Edge   // what the shield pushes to; nil elsewhere
	store  kv.Store   // what programs talk to
	ended  atomic.Bool
}

// valuesShare is what part of --l1-size the memory for values has, beside that of responses.
const valuesShare = 8

// openValues opens the values of a data folder. A node that cannot have them serves without.
func (n *node) openValues(report func(error)) {
	disk, err := l2.OpenValues(n.opts.folder, l2.ValuesOptions{MaxBytes: n.opts.kvSize, Now: n.now, Report: report})
	if err != nil {
		report(fmt.Errorf("no values are served: data folder %s: %w", n.opts.folder, err))
		return
	}
	v := &nodeValues{disk: disk}
	unwritten := disk.Empty() && n.purges.Unwritten()
	v.keeper, err = kv.NewKeeper(tiers.Values{Values: disk}, n.purges, kv.KeeperOptions{Now: n.now, Unwritten: unwritten})
	if err != nil {
		_ = disk.Close() // nothing was written
		report(fmt.Errorf("no values are served: %w", err))
		return
	}
	v.store = v.keeper
	if n.opts.role != roleShield {
		v.memory = l1.NewValues(n.opts.l1Size / valuesShare)
		v.store = kv.NewEdge(v.keeper, n.purges, v.memory, kv.EdgeOptions{Now: n.now})
	}
	n.values = v
}

// followValues makes what an edge remembers of its shield's values.
func (n *node) followValues() {
	memory := l1.NewValues(n.opts.l1Size / valuesShare)
	sight := func(ctx context.Context, now time.Time) time.Time {
		if s := n.parent.Sight(ctx, now, 0); s.Blind {
			return s.Since
		}
		return time.Time{}
	}
	edge := kv.NewEdge(n.parent.KV(), n.purges, memory, kv.EdgeOptions{Now: n.now, Sight: sight, Heard: n.parent.Heard})
	n.values = &nodeValues{memory: memory, store: edge, edge: edge}
}

// kept are the values that edges are served, nil when there are none.
func (v *nodeValues) kept() kv.Store {
	if v == nil || v.keeper == nil {
		return nil
	}
	return v.keeper
}

// close ends the values. What is under way ends before or fails.
func (v *nodeValues) close() error {
	if v == nil {
		return nil
	}
	v.ended.Store(true)
	if v.disk == nil {
		return nil
	}
	return v.disk.Close()
}

// kvStore is what programs talk to, nil before the node is loaded and after it was closed.
func (s *service) kvStore() kv.Store {
	n := s.node.Load()
	if n == nil || n.values == nil || n.values.ended.Load() {
		return nil
	}
	return n.values.store
}

// kvEpoch is what the node knows of purges.
func (s *service) kvEpoch() uint64 {
	if n := s.node.Load(); n != nil {
		return n.purges.Current()
	}
	return 0
}

// purgeLog is the log that programs may follow.
func (s *service) purgeLog() *shield.Purges {
	if n := s.node.Load(); n != nil {
		return n.purges
	}
	return nil
}

// sees says whether this node knows what was purged and written until a moment ago.
func (s *service) sees(ctx context.Context) bool {
	n := s.node.Load()
	return n != nil && (n.parent == nil || !n.parent.Sight(ctx, n.now(), 0).Blind)
}

// valuesStats are the counters of values.
func valuesStats(n *node) (s metrics.ValuesStats) {
	if n.values == nil {
		return s
	}
	if n.values.disk != nil {
		disk := n.values.disk.Stats()
		s.Disk = &disk
	}
	if n.values.memory != nil {
		memory := n.values.memory.Stats()
		s.Memory = &memory
	}
	switch {
	case n.values.edge != nil:
		edge := n.values.edge.Stats()
		s.Pushes = &metrics.PushStats{Taken: edge.Taken, Ignored: edge.Ignored}
	case n.peers != nil:
		door := n.peers.Pushes()
		s.Pushes = &metrics.PushStats{Sent: door.Sent, Dropped: door.Dropped}
	}
	return s
}

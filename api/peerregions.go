package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"weir/shield"
)

// missedFor is how long a region without a connection is expected back.
const missedFor = 10 * time.Minute

// maxRegions bounds the regions that are remembered.
const maxRegions = 4096

// edge is a node of a region.
type edge struct{ region, node string }

// regions are the edges that follow the log, and those that did a moment ago.
type regions struct {
	onSeen func([]string)
	change sync.Mutex // held while onSeen runs, so that its calls are in order

	mu        sync.Mutex // guards what follows
	followers map[*follower]struct{}
	seen      map[string]time.Time // when a region was connected last
	away      map[edge]time.Time   // when a node was lost that did not say that it stops
	moved     chan struct{}        // closed when anything of this changes
}

func (s *regions) begin(seen []string, onSeen func([]string)) {
	s.onSeen = onSeen
	s.followers, s.seen, s.moved = make(map[*follower]struct{}), make(map[string]time.Time), make(chan struct{})
	s.away = make(map[edge]time.Time)
	for _, region := range seen[:min(len(seen), maxRegions)] {
		s.seen[region] = time.Now()
	}
}

func (s *regions) movedLocked() {
	close(s.moved)
	s.moved = make(chan struct{})
}

func (s *regions) join(f *follower) {
	s.change.Lock()
	defer s.change.Unlock()
	if all := s.add(f); all != nil && s.onSeen != nil {
		s.onSeen(all)
	}
}

// add returns all regions when there is a new one.
func (s *regions) add(f *follower) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followers[f] = struct{}{}
	delete(s.away, f.edge)
	s.movedLocked()
	_, known := s.seen[f.region]
	if known || len(s.seen) < maxRegions {
		s.seen[f.region] = time.Now()
	}
	if known {
		return nil
	}
	return slices.Sorted(maps.Keys(s.seen))
}

func (s *regions) leave(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.followers, f)
	if _, known := s.seen[f.region]; known {
		s.seen[f.region] = time.Now()
	}
	s.missLocked(f)
	s.movedLocked()
}

// missLocked expects the node of f back, unless it has stopped or is back already: while
// it is away it may still answer clients.
func (s *regions) missLocked(f *follower) {
	maps.DeleteFunc(s.away, func(_ edge, at time.Time) bool { return time.Since(at) >= missedFor })
	for other := range s.followers {
		if other.edge == f.edge {
			return
		}
	}
	if !f.stopped && len(s.away) < maxRegions {
		s.away[f.edge] = time.Now()
	}
}

func (s *regions) acked(f *follower, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.acked, f.ackedAt = epoch, time.Now()
	s.movedLocked()
}

// applied says which regions have come to an epoch, and which are still expected to.
func (s *regions) applied(epoch uint64) (done, pending []string, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]bool) // whether all its nodes have
	for region, at := range s.seen {
		if time.Since(at) < missedFor {
			all[region] = false
		}
	}
	here := make(map[string]bool)
	for f := range s.followers {
		all[f.region] = f.acked >= epoch && (all[f.region] || !here[f.region])
		here[f.region] = true
	}
	for e, at := range s.away {
		if time.Since(at) < missedFor {
			all[e.region] = false
		}
	}
	for region, ok := range all {
		if ok {
			done = append(done, region)
		} else {
			pending = append(pending, region)
		}
	}
	slices.Sort(done)
	slices.Sort(pending)
	return done, pending, s.moved
}

// WaitApplied waits until all regions have applied a durable purge, or ctx ends.
// A region has when all its nodes have. One is pending when it, or a node of it, was
// connected in the last ten minutes and is not now: a node that is cut off may still answer
// clients. A node that was stopped is not waited for.
func (d *PeerDoor) WaitApplied(ctx context.Context, purge shield.PurgeReport) (applied []shield.RegionReport, pending []string) {
	told := make(map[string]bool)
	for {
		done, missing, moved := d.regions.applied(purge.Epoch)
		for _, region := range done {
			if !told[region] {
				told[region] = true
				applied = append(applied, shield.RegionReport{Region: region, AppliedMs: time.Since(purge.Durable).Milliseconds()})
			}
		}
		missing = slices.DeleteFunc(missing, func(region string) bool { return told[region] })
		if len(missing) == 0 {
			return applied, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return applied, missing
		}
	}
}

// RegionState is a node of a region that follows the log, or a region that does not now.
type RegionState struct {
	Region    string    `json:"region"`
	Node      string    `json:"node,omitempty"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`           // connected, or not
	Epoch     uint64    `json:"epoch,omitempty"` // that is applied there
	LastAck   time.Time `json:"lastAck"`         // when it was last heard of
}

// Regions returns who follows the log, sorted by region.
func (d *PeerDoor) Regions() []RegionState {
	s := &d.regions
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []RegionState
	here := make(map[string]bool)
	for f := range s.followers {
		here[f.region] = true
		out = append(out, RegionState{Region: f.region, Node: f.node, Connected: true, Since: f.since, Epoch: f.acked, LastAck: f.ackedAt})
	}
	for e, at := range s.away {
		if time.Since(at) < missedFor {
			here[e.region] = true
			out = append(out, RegionState{Region: e.region, Node: e.node, Since: at})
		}
	}
	for region, at := range s.seen {
		if !here[region] && time.Since(at) < missedFor {
			out = append(out, RegionState{Region: region, Since: at})
		}
	}
	slices.SortFunc(out, func(a, b RegionState) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node), a.Since.Compare(b.Since))
	})
	return out
}

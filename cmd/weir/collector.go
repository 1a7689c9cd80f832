package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"

	"go.uber.org/zap"

	"weir/l1"
)

// How much garbage the collector lets pile up: gcPercent of what is alive, and while what is made is small
// smallPercent of it, but gcRoom at least, in bytes.
//
// What a cache keeps alive is mostly bodies, which cost nothing to mark, so collecting three times as
// often as Go does by default is cheap and saves memory: 40 instead of 82 MiB above idle for a 4 GiB body
// on its way to eleven clients. While little is alive a third of it is nothing, and every few hundred
// misses were followed by a collection: a miss took 370 to 420 us of CPU time, 310 to 370 with the room.
// A long body needs no such room: what it leaves behind are a few large pieces, found in no time. With 256 MiB
// of small objects alive a seventh of what a miss cost was marking at 33, and a tenth at 50; a twentieth, since they are
// fewer pieces and a miss costs less.
//
// With 1,000,000 objects in memory (bench/memory -hits) there was a collection in 10 s at 33, none at 100, for 100 MiB
// of garbage a second. It stopped everything for 0.2 ms at most. Hits make no garbage, or little, so it is no more: at 100
// the process would be twice as large as its memory tier.
const (
	gcPercent    = 33
	smallPercent = 50
	gcRoom       = 32 << 20
	gcSmall      = 2 << 10 // bytes of an allocation, on average
)

// A heap is what the collector is tuned by.
type heap struct {
	live             uint64 // bytes that the last cycle found
	allocated, count uint64 // bytes and allocations since the process began
}

func readHeap() heap {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(s)
	return heap{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64()}
}

// percentAfter is the GOGC for what is alive, and for what was made since before.
func (h heap) percentAfter(before heap) int {
	if h.allocated-before.allocated > gcSmall*(h.count-before.count) {
		return gcPercent
	}
	return int(max(smallPercent, min(10*gcPercent, gcRoom*100/max(h.live, 1))))
}

// limitMemory tunes the collector until stop is called, unless GOGC or GOMEMLIMIT say otherwise. In a
// container with a memory limit the process stays below it: the collector then
// works harder instead of the process being killed.
func (s *service) limitMemory() (stop func()) {
	c := &collector{read: readHeap, tell: func(percent int) { debug.SetGCPercent(percent) }}
	stop = func() { c.stopped.Store(true) }
	if s.con.env("GOGC") == "" {
		c.tune()
	}
	limit := containerMemory(os.DirFS("/"))
	if limit == 0 || s.con.env("GOMEMLIMIT") != "" {
		return stop
	}
	debug.SetMemoryLimit(heapWithin(limit, l1.FileBytes(int64(s.L1Size))))
	if s.Role != roleShield && int64(s.L1Size) > limit/2 {
		s.log.Warn("the memory tier may take more than half of the container's memory",
			zap.Stringer("l1-size", s.L1Size), zap.Stringer("container", size(limit)))
	}
	return stop
}

// heapWithin is how much of a container's memory the heap may have beside files that lie in memory, of which the collector
// knows nothing.
func heapWithin(limit, files int64) int64 { return max(limit/2, limit/10*9-files) }

// collector tells the garbage collector, after each of its cycles, when the next one is due.
type collector struct {
	read    func() heap
	tell    func(percent int)
	told    int
	last    heap
	stopped atomic.Bool
}

// tune is called once, and then by the runtime.
func (c *collector) tune() {
	if c.stopped.Load() {
		return
	}
	now := c.read()
	percent := now.percentAfter(c.last)
	c.last = now
	if change := percent - c.told; 8*max(change, -change) > c.told { // to tell it stops everything for a moment
		c.told = percent
		c.tell(percent)
	}
	cycle := new([64]byte) // is gone after the next one
	runtime.AddCleanup(cycle, (*collector).tune, c)
}

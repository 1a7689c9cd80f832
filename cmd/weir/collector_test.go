package main

import (
	"runtime"
	"testing"
)

func TestPercentAfter(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{
		{0, 330}, {4 << 20, 330}, {16 << 20, 200}, {32 << 20, 100}, {60 << 20, 53}, {64 << 20, 50}, {100 << 30, 50},
	} {
		before := heap{allocated: 1 << 30, count: 1 << 20}
		small, large := heap{c.live, 1<<30 + 200*50_000, 1<<20 + 50_000}, heap{c.live, 1<<30 + 64<<20, 1<<20 + 5_000}
		if got := small.percentAfter(before); got != c.want {
			t.Errorf("GOGC is %d with %d MiB alive, want %d", got, c.live>>20, c.want)
		}
		if got := large.percentAfter(before); got != gcPercent {
			t.Errorf("GOGC is %d with %d MiB alive and large pieces, want %d", got, c.live>>20, gcPercent)
		}
	}
}

// The collector is told again after a cycle that has found more alive.
func TestCollectorIsTold(t *testing.T) {
	if h := readHeap(); h.allocated == 0 || h.count == 0 {
		t.Errorf("%+v of a process that runs", h)
	}
	told, cycles := make(chan int, 100), 0
	c := &collector{
		read: func() heap { cycles++; return heap{live: uint64(cycles) << 25} },
		tell: func(percent int) { told <- percent },
	}
	c.tune()
	if first := <-told; first != 100 {
		t.Errorf("GOGC is %d with 32 MiB alive", first)
	}
	for len(told) == 0 {
		runtime.GC() // the runtime calls when it has the time
		runtime.Gosched()
	}
	c.stopped.Store(true)
	if second := <-told; second != smallPercent {
		t.Errorf("GOGC is %d with 64 MiB alive", second)
	}
	over := &collector{read: readHeap, tell: func(percent int) { t.Errorf("told %d when it was over", percent) }}
	over.stopped.Store(true)
	over.tune()
}

func TestTheHeapLeavesRoomForFiles(t *testing.T) {
	for _, c := range []struct{ limit, files, want int64 }{
		{1000, 0, 900}, {1000, 60, 840}, {1000, 400, 500}, {1000, 100_000, 500},
	} {
		if got := heapWithin(c.limit, c.files); got != c.want {
			t.Errorf("%d with %d in files: %d, want %d", c.limit, c.files, got, c.want)
		}
	}
}

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

// The collector is told again after a cycle that has found much more alive.
func TestCollectorIsTold(t *testing.T) {
	told := make(chan int, 100)
	c := &collector{tell: func(percent int) { told <- percent }}
	defer c.stopped.Store(true)
	runtime.GC() // what other tests had alive is not alive any more
	c.tune()
	little, held := <-told, make([]byte, 256<<20)
	for much := little; much >= little; {
		runtime.GC()
		select {
		case much = <-told:
		default: // the runtime calls when it has the time
		}
	}
	runtime.KeepAlive(held)
	if little <= gcPercent {
		t.Errorf("GOGC is %d with little alive", little)
	}
	c.stopped.Store(true)
	c.tune()
	if len(told) != 0 {
		t.Errorf("told %d when it was over", <-told)
	}
}

//go:build !race

package weir_test

import (
	"context"
	"testing"
	"testing/synctest"

	"weir"
)

// What is in memory costs no allocation, whatever has been written meanwhile. Code that is watched by the race
// detector is another one, and does allocate.
func TestHitsAllocateNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		ctx := t.Context()
		ann := user{"ann", 41}
		fetch := func(context.Context) (user, error) { return ann, nil }
		o := weir.SWROptions{Tags: []string{"users", "people"}}
		use := func() {
			if u, err := weir.SWR(ctx, c, "user:1", fetch, o); u != ann || err != nil {
				t.Fatal(u, err)
			}
		}
		use()
		synctest.Wait() // who fetched has its value before it is remembered
		read := func() {
			if u, err := weir.Get[user](ctx, c, "user:1"); u != ann || err != nil {
				t.Fatal(u, err)
			}
		}
		must(t, c.Delete(ctx, "nothing")) // entries are looked at anew
		for name, hit := range map[string]func(){"SWR": use, "Get": read} {
			if n := testing.AllocsPerRun(1000, hit); n != 0 {
				t.Errorf("%s: %v allocations for a hit", name, n)
			}
		}
	})
}

func BenchmarkHit(b *testing.B) {
	c := open(b, weir.Options{})
	fetch := func(context.Context) (user, error) { return user{"ann", 41}, nil }
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if u, err := weir.SWR(ctx, c, "user:1", fetch, weir.SWROptions{}); u.Age != 41 || err != nil {
			b.Fatal(u, err)
		}
	}
}

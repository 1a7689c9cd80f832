package weir_test

import (
	"context"
	"testing"

	"weir"
)

// What is in memory costs no allocation, whatever has been written meanwhile.
func TestHitsAllocateNothing(t *testing.T) {
	c := open(t, weir.Options{})
	ctx := t.Context()
	large := user{"ann", 41}
	fetch := func(context.Context) (user, error) { return large, nil }
	o := weir.SWROptions{Tags: []string{"users", "people"}}
	use := func() {
		if u, err := weir.SWR(ctx, c, "user:1", fetch, o); u != large || err != nil {
			t.Fatal(u, err)
		}
	}
	use()
	fill := func() {
		if u, err := weir.Get[user](ctx, c, "user:1"); u != large || err != nil {
			t.Fatal(u, err)
		}
	}
	must(t, c.Delete(ctx, "nothing")) // entries are looked at anew
	for name, hit := range map[string]func(){"SWR": use, "Get": fill} {
		if n := testing.AllocsPerRun(1000, hit); n != 0 {
			t.Errorf("%s: %v allocations for a hit", name, n)
		}
	}
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

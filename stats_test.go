package weir_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir"
)

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{Report: func(error) {}})
		s := new(source)
		look := func() {
			swr(t, c, s, weir.SWROptions{})
			synctest.Wait()
		}
		missing := func() {
			if _, err := weir.Get[user](t.Context(), c, "none"); !errors.Is(err, weir.ErrMissing) {
				t.Error(err)
			}
		}
		for _, step := range []struct {
			name string
			do   func()
			want weir.Stats // since the step before it, but for what is held
		}{
			{"nothing is there", look, weir.Stats{Misses: 1, Fetches: 1, Entries: 1}},
			{"fresh", look, weir.Stats{Hits: 1, Entries: 1}},
			{"missing", missing, weir.Stats{Misses: 1, Entries: 2}},
			{"known to be missing", missing, weir.Stats{Hits: 1, Entries: 2}},
			{"stale", func() { time.Sleep(60 * time.Second); look() }, weir.Stats{Stale: 1, Fetches: 1, Entries: 2}},
			{"stale, and the refresh fails", func() { time.Sleep(60 * time.Second); s.err = errors.New("down"); look() }, weir.Stats{Stale: 1, Fetches: 1, Errors: 1, Entries: 2}},
			{"gone", func() { time.Sleep(time.Hour); s.err = nil; look() }, weir.Stats{Misses: 1, Fetches: 1, Entries: 2}},
			{"deleted", func() {
				if err := c.Delete(t.Context(), "user:1"); err != nil {
					t.Error(err)
				}
			}, weir.Stats{Entries: 1}},
		} {
			before := c.Stats()
			step.do()
			got := c.Stats()
			if got.Bytes <= 0 || got.Bytes > 4096 {
				t.Errorf("%s: %d bytes", step.name, got.Bytes)
			}
			got.Bytes = 0
			got.Hits -= before.Hits
			got.Stale -= before.Stale
			got.Misses -= before.Misses
			got.Fetches -= before.Fetches
			got.Errors -= before.Errors
			if got != step.want {
				t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
			}
		}
	})
}

func ExampleCache_Stats() {
	ctx := context.Background()
	cache, err := weir.Open(weir.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close(ctx) }()

	if err := weir.Set(ctx, cache, "rate", 0.94, weir.SetOptions{}); err != nil {
		fmt.Println(err)
	}
	for range 10 {
		_, _ = weir.Get[float64](ctx, cache, "rate")
	}
	s := cache.Stats()
	fmt.Println(s.Hits, "hits,", s.Misses, "miss,", s.Entries, "entry")
	// Output: 9 hits, 1 miss, 1 entry
}

package weir_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir"
)

type user struct {
	Name string
	Age  int
}

// source is where fetches come from in tests.
type source struct {
	calls atomic.Int64
	err   error
	hold  chan struct{} // nil: answers at once
}

func (s *source) fetch(context.Context) (user, error) {
	n := s.calls.Add(1)
	if s.hold != nil {
		<-s.hold
	}
	return user{"ann", int(n)}, s.err
}

func swr(t *testing.T, c *weir.Cache, s *source, o weir.SWROptions) user {
	t.Helper()
	u, err := weir.SWR(t.Context(), c, "user:1", s.fetch, o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSWRLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := new(source)
		for _, step := range []struct {
			after time.Duration
			want  int // the fetch that the value is of
			calls int64
		}{
			{0, 1, 1},
			{59 * time.Second, 1, 1},
			{time.Second, 1, 2},        // stale from here on, and refreshed in the background
			{0, 2, 2},                  // by now
			{660 * time.Second, 3, 3},  // gone
			{659 * time.Second, 3, 4},  // stale for the last second
			{59 * time.Second, 4, 4},   // fresh since then
			{700 * time.Second, 5, 5},  // gone
			{100 * time.Second, 5, 6},  // stale
			{1 * time.Second, 6, 6},    // refreshed
			{1000 * time.Second, 7, 7}, // gone
		} {
			time.Sleep(step.after)
			got := swr(t, c, s, weir.SWROptions{})
			synctest.Wait()
			if got.Age != step.want || s.calls.Load() != step.calls {
				t.Errorf("after %v more: fetch %d of %d, want %d of %d", step.after, got.Age, s.calls.Load(), step.want, step.calls)
			}
		}
	})
}

func TestSWROptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := new(source)
		o := weir.SWROptions{TTL: time.Second, Stale: -1}
		swr(t, c, s, o)
		time.Sleep(time.Second)
		if got := swr(t, c, s, o); got.Age != 2 {
			t.Errorf("without a stale time a value is used after its TTL")
		}
		for name, bad := range map[string]weir.SWROptions{
			"a negative TTL":         {TTL: -1},
			"a negative NegativeTTL": {NegativeTTL: -1},
			"an endless NegativeTTL": {NegativeTTL: math.MaxInt64},
			"an empty tag":           {Tags: []string{""}},
			"a long tag":             {Tags: []string{string(make([]byte, 257))}},
			"many tags":              {Tags: make([]string, 101)},
		} {
			if _, err := weir.SWR(t.Context(), c, "bad", s.fetch, bad); !errors.Is(err, weir.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, key := range []string{"", string(make([]byte, 1025))} {
			if _, err := weir.SWR(t.Context(), c, key, s.fetch, o); !errors.Is(err, weir.ErrKey) {
				t.Errorf("a key of %d bytes: %v", len(key), err)
			}
		}
		if s.calls.Load() != 2 {
			t.Errorf("%d fetches, want those of good requests alone", s.calls.Load())
		}
	})
}

func TestColdKeyIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := &source{hold: make(chan struct{})}
		var got sync.WaitGroup
		for range 1000 {
			got.Go(func() {
				if u := swr(t, c, s, weir.SWROptions{}); u != (user{"ann", 1}) {
					t.Errorf("got %+v", u)
				}
			})
		}
		synctest.Wait()
		close(s.hold)
		got.Wait()
		if n := s.calls.Load(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
	})
}

func TestStaleKeyIsRefreshedOnceAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		s.hold = make(chan struct{})
		began := time.Now()
		var got sync.WaitGroup
		for range 1000 {
			got.Go(func() {
				if u := swr(t, c, s, weir.SWROptions{}); u.Age != 1 {
					t.Errorf("got %+v, want the stale one", u)
				}
			})
		}
		got.Wait() // while the refresh is held
		if waited := time.Since(began); waited != 0 {
			t.Errorf("somebody waited %v", waited)
		}
		synctest.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Errorf("%d fetches, want the first and one refresh", n)
		}
		swr(t, c, s, weir.SWROptions{}) // also of what the refresh has found in the store
		close(s.hold)
		synctest.Wait()
		if u := swr(t, c, s, weir.SWROptions{}); u.Age != 2 {
			t.Errorf("after the refresh: %+v", u)
		}
	})
}

func TestErrorsGoToThoseWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		down := errors.New("down")
		s := &source{err: down, hold: make(chan struct{})}
		var got sync.WaitGroup
		for range 100 {
			got.Go(func() {
				if _, err := weir.SWR(t.Context(), c, "user:1", s.fetch, weir.SWROptions{NegativeTTL: time.Hour}); !errors.Is(err, down) {
					t.Errorf("error %v", err)
				}
			})
		}
		synctest.Wait()
		close(s.hold)
		got.Wait()
		s.err = nil
		if u := swr(t, c, s, weir.SWROptions{}); u.Age != 2 {
			t.Errorf("the one after them got %+v", u)
		}
	})
}

func TestStaleValueOutlivesFailedRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported atomic.Int64
		c := open(t, weir.Options{Report: func(error) { reported.Add(1) }})
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		s.err = errors.New("down")
		for range 50 { // five a second
			if u := swr(t, c, s, weir.SWROptions{}); u.Age != 1 {
				t.Fatalf("got %+v", u)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if n := s.calls.Load(); n != 1+10 || reported.Load() != 10 {
			t.Errorf("%d fetches and %d reports in 10 s, want one a second", n, reported.Load())
		}
		s.err = nil
		time.Sleep(time.Second)
		swr(t, c, s, weir.SWROptions{})
		synctest.Wait()
		if u := swr(t, c, s, weir.SWROptions{}); u.Age == 1 {
			t.Error("not refreshed when it worked again")
		}
	})
}

func TestNegativeResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := &source{err: fmt.Errorf("no row: %w", weir.ErrMissing)}
		ask := func(o weir.SWROptions) {
			t.Helper()
			if _, err := weir.SWR(t.Context(), c, "user:1", s.fetch, o); !errors.Is(err, weir.ErrMissing) || err.Error() != s.err.Error() {
				t.Errorf("error %v", err)
			}
			synctest.Wait()
		}
		for range 3 {
			ask(weir.SWROptions{})
		}
		if n := s.calls.Load(); n != 3 {
			t.Errorf("%d fetches, want all 3: nobody asked to remember", n)
		}
		o := weir.SWROptions{NegativeTTL: 10 * time.Second, Tags: []string{"users"}}
		for range 3 {
			ask(o)
		}
		if n := s.calls.Load(); n != 4 {
			t.Errorf("%d fetches, want 4", n)
		}
		time.Sleep(10 * time.Second)
		ask(o)
		if n := s.calls.Load(); n != 5 {
			t.Errorf("%d fetches after its time, want 5", n)
		}
		if err := c.Purge(t.Context(), "users"); err != nil {
			t.Fatal(err)
		}
		ask(o)
		if n := s.calls.Load(); n != 6 {
			t.Errorf("%d fetches after a purge, want 6", n)
		}
		if err := weir.Set(t.Context(), c, "user:1", user{"bob", 9}, weir.SetOptions{}); err != nil {
			t.Fatal(err)
		}
		if u := swr(t, c, s, o); u.Name != "bob" {
			t.Errorf("after a Set: %+v", u)
		}
	})
}

func TestRefreshThatFindsNothingRemovesTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		s.err = weir.ErrMissing
		swr(t, c, s, weir.SWROptions{}) // the stale one, once
		synctest.Wait()
		if _, err := weir.SWR(t.Context(), c, "user:1", s.fetch, weir.SWROptions{}); !errors.Is(err, weir.ErrMissing) {
			t.Errorf("then: %v", err)
		}
		if there, err := c.Has(t.Context(), "user:1"); there || err != nil {
			t.Errorf("Has: %v, %v", there, err)
		}
	})
}

func TestPanicsAreContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{Report: noReport})
		reason := errors.New("nil map")
		hold := make(chan struct{})
		fails := map[string]func(context.Context) (user, error){
			"panics": func(context.Context) (user, error) { <-hold; panic(reason) },
			"exits":  func(context.Context) (user, error) { <-hold; runtime.Goexit(); return user{}, nil },
		}
		var got sync.WaitGroup
		for key, fetch := range fails {
			for range 10 {
				got.Go(func() {
					_, err := weir.SWR(t.Context(), c, key, fetch, weir.SWROptions{})
					var p *weir.PanicError
					if err == nil || key == "panics" && (!errors.As(err, &p) || !errors.Is(err, reason) || len(p.Stack) == 0) {
						t.Errorf("%s: %v", key, err)
					}
				})
			}
		}
		synctest.Wait()
		close(hold)
		got.Wait()
		s := new(source)
		for key := range fails {
			if u, err := weir.SWR(t.Context(), c, key, s.fetch, weir.SWROptions{}); err != nil || u.Name != "ann" {
				t.Errorf("%s, the next one: %v, %v", key, u, err)
			}
		}
	})
}

// A refresh has no caller to tell of its panic, and must not end the process either.
func TestRefreshThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		c := open(t, weir.Options{Report: func(err error) { reported = append(reported, err) }})
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		u, err := weir.SWR(t.Context(), c, "user:1", func(context.Context) (user, error) { panic("oh") }, weir.SWROptions{})
		synctest.Wait()
		var p *weir.PanicError
		if err != nil || u.Age != 1 || len(reported) != 1 || !errors.As(reported[0], &p) {
			t.Errorf("%v, %v, reported %v", u, err, reported)
		}
	})
}

func TestFetchThatHangsHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{FetchTimeout: 10 * time.Second, Report: noReport})
		s := &source{hold: make(chan struct{})} // which does not hear its context

		left, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, err := weir.SWR(left, c, "user:1", s.fetch, weir.SWROptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who leaves gets %v", err)
		}
		began := time.Now()
		if _, err := weir.SWR(t.Context(), c, "user:1", s.fetch, weir.SWROptions{}); !errors.Is(err, weir.ErrTimeout) {
			t.Errorf("who stays gets %v", err)
		}
		if waited := time.Since(began); waited != 9*time.Second {
			t.Errorf("after %v, want the rest of the time limit", waited)
		}
		other, err := weir.SWR(t.Context(), c, "user:2", new(source).fetch, weir.SWROptions{})
		if err != nil || other.Name != "ann" {
			t.Errorf("another key: %v, %v", other, err)
		}
		quick := new(source)
		if u := swr(t, c, quick, weir.SWROptions{}); u.Age != 1 {
			t.Errorf("the next one: %+v", u)
		}
		close(s.hold) // what it brings so late is not for anybody
		synctest.Wait()
		if u := swr(t, c, quick, weir.SWROptions{}); u.Age != 1 || quick.calls.Load() != 1 {
			t.Errorf("then: %+v of %d fetches", u, quick.calls.Load())
		}
	})
}

func TestRefreshThatHangsIsFollowedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{FetchTimeout: 10 * time.Second, MaxRefreshes: 1, Report: noReport})
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		s.hold = make(chan struct{})
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(12 * time.Second)
		quick := new(source)
		swr(t, c, quick, weir.SWROptions{})
		synctest.Wait()
		if n := quick.calls.Load(); n != 1 {
			t.Errorf("%d refreshes after the one that hangs, want 1", n)
		}
		close(s.hold)
	})
}

func TestFetchHasTheValuesOfItsCallerAndNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		type trace struct{}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), trace{}, "t1"))
		go func() {
			time.Sleep(time.Second)
			leave()
		}()
		_, err := weir.SWR(ctx, c, "k", func(ctx context.Context) (string, error) {
			time.Sleep(2 * time.Second)
			return ctx.Value(trace{}).(string), ctx.Err()
		}, weir.SWROptions{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		time.Sleep(2 * time.Second)
		if v, err := weir.Get[string](t.Context(), c, "k"); v != "t1" || err != nil {
			t.Errorf("kept %q, %v", v, err)
		}
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{MaxRefreshes: 3})
		s := new(source)
		ask := func() {
			for i := range 10 {
				if _, err := weir.SWR(t.Context(), c, fmt.Sprint("k", i), s.fetch, weir.SWROptions{}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		ask()
		time.Sleep(2 * time.Minute)
		s.hold = make(chan struct{})
		ask()
		ask()
		if n := s.calls.Load(); n != 10+3 {
			t.Errorf("%d refreshes at a time, want 3", n-10)
		}
		close(s.hold)
		synctest.Wait()
		for range 3 {
			ask()
		}
		if n := s.calls.Load(); n != 10+10 {
			t.Errorf("%d refreshes in the end, want 10", n-10)
		}
	})
}

func TestCloseWaitsForRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := weir.Open(weir.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := new(source)
		swr(t, c, s, weir.SWROptions{})
		time.Sleep(2 * time.Minute)
		ended := false
		_, err = weir.SWR(t.Context(), c, "user:1", func(context.Context) (user, error) {
			time.Sleep(5 * time.Second)
			ended = true
			return user{}, nil
		}, weir.SWROptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil || !ended {
			t.Errorf("close: %v; the refresh has ended: %v", err, ended)
		}
		if _, err := weir.SWR(t.Context(), c, "user:2", s.fetch, weir.SWROptions{}); !errors.Is(err, weir.ErrClosed) {
			t.Errorf("after that: %v", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close again: %v", err)
		}
	})
}

func TestCloseCutsOffWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := weir.Open(weir.Options{Report: noReport})
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan error, 1)
		go func() {
			_, err := weir.SWR(t.Context(), c, "k", func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}, weir.SWROptions{})
			told <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("who waited got %v", err)
		}
	})
}

package weir_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir"
)

// must is for calls that have to work.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What comes while a fetch runs wins over what the fetch brings.
func TestFetchThatIsOvertakenIsNotKept(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, c *weir.Cache){
		"Set": func(t *testing.T, c *weir.Cache) {
			must(t, weir.Set(t.Context(), c, "user:1", user{"bob", 9}, weir.SetOptions{}))
		},
		"Delete": func(t *testing.T, c *weir.Cache) { must(t, c.Delete(t.Context(), "user:1")) },
		"Purge":  func(t *testing.T, c *weir.Cache) { must(t, c.Purge(t.Context(), "users")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, weir.Options{})
				slow := &source{hold: make(chan struct{})}
				o := weir.SWROptions{Tags: []string{"users"}}
				var waiting sync.WaitGroup
				waiting.Go(func() {
					if u := swr(t, c, slow, o); u.Age != 1 {
						t.Errorf("who waited got %+v", u)
					}
				})
				synctest.Wait()
				meanwhile(t, c)
				later := new(source)
				after := swr(t, c, later, o) // does not join the flight from before
				want := user{"ann", 1}
				if name == "Set" {
					want = user{"bob", 9}
				}
				if after != want || name != "Set" && later.calls.Load() != 1 {
					t.Errorf("who came after it got %+v of %d fetches", after, later.calls.Load())
				}
				close(slow.hold)
				waiting.Wait()
				synctest.Wait()
				if name != "Set" {
					must(t, c.Delete(t.Context(), "user:1"))
					want = user{"ann", 2}
				}
				if u := swr(t, c, later, o); u != want {
					t.Errorf("in the end: %+v, want %+v", u, want)
				}
			})
		})
	}
}

// The same for a key that nobody asks for again before the fetch ends.
func TestFetchThatIsOvertakenLeavesNothing(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, c *weir.Cache){
		"Delete": func(t *testing.T, c *weir.Cache) { must(t, c.Delete(t.Context(), "user:1")) },
		"Purge":  func(t *testing.T, c *weir.Cache) { must(t, c.Purge(t.Context(), "users")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, weir.Options{})
				slow := &source{hold: make(chan struct{})}
				var waiting sync.WaitGroup
				waiting.Go(func() { swr(t, c, slow, weir.SWROptions{Tags: []string{"users"}}) })
				synctest.Wait()
				meanwhile(t, c)
				close(slow.hold)
				waiting.Wait()
				synctest.Wait()
				if there, err := c.Has(t.Context(), "user:1"); there || err != nil {
					t.Errorf("Has: %v, %v", there, err)
				}
			})
		})
	}
}

// holding is a codec whose first decoding says that it has begun, and waits.
func holding(codec weir.Codec) (_ weir.Codec, begun, hold chan struct{}) {
	begun, hold = make(chan struct{}), make(chan struct{})
	decode := codec.Decode
	var second atomic.Bool
	codec.Decode = func(src []byte, v any) error {
		if !second.Swap(true) {
			close(begun)
			<-hold
		}
		return decode(src, v)
	}
	return codec, begun, hold
}

// What a purge names by tags that the callers do not know is not theirs after it, and they
// still wait together.
func TestFlightThatFoundWhatIsPurged(t *testing.T) {
	fetched := new(source)
	for name, ask := range map[string]func(t *testing.T, c *weir.Cache) (user, error){
		"Get": func(t *testing.T, c *weir.Cache) (user, error) { return weir.Get[user](t.Context(), c, "user:1") },
		"SWR": func(t *testing.T, c *weir.Cache) (user, error) {
			return weir.SWR(t.Context(), c, "user:1", fetched.fetch, weir.SWROptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				codec, _, hold := holding(weir.JSON)
				c := open(t, weir.Options{Codec: codec})
				must(t, weir.Set(t.Context(), c, "user:1", user{"old", 0}, weir.SetOptions{Tags: []string{"users"}}))
				var waiting sync.WaitGroup
				waiting.Go(func() {
					if u, err := ask(t, c); u.Name != "old" || err != nil {
						t.Errorf("who came before the purge got %v, %v", u, err)
					}
				})
				synctest.Wait()
				must(t, c.Purge(t.Context(), "users"))
				for range 10 {
					waiting.Go(func() {
						u, err := ask(t, c)
						if name == "Get" && !errors.Is(err, weir.ErrMissing) || name == "SWR" && (u.Name != "ann" || err != nil) {
							t.Errorf("who came after the purge got %v, %v", u, err)
						}
					})
				}
				synctest.Wait()
				close(hold)
				waiting.Wait()
				if n := fetched.calls.Load(); name == "SWR" && n != 1 {
					t.Errorf("%d fetches, want 1", n)
				}
			})
		})
	}
}

func TestSetGetDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		ctx := t.Context()
		if _, err := weir.Get[user](ctx, c, "k"); !errors.Is(err, weir.ErrMissing) {
			t.Errorf("nothing: %v", err)
		}
		must(t, weir.Set(ctx, c, "k", user{"ann", 1}, weir.SetOptions{TTL: time.Minute, Stale: time.Minute}))
		for range 2 {
			if u, err := weir.Get[user](ctx, c, "k"); u.Name != "ann" || err != nil {
				t.Errorf("%v, %v", u, err)
			}
		}
		if _, err := weir.Get[int](ctx, c, "k"); err == nil || !strings.Contains(err.Error(), `"k"`) {
			t.Errorf("as another type: %v", err)
		}
		if there, err := c.Has(ctx, "k"); !there || err != nil {
			t.Errorf("Has: %v, %v", there, err)
		}
		time.Sleep(90 * time.Second)
		if u, err := weir.Get[user](ctx, c, "k"); u.Name != "ann" || err != nil {
			t.Errorf("stale: %v, %v", u, err)
		}
		time.Sleep(30 * time.Second)
		if _, err := weir.Get[user](ctx, c, "k"); !errors.Is(err, weir.ErrMissing) {
			t.Errorf("after its time: %v", err)
		}
		must(t, weir.Set(ctx, c, "k", user{"bob", 1}, weir.SetOptions{}))
		time.Sleep(1000 * time.Hour)
		if u, err := weir.Get[user](ctx, c, "k"); u.Name != "bob" || err != nil {
			t.Errorf("without a TTL: %v, %v", u, err)
		}
		must(t, c.Delete(ctx, "k"))
		must(t, c.Delete(ctx, "k"))
		if _, err := weir.Get[user](ctx, c, "k"); !errors.Is(err, weir.ErrMissing) {
			t.Errorf("deleted: %v", err)
		}
	})
}

func TestSetIfAbsent(t *testing.T) {
	c := open(t, weir.Options{})
	o := weir.SetOptions{IfAbsent: true}
	must(t, weir.Set(t.Context(), c, "lock", "a", o))
	if err := weir.Set(t.Context(), c, "lock", "b", o); !errors.Is(err, weir.ErrCondition) {
		t.Errorf("there is one: %v", err)
	}
	if v, err := weir.Get[string](t.Context(), c, "lock"); v != "a" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestPurgeNamesValuesByTags(t *testing.T) {
	c := open(t, weir.Options{})
	ctx := t.Context()
	for key, tags := range map[string][]string{"1": {"a", "b"}, "2": {"b"}, "3": {"c"}, "4": nil} {
		must(t, weir.Set(ctx, c, key, key, weir.SetOptions{Tags: tags}))
		if v, err := weir.Get[string](ctx, c, key); v != key || err != nil { // so that memory has it
			t.Fatalf("%q, %v", v, err)
		}
	}
	must(t, c.Purge(ctx))
	must(t, c.Purge(ctx, "b", "nobody's"))
	var left []string
	for _, key := range []string{"1", "2", "3", "4"} {
		if there, err := c.Has(ctx, key); err != nil {
			t.Fatal(err)
		} else if there {
			left = append(left, key)
		}
	}
	if !slices.Equal(left, []string{"3", "4"}) {
		t.Errorf("left: %v", left)
	}
	if err := c.Purge(ctx, ""); !errors.Is(err, weir.ErrInvalid) {
		t.Errorf("an empty tag: %v", err)
	}
}

func TestIncr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{})
		ctx := t.Context()
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 20 {
					if n, err := c.Incr(ctx, "n", 1, time.Minute); err != nil || !n.Until.Equal(began.Add(time.Minute)) {
						t.Errorf("%+v, %v", n, err)
					}
				}
			})
		}
		all.Wait()
		time.Sleep(59 * time.Second)
		if n, err := c.Incr(ctx, "n", -1, time.Hour); n.Number != 999 || err != nil {
			t.Errorf("%+v, %v", n, err)
		}
		if n, err := weir.Get[int](ctx, c, "n"); n != 999 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		time.Sleep(time.Second)
		if n, err := c.Incr(ctx, "n", 5, 0); n.Number != 5 || !n.Until.IsZero() || err != nil {
			t.Errorf("a new window: %+v, %v", n, err)
		}
		must(t, weir.Set(ctx, c, "s", "word", weir.SetOptions{}))
		if _, err := c.Incr(ctx, "s", 1, 0); !errors.Is(err, weir.ErrNotNumber) {
			t.Errorf("a word: %v", err)
		}
		must(t, weir.Set(ctx, c, "max", int64(math.MaxInt64), weir.SetOptions{}))
		if _, err := c.Incr(ctx, "max", 1, 0); !errors.Is(err, weir.ErrOverflow) {
			t.Errorf("overflow: %v", err)
		}
	})
}

func TestBadKeysAndValues(t *testing.T) {
	c := open(t, weir.Options{})
	ctx := t.Context()
	for _, key := range []string{"", strings.Repeat("k", 1025), "\xff"} {
		_, getErr := weir.Get[int](ctx, c, key)
		_, hasErr := c.Has(ctx, key)
		_, incrErr := c.Incr(ctx, key, 1, 0)
		for name, err := range map[string]error{
			"Get": getErr, "Has": hasErr, "Incr": incrErr,
			"Set": weir.Set(ctx, c, key, 1, weir.SetOptions{}), "Delete": c.Delete(ctx, key),
		} {
			if !errors.Is(err, weir.ErrKey) {
				t.Errorf("%s of %.20q: %v", name, key, err)
			}
		}
	}
	for name, err := range map[string]error{
		"no JSON":        weir.Set(ctx, c, "k", make(chan int), weir.SetOptions{}),
		"too large":      weir.Set(ctx, c, "k", strings.Repeat("x", 8<<20), weir.SetOptions{}),
		"a negative TTL": weir.Set(ctx, c, "k", 1, weir.SetOptions{TTL: -1}),
	} {
		if !errors.Is(err, weir.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if there, err := c.Has(ctx, "k"); there || err != nil {
		t.Errorf("Has: %v, %v", there, err)
	}
	for _, key := range []string{"a/b c%2F", "ünï", "\x00.."} {
		must(t, weir.Set(ctx, c, key, key == "", weir.SetOptions{}))
		if there, err := c.Has(ctx, key); !there || err != nil {
			t.Errorf("%q: %v, %v", key, there, err)
		}
	}
}

func TestOpenRefusesWhatContradictsItself(t *testing.T) {
	for _, o := range []weir.Options{{Folder: "a", Node: "http://b:1"}, {Token: "t"}, {Node: "ftp://b"}, {Node: "b"}} {
		if c, err := weir.Open(o); err == nil {
			t.Errorf("%+v is opened", o)
			must(t, c.Close(context.Background()))
		}
	}
}

func TestTypesOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, weir.Options{Report: noReport})
		ctx := t.Context()
		number := func(context.Context) (int, error) { return 7, nil }
		word := func(context.Context) (string, error) { return "seven", nil }
		for range 2 {
			if n, err := weir.SWR(ctx, c, "k", number, weir.SWROptions{}); n != 7 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			synctest.Wait() // until it is kept
			if f, err := weir.Get[float64](ctx, c, "k"); f != 7 || err != nil {
				t.Errorf("%v, %v", f, err)
			}
			if w, err := weir.SWR(ctx, c, "k", word, weir.SWROptions{}); w != "seven" || err != nil {
				t.Errorf("%q, %v", w, err)
			}
			synctest.Wait()
		}
		if v, err := weir.SWR(ctx, c, "any", func(context.Context) (any, error) { return nil, nil }, weir.SWROptions{}); v != nil || err != nil {
			t.Errorf("%v, %v", v, err)
		}
		synctest.Wait()
	})
}

// What cannot be encoded is the caller's all the same; it is fetched again the next time.
func TestValueThatCannotBeEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reported []error
		c := open(t, weir.Options{Report: func(err error) { reported = append(reported, err) }})
		type odd struct{ F func() int }
		fetch := func(context.Context) (odd, error) { return odd{func() int { return 3 }}, nil }
		for range 2 {
			v, err := weir.SWR(t.Context(), c, "k", fetch, weir.SWROptions{})
			if err != nil || v.F() != 3 {
				t.Errorf("%v, %v", v, err)
			}
			synctest.Wait()
		}
		if len(reported) != 2 {
			t.Errorf("reported: %v", reported)
		}
	})
}

func TestCodecs(t *testing.T) {
	c := open(t, weir.Options{Codec: weir.Bytes})
	ctx := t.Context()
	must(t, weir.Set(ctx, c, "b", []byte("\x00raw"), weir.SetOptions{}))
	if b, err := weir.Get[[]byte](ctx, c, "b"); string(b) != "\x00raw" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if s, err := weir.Get[string](ctx, c, "b"); s != "\x00raw" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if err := weir.Set(ctx, c, "n", 3, weir.SetOptions{}); !errors.Is(err, weir.ErrInvalid) {
		t.Errorf("a number as bytes: %v", err)
	}
	panics := open(t, weir.Options{Report: noReport, Codec: weir.Codec{
		Encode: func(any) ([]byte, error) { panic("encode") },
		Decode: func([]byte, any) error { panic("decode") },
	}})
	if v, err := weir.SWR(ctx, panics, "k", func(context.Context) (int, error) { return 4, nil }, weir.SWROptions{}); v != 4 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if _, err := panics.Incr(ctx, "n", 1, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := weir.Get[int](ctx, panics, "n"); err == nil {
		t.Error("a codec that panics gives a value")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := open(t, weir.Options{MemoryBytes: 1 << 20})
	ctx := t.Context()
	word := strings.Repeat("x", 10_000)
	for i := range 500 {
		key := "k" + strings.Repeat("y", i)
		must(t, weir.Set(ctx, c, key, word, weir.SetOptions{}))
	}
	there := 0
	for i := range 500 {
		if ok, err := c.Has(ctx, "k"+strings.Repeat("y", i)); err != nil {
			t.Fatal(err)
		} else if ok {
			there++
		}
	}
	if there == 0 || there > 100 {
		t.Errorf("%d values of 10 kB in 1 MiB", there)
	}
}

package kv_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/kv"
)

func TestAValueComesBackAsItWasSet(t *testing.T) {
	p := newPlace(t)
	began := p.clock.time()
	version := set(t, p, "a/b%2Fc ü", kv.Draft{
		Bytes: []byte("bytes"), Type: "text/plain", Metadata: json.RawMessage("{\n \"a\": 1 }"), Tags: []string{"x", "y"},
		TTL: time.Minute, Stale: time.Hour,
	})
	p.clock.pass(time.Second)
	v, err := p.Get(t.Context(), "a/b%2Fc ü")
	if err != nil {
		t.Fatal(err)
	}
	want := &kv.Value{
		Bytes: []byte("bytes"), Type: "text/plain", Metadata: json.RawMessage(`{"a":1}`), Tags: []string{"x", "y"},
		Version: version, Written: began, Fresh: began.Add(time.Minute), Until: began.Add(time.Minute + time.Hour), Epoch: p.log.Current(),
	}
	v.Written, v.Fresh, v.Until = v.Written.UTC(), v.Fresh.UTC(), v.Until.UTC()
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v\nwant %+v", v, want)
	}
	set(t, p, "plain", kv.Draft{})
	if v, err = p.Get(t.Context(), "plain"); err != nil || !v.Fresh.IsZero() || !v.Until.IsZero() || v.Metadata != nil || len(v.Bytes) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A value is fresh and there up to the last nanosecond before its ends.
func TestLifetimes(t *testing.T) {
	const ns = time.Nanosecond
	for _, c := range []struct {
		name       string
		ttl, stale time.Duration
		at         time.Duration
		want       string
	}{
		{"at once", time.Second, 0, 0, "fresh"},
		{"before its end", time.Second, 0, time.Second - ns, "fresh"},
		{"at its end", time.Second, 0, time.Second, ""},
		{"before it goes stale", time.Second, time.Second, time.Second - ns, "fresh"},
		{"when it goes stale", time.Second, time.Second, time.Second, "stale"},
		{"before it is gone", time.Second, time.Second, 2*time.Second - ns, "stale"},
		{"when it is gone", time.Second, time.Second, 2 * time.Second, ""},
		{"for ever", 0, 0, 99 * 365 * 24 * time.Hour, "fresh"},
		{"as long as may be", kv.MaxLifetime, 0, kv.MaxLifetime - ns, "fresh"},
		{"shortly", ns, 0, ns, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t)
			edge := kv.NewEdge(p, p.log, new(memory), kv.EdgeOptions{Now: p.clock.time})
			set(t, edge, "k", kv.Draft{Bytes: []byte("v"), TTL: c.ttl, Stale: c.stale})
			wantText(t, edge, "k", "v")
			p.clock.pass(c.at)
			for name, s := range map[string]kv.Store{"keeper": p, "edge": edge} {
				got := ""
				if v, err := s.Get(t.Context(), "k"); err == nil {
					if got = "fresh"; v.Stale(p.clock.time()) {
						got = "stale"
					}
				}
				if got != c.want {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}
		})
	}
}

func TestConditions(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	refused := func(c kv.Condition, want error) {
		t.Helper()
		if _, err := p.Set(ctx, "k", text("no"), c); !errors.Is(err, want) {
			t.Errorf("set with %+v: %v", c, err)
		}
		if err := p.Delete(ctx, "k", c); !errors.Is(err, want) {
			t.Errorf("delete with %+v: %v", c, err)
		}
	}
	epoch := p.log.Current()
	refused(kv.Condition{Present: true}, kv.ErrCondition)
	refused(kv.Condition{Version: 1}, kv.ErrCondition)
	refused(kv.Condition{Absent: true, Present: true}, kv.ErrInvalid)
	refused(kv.Condition{Absent: true, Version: 3}, kv.ErrInvalid)
	if p.log.Current() != epoch {
		t.Error("what changes nothing is told to everybody")
	}
	if err := p.Delete(ctx, "k", kv.Condition{}); !errors.Is(err, kv.ErrMissing) || p.log.Current() == epoch {
		t.Errorf("delete of nothing: %v, and the log is at %d", err, p.log.Current())
	}
	first, err := p.Set(ctx, "k", kv.Draft{Bytes: []byte("1"), TTL: time.Minute}, kv.Condition{Absent: true})
	if err != nil {
		t.Fatal(err)
	}
	refused(kv.Condition{Absent: true}, kv.ErrCondition)
	refused(kv.Condition{Version: first + 1}, kv.ErrCondition)
	wantText(t, p, "k", "1")
	second, err := p.Set(ctx, "k", kv.Draft{Bytes: []byte("2"), TTL: time.Minute}, kv.Condition{Version: first})
	if err != nil || second == first {
		t.Errorf("%d, %v", second, err)
	}
	refused(kv.Condition{Version: first}, kv.ErrCondition)
	p.clock.pass(time.Minute) // gone: absent, and no version
	refused(kv.Condition{Version: second}, kv.ErrCondition)
	if _, err := p.Set(ctx, "k", text("3"), kv.Condition{Absent: true}); err != nil {
		t.Error(err)
	}
	if err := p.Delete(ctx, "k", kv.Condition{Present: true}); err != nil {
		t.Error(err)
	}
	wantText(t, p, "k", "")
}

func TestIncrements(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	incr := func(key string, by int64, ttl time.Duration) kv.Count {
		t.Helper()
		n, err := p.Incr(ctx, key, kv.Increment{By: by, TTL: ttl})
		if err != nil {
			t.Errorf("%q by %d: %v", key, by, err)
		}
		return n
	}
	first := incr("n", 5, time.Minute)
	p.clock.pass(59 * time.Second)
	if n := incr("n", -2, time.Hour); n.Number != 3 || !n.Fresh.Equal(first.Fresh) || n.Version == first.Version {
		t.Errorf("%+v after %+v: a window keeps its end", n, first)
	}
	p.clock.pass(time.Second)
	if n := incr("n", 1, time.Minute); n.Number != 1 || !n.Fresh.Equal(p.clock.time().Add(time.Minute)) {
		t.Errorf("%+v: a window that has ended begins anew", n)
	}
	if n := incr("ever", 0, 0); n.Number != 0 || !n.Fresh.IsZero() {
		t.Errorf("%+v", n)
	}
	set(t, p, "m", kv.Draft{Bytes: []byte("41"), Type: "text/plain", Metadata: []byte(`1`), Tags: []string{"t"}, TTL: time.Second, Stale: time.Minute})
	p.clock.pass(2 * time.Second)
	if n := incr("m", 1, 0); n.Number != 42 {
		t.Errorf("%+v", n)
	}
	if v, err := p.Get(ctx, "m"); err != nil || v.Type != "text/plain" || string(v.Metadata) != "1" || len(v.Tags) != 1 || !v.Stale(p.clock.time()) {
		t.Errorf("%+v, %v: what surrounds a number stays", v, err)
	}
	wantText(t, p, "m", "42")

	for _, c := range []struct {
		held string
		by   int64
		want error
	}{
		{"9223372036854775807", 1, kv.ErrOverflow},
		{"9223372036854775807", math.MaxInt64, kv.ErrOverflow},
		{"-9223372036854775808", -1, kv.ErrOverflow},
		{"-1", math.MinInt64, kv.ErrOverflow},
		{"9223372036854775808", 1, kv.ErrNotNumber},
		{"", 1, kv.ErrNotNumber},
		{"1.5", 1, kv.ErrNotNumber},
		{" 1", 1, kv.ErrNotNumber},
		{"1\n", 1, kv.ErrNotNumber},
		{"0x10", 1, kv.ErrNotNumber},
		{"1_000", 1, kv.ErrNotNumber},
		{`{"a":1}`, 1, kv.ErrNotNumber},
		{"9223372036854775807", math.MinInt64, nil},
		{"9223372036854775806", 1, nil},
		{"-9223372036854775808", math.MaxInt64, nil},
	} {
		set(t, p, "c", text(c.held))
		epoch := p.log.Current()
		_, err := p.Incr(ctx, "c", kv.Increment{By: c.by})
		if !errors.Is(err, c.want) {
			t.Errorf("%q by %d: %v, want %v", c.held, c.by, err, c.want)
		}
		if err != nil {
			if v, err := p.Get(ctx, "c"); err != nil || string(v.Bytes) != c.held {
				t.Errorf("%q is %+v, %v", c.held, v, err)
			}
			if p.log.Current() != epoch {
				t.Errorf("%q by %d is told to everybody", c.held, c.by)
			}
		}
	}
}

// What breaks the limits changes nothing, and the error says which.
func TestBadInput(t *testing.T) {
	p := newPlace(t)
	edge := kv.NewEdge(p, p.log, new(memory), kv.EdgeOptions{Now: p.clock.time})
	key := func(s string) (string, kv.Draft) { return s, text("v") }
	draft := func(d kv.Draft) (string, kv.Draft) { return "k", d }
	for _, c := range []struct {
		name string
		make func() (string, kv.Draft)
		want error
		says string
	}{
		{"no key", func() (string, kv.Draft) { return key("") }, kv.ErrKey, "empty"},
		{"a long key", func() (string, kv.Draft) { return key(strings.Repeat("k", 1025)) }, kv.ErrKey, "1025 bytes"},
		{"a key of bytes", func() (string, kv.Draft) { return key("\xff\xfe") }, kv.ErrKey, "UTF-8"},
		{"the longest key", func() (string, kv.Draft) { return key(strings.Repeat("k", 1024)) }, nil, ""},
		{"odd keys", func() (string, kv.Draft) { return key("/../%00\x00\n%zz//ü?#") }, nil, ""},
		{"a long value", func() (string, kv.Draft) { return draft(kv.Draft{Bytes: make([]byte, 8<<20+1)}) }, kv.ErrInvalid, "8388608"},
		{"a type with a line end", func() (string, kv.Draft) { return draft(kv.Draft{Type: "text\r\nx: 1"}) }, kv.ErrInvalid, "type"},
		{"a long type", func() (string, kv.Draft) { return draft(kv.Draft{Type: strings.Repeat("t", 257)}) }, kv.ErrInvalid, "type"},
		{"metadata without quotes", func() (string, kv.Draft) { return draft(kv.Draft{Metadata: []byte("{a:1}")}) }, kv.ErrInvalid, "JSON"},
		{"metadata of bytes", func() (string, kv.Draft) { return draft(kv.Draft{Metadata: []byte("\"\xff\"")}) }, kv.ErrInvalid, "JSON"},
		{"long metadata", func() (string, kv.Draft) { return draft(kv.Draft{Metadata: make([]byte, 4<<10+1)}) }, kv.ErrInvalid, "4097"},
		{"many tags", func() (string, kv.Draft) { return draft(kv.Draft{Tags: make([]string, 101)}) }, kv.ErrInvalid, "101 tags"},
		{"an empty tag", func() (string, kv.Draft) { return draft(kv.Draft{Tags: []string{"a", ""}}) }, kv.ErrInvalid, "tag 1"},
		{"a long tag", func() (string, kv.Draft) { return draft(kv.Draft{Tags: []string{strings.Repeat("t", 257)}}) }, kv.ErrInvalid, "257"},
		{"a tag with a comma", func() (string, kv.Draft) { return draft(kv.Draft{Tags: []string{"a,b"}}) }, kv.ErrInvalid, "commas"},
		{"a tag with a space behind", func() (string, kv.Draft) { return draft(kv.Draft{Tags: []string{"a "}}) }, kv.ErrInvalid, "space"},
		{"a negative ttl", func() (string, kv.Draft) { return draft(kv.Draft{TTL: -1}) }, kv.ErrInvalid, "ttl"},
		{"negative stale", func() (string, kv.Draft) { return draft(kv.Draft{TTL: 1, Stale: -1}) }, kv.ErrInvalid, "stale"},
		{"stale for ever", func() (string, kv.Draft) { return draft(kv.Draft{Stale: 1}) }, kv.ErrInvalid, "without a ttl"},
		{"a long life", func() (string, kv.Draft) { return draft(kv.Draft{TTL: kv.MaxLifetime, Stale: 1}) }, kv.ErrInvalid, "100 years"},
		{"all life", func() (string, kv.Draft) { return draft(kv.Draft{TTL: math.MaxInt64, Stale: math.MaxInt64}) }, kv.ErrInvalid, "100 years"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, d := c.make()
			for name, s := range map[string]kv.Store{"keeper": p, "edge": edge} {
				_, err := s.Set(t.Context(), k, d, kv.Condition{})
				if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v, want %v that says %q", name, err, c.want, c.says)
				}
				if c.want == nil {
					wantText(t, s, k, "v")
				} else if n := len(p.disk.records); n > 2 {
					t.Errorf("%d values are kept", n)
				}
				if errors.Is(c.want, kv.ErrKey) {
					_, get := s.Get(t.Context(), k)
					_, many := s.GetMany(t.Context(), []string{"fine", k}, kv.MaxManyBytes)
					_, incr := s.Incr(t.Context(), k, kv.Increment{})
					for _, err := range []error{get, many, incr, s.Delete(t.Context(), k, kv.Condition{})} {
						if !errors.Is(err, kv.ErrKey) {
							t.Errorf("%s: %v", name, err)
						}
					}
				}
			}
		})
	}
	if _, err := p.Incr(t.Context(), "n", kv.Increment{TTL: -1}); !errors.Is(err, kv.ErrInvalid) {
		t.Errorf("a window that ends before it begins: %v", err)
	}
	if _, err := edge.GetMany(t.Context(), make([]string, kv.MaxMany+1), kv.MaxManyBytes); !errors.Is(err, kv.ErrKey) {
		t.Errorf("too many keys: %v", err)
	}
}

// A value with a tag goes when the tag is purged, and only if it was written before that.
func TestTags(t *testing.T) {
	p := newPlace(t)
	edge := kv.NewEdge(p, p.log, new(memory), kv.EdgeOptions{Now: p.clock.time})
	fill := func() {
		set(t, p, "a", kv.Draft{Bytes: []byte("a"), Tags: []string{"x", "y"}})
		set(t, p, "b", kv.Draft{Bytes: []byte("b"), Tags: []string{"z"}})
		set(t, p, "c", text("c"))
	}
	fill()
	wantText(t, edge, "a", "a")
	p.log.add(ruleOf{tag: "y", soft: true})
	for name, s := range map[string]kv.Store{"keeper": p, "edge": edge} {
		if v, err := s.Get(t.Context(), "a"); err != nil || !v.Stale(p.clock.time()) {
			t.Errorf("%s: %+v, %v: not stale after a soft purge", name, v, err)
		}
	}
	set(t, p, "n", kv.Draft{Bytes: []byte("1"), Tags: []string{"soft"}})
	p.log.add(ruleOf{tag: "soft", soft: true})
	if _, err := p.Incr(t.Context(), "n", kv.Increment{By: 1}); err != nil {
		t.Fatal(err)
	}
	if v, err := p.Get(t.Context(), "n"); err != nil || !v.Stale(p.clock.time()) {
		t.Errorf("%+v, %v: fresh again because somebody counted", v, err)
	}
	p.log.add(ruleOf{tag: "y"})
	for _, s := range []kv.Store{p, edge} {
		wantText(t, s, "a", "")
		wantText(t, s, "b", "b")
		wantText(t, s, "c", "c")
	}
	if n, err := p.Incr(t.Context(), "a", kv.Increment{By: 1}); err != nil || n.Number != 1 {
		t.Errorf("%+v, %v: what was purged is not counted on", n, err)
	}
	p.open(t)
	wantText(t, p, "b", "b")
	fill()
	for _, s := range []kv.Store{p, edge} {
		if v, err := s.Get(t.Context(), "a"); err != nil || v.Stale(p.clock.time()) {
			t.Errorf("%+v, %v: what came after the purge is not as it was set", v, err)
		}
	}
}

// A value that was made from what was so at an epoch is kept only if nothing that it was made
// from can have changed.
func TestSince(t *testing.T) {
	ctx := t.Context()
	draft := kv.Draft{Bytes: []byte("made"), Tags: []string{"x"}}
	for name, c := range map[string]struct {
		meanwhile func(*place)
		want      error
	}{
		"nothing":            {func(*place) {}, nil},
		"another key":        {func(p *place) { set(t, p, "other", text("v")) }, nil},
		"another tag":        {func(p *place) { p.log.add(ruleOf{tag: "y"}) }, nil},
		"a write":            {func(p *place) { set(t, p, "k", text("v")) }, kv.ErrCondition},
		"a deletion":         {func(p *place) { _ = p.Delete(ctx, "k", kv.Condition{}) }, kv.ErrCondition},
		"a deletion of none": {func(p *place) { _ = p.Delete(ctx, "none", kv.Condition{}) }, kv.ErrCondition},
		"an increment":       {func(p *place) { _, _ = p.Incr(ctx, "none", kv.Increment{}) }, kv.ErrCondition},
		"a purge":            {func(p *place) { p.log.add(ruleOf{tag: "x"}) }, kv.ErrCondition},
		"a soft purge":       {func(p *place) { p.log.add(ruleOf{tag: "x", soft: true}) }, kv.ErrCondition},
		"a restart":          {func(p *place) { p.open(t) }, kv.ErrCondition},
	} {
		t.Run(name, func(t *testing.T) {
			p, key := newPlace(t), "k"
			set(t, p, "k", text("old"))
			if strings.Contains(name, "none") || strings.Contains(name, "increment") {
				key = "none"
			}
			since := p.log.Current()
			c.meanwhile(p)
			_, err := p.Set(ctx, key, draft, kv.Condition{Since: since})
			if !errors.Is(err, c.want) {
				t.Errorf("set: %v, want %v", err, c.want)
			}
			if _, err := p.Set(ctx, key, draft, kv.Condition{Since: p.log.Current()}); err != nil {
				t.Errorf("set from what is so now: %v", err)
			}
		})
	}
}

// Between disk and log a write is not in the log yet, and its value must not be replaced by
// what was made without it.
func TestSinceWhileTheLogIsWritten(t *testing.T) {
	for name, write := range map[string]func(kv.Store) error{
		"set":    func(s kv.Store) error { _, err := s.Set(t.Context(), "k", text("new"), kv.Condition{}); return err },
		"delete": func(s kv.Store) error { return s.Delete(t.Context(), "k", kv.Condition{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace(t)
				since := p.log.Current()
				p.log.gate = make(chan struct{})
				done := make(chan error)
				go func() { done <- write(p) }()
				synctest.Wait()
				if _, err := p.Set(t.Context(), "k", text("old"), kv.Condition{Since: since}); !errors.Is(err, kv.ErrCondition) {
					t.Errorf("what was made before a write replaces it: %v", err)
				}
				close(p.log.gate)
				if err := <-done; err != nil && !errors.Is(err, kv.ErrMissing) {
					t.Error(err)
				}
			})
		})
	}
}

// broken is a disk that fails after it has asked for the change, as one that is full.
type broken struct{ kv.Disk }

var errFull = errors.New("disk full")

func (b broken) Update(key string, change func([]byte, uint64) ([]byte, time.Time, error)) error {
	_, _, _ = change(nil, 1)
	return errFull
}

// What was refused because of a write that never became durable was not refused for that.
func TestAFailingDiskIsNoVerdict(t *testing.T) {
	p := newPlace(t)
	k, err := kv.NewKeeper(broken{p.disk}, p.log, kv.KeeperOptions{Now: p.clock.time})
	if err != nil {
		t.Fatal(err)
	}
	before := p.log.Current()
	for name, err := range map[string]error{
		"set":       errorOf(k.Set(t.Context(), "k", kv.Draft{}, kv.Condition{})),
		"condition": errorOf(k.Set(t.Context(), "k", kv.Draft{}, kv.Condition{Present: true})),
		"delete":    k.Delete(t.Context(), "k", kv.Condition{}),
	} {
		if !errors.Is(err, kv.ErrDisk) || !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.log.Current() == before {
		t.Error("nobody was told that the value may have changed")
	}
}

func errorOf[T any](_ T, err error) error { return err }

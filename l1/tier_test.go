package l1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/keying"
	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func TestOptions(t *testing.T) {
	for _, opts := range []l1.Options{
		{MaxBytes: -1}, {MaxBytes: l1.MinBytes - 1}, {MaxObject: -1}, {MaxVariants: -1},
	} {
		if _, err := l1.New(&next{}, &epochs{}, opts); err == nil {
			t.Errorf("New(%+v) is content", opts)
		}
	}
	tier, err := l1.New(&next{}, &epochs{}, l1.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tier.Close()
}

func TestAFreshObjectIsAnsweredFromMemory(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	n.fill("/a", "hello", nil)
	n.clock.advance(20 * time.Second)
	ans := n.expect(request(t, "/a"), "hello", rfc9111.Hit)
	want := rfc9111.Decision{Use: rfc9111.Hit, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: 40 * time.Second, HasTTL: true}
	if ans.Decision != want {
		t.Errorf("decision = %+v, want %+v", ans.Decision, want)
	}
	if ans.Head.Status != 200 || ans.Body != nil {
		t.Errorf("answer = %+v", ans)
	}
	head := request(t, "/a")
	head.Method = "HEAD"
	n.expect(head, "hello", rfc9111.Hit)
	n.expect(request(t, "/b"), below, rfc9111.Miss)
	if s := n.Stats(); s.Hits != 2 || s.Misses != 2 || s.Stores != 1 || s.Objects != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestABypassNeverMeetsMemory(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
		return &rfc9111.Answer{Head: page(start, nil), Decision: rfc9111.Decision{
			Use: rfc9111.Bypass, Outer: rfc9111.TierPass, Shield: rfc9111.TierPass, Status: rfc9111.StatusDisabled,
		}}, nil
	}
	req := request(t, "/a")
	req.Bypass = rfc9111.StatusDisabled
	ans := n.expect(req, "", rfc9111.Bypass)
	if ans.Decision.Outer != rfc9111.TierPass {
		t.Errorf("outer = %q", ans.Decision.Outer)
	}
	n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) { return nil, errOrigin }
	if _, err := n.Fetch(context.Background(), req); !errors.Is(err, errOrigin) {
		t.Errorf("a bypass that fails: %v", err)
	}
}

func TestTheOuterTierSaysWhatBecameOfAnAnswerFromBelow(t *testing.T) {
	small := []byte("x")
	tests := []struct {
		name   string
		d      rfc9111.Decision
		length int64
		bytes  []byte
		want   rfc9111.TierUse
	}{
		{"not stored", rfc9111.Decision{Use: rfc9111.Miss}, 10, nil, rfc9111.TierPass},
		{"stored", rfc9111.Decision{Use: rfc9111.Miss, Stored: true}, 10, nil, rfc9111.TierCached},
		{"stored, length unknown", rfc9111.Decision{Use: rfc9111.Miss, Stored: true}, -1, nil, rfc9111.TierCached},
		{"stored, as large as may be", rfc9111.Decision{Use: rfc9111.Miss, Stored: true}, 1 << 20, nil, rfc9111.TierCached},
		{"stored only here", rfc9111.Decision{Use: rfc9111.Miss, Status: rfc9111.StatusOK}, 10, nil, rfc9111.TierCached},
		{"stored nowhere", rfc9111.Decision{Use: rfc9111.Miss, Status: rfc9111.StatusOK}, 1<<20 + 1, nil, rfc9111.TierPass},
		{"not to be stored", rfc9111.Decision{Use: rfc9111.Miss, Status: rfc9111.StatusPass}, 10, nil, rfc9111.TierPass},
		{"stored, too large", rfc9111.Decision{Use: rfc9111.Miss, Stored: true}, 1<<20 + 1, nil, rfc9111.TierPass},
		{"hit below, small", rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit}, 1, small, rfc9111.TierCached},
		{"stale below, small", rfc9111.Decision{Use: rfc9111.Stale, Shield: rfc9111.TierHit}, 1, small, rfc9111.TierCached},
		{"hit below, streamed", rfc9111.Decision{Use: rfc9111.Hit, Shield: rfc9111.TierHit}, 2 << 20, nil, rfc9111.TierPass},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
				head := page(start, func(r *rfc9111.Response) { r.Length = tt.length })
				return &rfc9111.Answer{Head: head, Bytes: tt.bytes, Decision: tt.d}, nil
			}
			if got := n.get(request(t, "/")).Decision.Outer; got != tt.want {
				t.Errorf("outer = %q, want %q", got, tt.want)
			}
		})
	}
}

// What can be read anywhere is read from disk, in slices perhaps, and not held here.
func TestAnswersInSlicesAreNotHeld(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
		body := bytes.NewReader([]byte("slice"))
		head := page(start, func(r *rfc9111.Response) { r.Length = 5 })
		return &rfc9111.Answer{Head: head, Body: io.NopCloser(body), At: body, Decision: rfc9111.Decision{Use: rfc9111.Miss, Stored: true}}, nil
	}
	if got := n.get(request(t, "/")).Decision.Outer; got != rfc9111.TierPass {
		t.Errorf("outer = %q", got)
	}
}

func TestKeysAreCompared(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.CollideHashes()
	n.fill("/a", "a", nil)
	n.expect(request(t, "/b"), below, rfc9111.Miss)
	n.fill("/b", "b", nil)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
	n.expect(request(t, "/b"), "b", rfc9111.Hit)
	n.Dropped(key(t, "/a"), "") // is not held
	n.expect(request(t, "/b"), "b", rfc9111.Hit)
	if s := n.Stats(); s.Objects != 1 {
		t.Errorf("stats = %+v", s)
	}
	// Variants of one key are not mixed with those of another.
	n.fill("/a", "a", varyOn(t, "X", "1"))
	n.fill("/b", "b", varyOn(t, "X", "2"))
	n.expect(requestAt(t, "/b", 1), below, rfc9111.Miss)
	n.expect(requestAt(t, "/b", 2), "b", rfc9111.Hit)
}

func TestStaleWhileRevalidate(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "old", nil)
	n.clock.advance(90 * time.Second)
	req := request(t, "/a")
	ans := n.expect(req, "old", rfc9111.Stale)
	want := rfc9111.Decision{Use: rfc9111.Stale, Outer: rfc9111.TierHit, Status: rfc9111.StatusOK, TTL: -30 * time.Second, HasTTL: true}
	if ans.Decision != want {
		t.Errorf("decision = %+v, want %+v", ans.Decision, want)
	}
	if n.next.refreshed[0] != req || n.next.fetched != 0 {
		t.Errorf("next = %+v", n.next)
	}
	n.fill("/a", "new", nil)
	n.expect(req, "new", rfc9111.Hit)
	n.clock.advance(3 * time.Minute)
	n.expect(req, below, rfc9111.Miss)
	if fetched, refreshed := n.next.asked(); fetched != 1 || refreshed != 1 {
		t.Errorf("next was asked %d times, and for %d refreshes", fetched, refreshed)
	}
	if s := n.Stats(); s.Stale != 1 || s.Hits != 1 || s.Misses != 1 {
		t.Errorf("stats = %+v", s)
	}
}

func TestStaleIfError(t *testing.T) {
	failed := func(status int, b *body) (*rfc9111.Answer, error) {
		return &rfc9111.Answer{
			Head: page(start, func(r *rfc9111.Response) { r.Status = status }), Body: b,
			Decision: rfc9111.Decision{Use: rfc9111.Miss, Shield: rfc9111.TierPass, Forward: rfc9111.ForwardStale, Collapsed: true},
		}, nil
	}
	const after = 5 * time.Minute
	tests := []struct {
		name   string
		after  time.Duration // the fill
		status int           // 0: an error
		during func(n *node)
		stale  bool
	}{
		{"unreachable", after, 0, nil, true},
		{"500", after, 500, nil, true},
		{"503", after, 503, nil, true},
		{"504", after, 504, nil, true},
		{"501 is an answer", after, 501, nil, false},
		{"404 is an answer", after, 404, nil, false},
		{"200", after, 200, nil, false},
		{"too old", 12 * time.Minute, 502, nil, false},
		{"too old, unreachable", 12 * time.Minute, 0, nil, false},
		{"too old once it failed", after, 502, func(n *node) { n.clock.advance(7 * time.Minute) }, false},
		{"purged while it failed", after, 502, func(n *node) { n.epochs.purge(everything) }, false},
		{"another purge while it failed", after, 502, func(n *node) { n.epochs.purge(nothing) }, true},
		{"cleared while it failed", after, 502, func(n *node) { n.Clear() }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			n.fill("/a", "old", nil)
			n.clock.advance(tt.after)
			b := &body{Reader: strings.NewReader("oops")}
			n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
				if tt.during != nil {
					tt.during(n)
				}
				if tt.status == 0 {
					return nil, errOrigin
				}
				return failed(tt.status, b)
			}
			ans, err := n.Fetch(context.Background(), request(t, "/a"))
			if !tt.stale {
				if err == nil && ans.Head.Status != tt.status || err != nil && tt.status != 0 {
					t.Fatalf("got %+v, %v", ans, err)
				}
				if b.closed.Load() {
					t.Error("the answer's body is closed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			d := ans.Decision
			if string(ans.Bytes) != "old" || ans.Body != nil || d.Use != rfc9111.Stale || d.Outer != rfc9111.TierHit ||
				d.Shield != rfc9111.TierPass || d.Forward == "" || d.OuterForward != rfc9111.ForwardStale || d.ForwardStatus != tt.status || d.TTL >= 0 {
				t.Errorf("got %q, %+v", ans.Bytes, d)
			}
			if tt.status != 0 && !b.closed.Load() {
				t.Error("the failure's body is left open")
			}
		})
	}
}

func TestAClientThatLeavesGetsItsError(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "old", nil)
	n.clock.advance(5 * time.Minute)
	ctx, cancel := context.WithCancel(context.Background())
	n.next.fetch = func(ctx context.Context, _ *policy.Request) (*rfc9111.Answer, error) {
		cancel()
		return nil, ctx.Err()
	}
	if _, err := n.Fetch(ctx, request(t, "/a")); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestRequestsThatRefuseAFreshObject(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.expect(request(t, "/a", "Cache-Control", "no-cache"), below, rfc9111.Miss)
	lenient := request(t, "/a", "Cache-Control", "no-cache")
	lenient.Plan.Rules.IgnoreRequest = true
	n.expect(lenient, "hello", rfc9111.Hit)
	// The next tier may still hold what is asked for, or knows to say that nobody does.
	n.expect(request(t, "/b", "Cache-Control", "only-if-cached"), below, rfc9111.Miss)
	n.expect(request(t, "/a", "Cache-Control", "only-if-cached"), "hello", rfc9111.Hit)
	// Stale-if-error is not for a 504 that only says so.
	n.clock.advance(5 * time.Minute)
	n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) {
		return &rfc9111.Answer{Head: page(start, func(r *rfc9111.Response) { r.Status = 504 })}, nil
	}
	if ans := n.get(request(t, "/a", "Cache-Control", "only-if-cached")); ans.Head.Status != 504 {
		t.Errorf("answered with %d", ans.Head.Status)
	}
}

func TestAnEmptyBodyIsABody(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.Filled(key(t, "/a"), page(start, nil), nil)
	if ans := n.expect(request(t, "/a"), "", rfc9111.Hit); ans.Bytes == nil {
		t.Error("the answer has neither Bytes nor Body")
	}
}

func TestAHitAllocatesItsAnswerAlone(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	req := request(t, "/a", "User-Agent", "x", "Accept", "*/*")
	var sink *rfc9111.Answer
	if got := testing.AllocsPerRun(1000, func() { sink, _ = n.Fetch(context.Background(), req) }); got > 1 {
		t.Errorf("%v allocations, want 1", got)
	}
	if sink.Decision.Use != rfc9111.Hit {
		t.Errorf("decision = %+v", sink.Decision)
	}
}

func BenchmarkHit(b *testing.B) {
	n := newNode(b, l1.Options{})
	n.fill("/a", "hello", nil)
	req := request(b, "/a", "User-Agent", "x", "Accept", "*/*")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Fetch(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHitAmongVariants(b *testing.B) {
	n := newNode(b, l1.Options{})
	for i := range 64 {
		n.fill("/a", "hello", varyOn(b, "X", strconv.Itoa(i)))
	}
	req := requestX(b, 0) // the last one looked at
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Fetch(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	n := newNode(b, l1.Options{MaxBytes: 16 << 20})
	resp := page(start, nil)
	keys := make([]keying.Key, 50000)
	for i := range keys {
		keys[i] = key(b, "/"+strconv.Itoa(i))
	}
	body := []byte(text(1 << 10))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		n.Filled(keys[i%len(keys)], resp, body)
		i++
	}
}

package l1_test

import (
	"context"
	"testing"
	"time"

	"weir/l1"
	"weir/policy"
	"weir/rfc9111"
)

func blindSince(since time.Time) func(time.Time, uint64) l1.Sight {
	return func(time.Time, uint64) l1.Sight { return l1.Sight{Blind: true, Since: since} }
}

func TestWhatABlindTierUses(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/old", "old", nil)
	n.clock.advance(10 * time.Second)
	n.fill("/young", "young", nil)
	n.epochs.sight = blindSince(n.clock.Now())
	n.expect(request(t, "/old"), below, rfc9111.Miss)
	n.expect(request(t, "/young"), "young", rfc9111.Hit)
	n.epochs.sight = nil
	n.expect(request(t, "/old"), "old", rfc9111.Hit) // nothing came meanwhile
	if s := n.Stats(); s.Blind != 1 || s.Misses != 1 || s.Hits != 2 {
		t.Errorf("stats = %+v", s)
	}
}

// Whoever has nothing to use need not know what was purged.
func TestSightIsNotNeededForAMissOrABypass(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.get(request(t, "/b"))
	bypass := request(t, "/a")
	bypass.Bypass = rfc9111.StatusPass
	n.get(bypass)
	if looks := n.epochs.looks.Load(); looks != 0 {
		t.Errorf("asked %d times", looks)
	}
}

func TestSightKnowsTheRequest(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	req := request(t, "/a")
	req.MinEpoch = 7
	n.epochs.sight = func(now time.Time, min uint64) l1.Sight {
		if !now.Equal(n.clock.Now()) || min != 7 {
			t.Errorf("Sight at %v for %d", now, min)
		}
		return l1.Sight{}
	}
	n.expect(req, "hello", rfc9111.Hit)
}

// A purge that the look itself brings counts for the request that looked.
func TestWhatTheLookBringsCounts(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.epochs.sight = func(time.Time, uint64) l1.Sight {
		n.epochs.purge(everything)
		return l1.Sight{}
	}
	n.expect(request(t, "/a"), below, rfc9111.Miss)
}

func TestAnswersSayThatTheTierIsCutOff(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.epochs.sight = func(time.Time, uint64) l1.Sight { return l1.Sight{Told: "partition"} }
	n.fill("/a", "hello", nil)
	if d := n.expect(request(t, "/a"), "hello", rfc9111.Hit).Decision; d.Detail != "partition" {
		t.Errorf("a hit: %+v", d)
	}
	n.clock.advance(90 * time.Second)
	if d := n.expect(request(t, "/a"), "hello", rfc9111.Stale).Decision; d.Detail != "partition" {
		t.Errorf("stale: %+v", d)
	}
	n.clock.advance(time.Minute)
	n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) { return nil, errOrigin }
	if d := n.expect(request(t, "/a"), "hello", rfc9111.Stale).Decision; d.Detail != "partition" {
		t.Errorf("instead of a failure: %+v", d)
	}
}

// Stale content in place of a failure is content from memory, too.
func TestABlindTierHasNothingInPlaceOfAFailure(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first l1.Sight // before the origin was asked
		late  l1.Sight // and after it failed
		want  bool
	}{
		{"all is well", l1.Sight{}, l1.Sight{}, true},
		{"blind", l1.Sight{Blind: true, Since: start.Add(time.Second)}, l1.Sight{}, false},
		{"blind, but young", l1.Sight{Blind: true, Since: start}, l1.Sight{Blind: true, Since: start}, true},
		{"blind since then", l1.Sight{}, l1.Sight{Blind: true, Since: start.Add(time.Second)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, l1.Options{})
			n.fill("/a", "hello", nil)
			n.clock.advance(3 * time.Minute) // beyond stale-while-revalidate
			n.epochs.sight = func(time.Time, uint64) l1.Sight {
				if n.epochs.looks.Load() == 1 {
					return tt.first
				}
				return tt.late
			}
			n.next.fetch = func(context.Context, *policy.Request) (*rfc9111.Answer, error) { return nil, errOrigin }
			ans, err := n.Fetch(t.Context(), request(t, "/a"))
			if got := err == nil; got != tt.want {
				t.Errorf("answered %t, want %t: %+v, %v", got, tt.want, ans, err)
			}
		})
	}
}

func TestASoftPurgeMakesStale(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.fill("/b", "other", func(r *rfc9111.Response) { r.Tags = []string{"kept"} })
	n.clock.advance(10 * time.Second)
	n.epochs.soften(func(r *rfc9111.Response) bool { return r.Tags == nil })
	ans := n.expect(request(t, "/a"), "hello", rfc9111.Stale)
	if ans.Decision.TTL != 0 {
		t.Errorf("ttl = %v", ans.Decision.TTL)
	}
	n.expect(request(t, "/b"), "other", rfc9111.Hit)
	if _, refreshed := n.next.asked(); refreshed != 1 {
		t.Errorf("%d refreshes", refreshed)
	}
	n.clock.advance(59 * time.Second) // of its minute of stale-while-revalidate
	n.expect(request(t, "/a"), "hello", rfc9111.Stale)
	n.clock.advance(time.Second)
	n.expect(request(t, "/a"), below, rfc9111.Miss)

	n.fill("/a", "new", nil)
	n.expect(request(t, "/a"), "new", rfc9111.Hit)
}

// A clock that runs on between two looks at it makes nothing fresh.
func TestASoftPurgeThatIsFoundLate(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.epochs.soften(func(*rfc9111.Response) bool {
		n.clock.advance(time.Millisecond)
		return true
	})
	n.expect(request(t, "/a"), "hello", rfc9111.Stale)
}

// What was stale already does not get new windows.
func TestASoftPurgeOfWhatIsStale(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.clock.advance(110 * time.Second)
	n.epochs.soften(everything)
	n.expect(request(t, "/a"), "hello", rfc9111.Stale)
	n.clock.advance(10 * time.Second)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
}

// Without windows there is nothing but a validation.
func TestASoftPurgeWithoutStaleWindows(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", func(r *rfc9111.Response) { r.Terms = rfc9111.Terms{Lifetime: time.Minute} })
	n.epochs.soften(everything)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
}

func TestAHardPurgeAfterASoftOne(t *testing.T) {
	n := newNode(t, l1.Options{})
	n.fill("/a", "hello", nil)
	n.epochs.soften(everything)
	n.expect(request(t, "/a"), "hello", rfc9111.Stale)
	n.epochs.purge(everything)
	n.expect(request(t, "/a"), below, rfc9111.Miss)
}

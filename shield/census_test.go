package shield_test

import (
	"errors"
	"fmt"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
	"weir/shield/shieldtest"
)

func wantMatched(t *testing.T, s *setup, o shield.PurgeOrder, want int64) {
	t.Helper()
	report, err := s.shield.Purge(s.table, o)
	if err != nil {
		t.Fatal(err)
	}
	if report.Matched == nil || *report.Matched != want {
		t.Errorf("%+v matched %v, want %d", o, report.Matched, want)
	}
	if report.Epoch != s.purges.Current() {
		t.Errorf("epoch %d, want %d", report.Epoch, s.purges.Current())
	}
}

// A dry run counts what a purge then hits, and hits nothing.
func TestPurgeCountsWhatItHits(t *testing.T) {
	s := start(t, options{log: new(memoryLog)})
	for i := range 10 {
		s.origin.answer(always(200, "x", "Cache-Control", cacheable, "Cache-Tag", fmt.Sprintf("all, tag%d", i%2)))
		s.get(fmt.Sprint("/", i))
	}
	even := shield.PurgeOrder{Tags: []string{"tag0"}}
	dry := even
	dry.DryRun = true
	before := s.purges.Version()
	wantMatched(t, s, dry, 5)
	wantMatched(t, s, dry, 5)
	if s.purges.Version() != before {
		t.Error("a dry run purges")
	}
	soft := even
	soft.Soft = true
	wantMatched(t, s, soft, 5)
	wantMatched(t, s, dry, 5) // they are still there
	wantMatched(t, s, even, 5)
	wantMatched(t, s, dry, 0)
	wantMatched(t, s, even, 0)
	wantMatched(t, s, shield.PurgeOrder{URLs: []string{"http://example.com/1", "http://example.com/2"}, DryRun: true}, 1)
	wantMatched(t, s, shield.PurgeOrder{Tags: []string{"all"}, Prefixes: []string{"http://example.com/1"}}, 5)
	wantMatched(t, s, shield.PurgeOrder{All: true, DryRun: true}, 0)

	if _, err := s.shield.Purge(s.table, shield.PurgeOrder{}); !errors.Is(err, shield.ErrOrder) {
		t.Errorf("%v", err)
	}
}

// Counting never stands in the way of a purge.
func TestPurgeOfWhatCannotBeCounted(t *testing.T) {
	for name, o := range map[string]options{
		"no store":       {noStore: true},
		"a broken store": {store: &shieldtest.Memory{Fault: broken}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, o)
			report, err := s.shield.Purge(s.table, shield.PurgeOrder{All: true})
			if err != nil || report.Matched != nil || report.Epoch != 1 {
				t.Errorf("%+v, %v", report, err)
			}
		})
	}
}

func broken(op string, _ keying.Key, _ int64) error {
	if op == "heads" {
		return errors.New("cannot be read")
	}
	return nil
}

// manyHeads is a store of so many objects that their heads must not be read.
type manyHeads struct{ *shieldtest.Memory }

func (manyHeads) Objects() int { return 1_000_000 }
func (manyHeads) Heads(func(keying.Key, *rfc9111.Response) bool) error {
	return errors.New("a million heads were read")
}

// A purge costs the same however much is stored.
func TestPurgeLooksAtNoObject(t *testing.T) {
	purges := leaderOf(t, nil)
	s := shield.New(manyHeads{&shieldtest.Memory{}}, purges, shield.Options{Report: func(err error) { t.Error(err) }})
	report, err := s.Purge(nil, shield.PurgeOrder{Tags: []string{"on all of them"}})
	if err != nil || report.Matched != nil {
		t.Errorf("%+v, %v", report, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

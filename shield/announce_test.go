package shield_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"weir/shield"
)

func announce(t *testing.T, p *shield.Purges, key string) uint64 {
	t.Helper()
	epoch, err := p.Announce(key)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// What is announced is written, and named for those who come from before it.
func TestAnnouncedValues(t *testing.T) {
	p, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := p.Current()
	first := announce(t, p, "a")
	announce(t, p, "b")
	if _, err := p.Wrote("large"); err != nil {
		t.Fatal(err)
	}
	last := announce(t, p, "a")
	if !p.Outdated("a", nil, first) || p.Outdated("a", nil, last) {
		t.Error("what is announced is no write")
	}
	for _, test := range []struct {
		after, upTo uint64
		want        []string
	}{
		{before, last, []string{"a", "b"}},
		{before, last - 1, []string{"b", "a"}},
		{first, last, []string{"a", "b"}},
		{before, first, []string{"a"}},
		{last, last, nil},
		{last, before, nil},
		{last + 5, last + 9, nil},
	} {
		if got := p.Announced(test.after, test.upTo); !slices.Equal(got, test.want) {
			t.Errorf("after %d up to %d: %q, want %q", test.after-before, test.upTo-before, got, test.want)
		}
	}
	if _, err := shield.NewFollower().Announce("a"); !errors.Is(err, shield.ErrLog) {
		t.Error(err)
	}
}

// Of many announcements the latest are remembered, and a bounded number.
func TestManyAnnouncedValues(t *testing.T) {
	p, err := shield.NewPurges(nil)
	if err != nil {
		t.Fatal(err)
	}
	before := p.Current()
	for i := range 3000 {
		announce(t, p, strconv.Itoa(i))
		if got := p.Announced(before, p.Current()); len(got) < min(i+1, 512) || len(got) > 1024 || got[0] != strconv.Itoa(i) {
			t.Fatalf("%d keys after %d, the latest %q", len(got), i+1, got[0])
		}
	}
}

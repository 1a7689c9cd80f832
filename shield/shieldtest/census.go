package shieldtest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"weir/keying"
	"weir/rfc9111"
	"weir/shield"
)

// counted checks shield.Census, of a store that has it.
func counted(t *testing.T, s shield.Store) {
	census, ok := s.(shield.Census)
	if !ok {
		return
	}
	heads := func() map[string]uint64 {
		found := map[string]uint64{}
		err := census.Heads(func(key keying.Key, head *rfc9111.Response) bool {
			at := fmt.Sprintf("%x %q", key.Digest(), head.Selection)
			if _, twice := found[at]; twice {
				t.Errorf("%s is there twice", at)
			}
			found[at] = head.Epoch
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	want := map[string]uint64{}
	store := func(path string, epoch uint64, h http.Header) {
		key, resp := Key(t, path), Response(10)
		if h != nil {
			resp = selected(t, resp, h)
		}
		resp.Epoch = epoch
		put(t, s, key, resp, Body(epoch, 10))
		want[fmt.Sprintf("%x %q", key.Digest(), resp.Selection)] = epoch
	}
	for i := range uint64(300) {
		store(fmt.Sprint("/", i), i, nil)
	}
	for i := range uint64(100) { // newer ones hide the older, written or not
		store(fmt.Sprint("/", i), 1000+i, nil)
	}
	store("/v", 1, http.Header{"Accept-Language": {"de"}})
	store("/v", 2, http.Header{"Accept-Language": {"en"}})
	gone := Key(t, "/200")
	if err := s.Drop(gone, ""); err != nil {
		t.Fatal(err)
	}
	delete(want, fmt.Sprintf("%x %q", gone.Digest(), ""))
	if got := heads(); !maps.Equal(got, want) {
		t.Errorf("%d heads, want %d", len(got), len(want))
	}
	if syncer, ok := s.(interface{ Sync() error }); ok {
		if err := syncer.Sync(); err != nil {
			t.Fatal(err)
		}
		if got := heads(); !maps.Equal(got, want) {
			t.Errorf("%d heads when all is durable, want %d", len(got), len(want))
		}
	}
	if n := census.Objects(); n != len(want) {
		t.Errorf("%d objects, want %d", n, len(want))
	}
	variants := func() (epochs []uint64) {
		for _, head := range census.Variants(Key(t, "/v")) {
			epochs = append(epochs, head.Epoch)
		}
		return epochs
	}
	if got := variants(); !slices.Equal(got, []uint64{2, 1}) {
		t.Errorf("variants of epochs %v, want the newest first: 2, 1", got)
	}
	store("/v", 3, http.Header{"Accept-Language": {"de"}})
	if got := variants(); !slices.Equal(got, []uint64{3, 2}) {
		t.Errorf("variants of epochs %v, want 3, 2", got)
	}
	if got := census.Variants(gone); len(got) > 0 {
		t.Errorf("what was dropped has %d variants", len(got))
	}
	visited := 0
	if err := census.Heads(func(keying.Key, *rfc9111.Response) bool { visited++; return visited < 3 }); err != nil || visited != 3 {
		t.Errorf("%d visited before it was enough, %v", visited, err)
	}
}

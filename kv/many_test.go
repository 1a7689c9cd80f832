package kv_test

import (
	"errors"
	"fmt"
	"testing"

	"weir/kv"
)

// A caller can say how much it can take, at a keeper and at an edge.
func TestManyValuesWithinALimit(t *testing.T) {
	p := newPlace(t)
	set(t, p, "a", text("12345"))
	set(t, p, "b", text("12345"))
	for name, s := range map[string]kv.Store{"keeper": p, "edge": newStation(p)} {
		for limit, want := range map[int]error{10: nil, 9: kv.ErrTooMuch} {
			values, err := s.GetMany(t.Context(), []string{"a", "none", "b"}, limit)
			if !errors.Is(err, want) || want == nil && len(values) != 3 {
				t.Errorf("%s, %d bytes: %d values, %v", name, limit, len(values), err)
			}
		}
	}
}

// Nobody can have a keeper hold as much in memory as many keys could name.
func TestManyValuesAreBounded(t *testing.T) {
	p := newPlace(t)
	var keys []string
	for i := range kv.MaxManyBytes / kv.MaxValue {
		keys = append(keys, fmt.Sprint(i))
		set(t, p, keys[i], kv.Draft{Bytes: make([]byte, kv.MaxValue)})
	}
	if values, err := p.GetMany(t.Context(), keys, kv.MaxManyBytes); err != nil || len(values) != len(keys) {
		t.Errorf("%d values, %v", len(values), err)
	}
	set(t, p, "more", kv.Draft{Bytes: []byte("x")})
	if _, err := p.GetMany(t.Context(), append(keys, "more"), kv.MaxManyBytes); !errors.Is(err, kv.ErrTooMuch) {
		t.Error(err)
	}
}

package kv_test

import (
	"errors"
	"fmt"
	"testing"

	"weir/kv"
)

// Nobody can have a keeper hold as much in memory as many keys could name.
func TestManyValuesAreBounded(t *testing.T) {
	p := newPlace(t)
	var keys []string
	for i := range kv.MaxManyBytes / kv.MaxValue {
		keys = append(keys, fmt.Sprint(i))
		set(t, p, keys[i], kv.Draft{Bytes: make([]byte, kv.MaxValue)})
	}
	if values, err := p.GetMany(t.Context(), keys); err != nil || len(values) != len(keys) {
		t.Errorf("%d values, %v", len(values), err)
	}
	set(t, p, "more", kv.Draft{Bytes: []byte("x")})
	if _, err := p.GetMany(t.Context(), append(keys, "more")); !errors.Is(err, kv.ErrTooMuch) {
		t.Error(err)
	}
}

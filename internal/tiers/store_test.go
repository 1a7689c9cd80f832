package tiers_test

import (
	"testing"

	"weir/internal/tiers"
	"weir/l2"
	"weir/shield"
	"weir/shield/shieldtest"
)

// The disk tier keeps the contract that the shield was written against.
func TestDiskTierIsAStore(t *testing.T) {
	shieldtest.TestStore(t, func(t *testing.T) shield.Store {
		s, err := l2.Open(t.TempDir(), l2.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return tiers.Store{Store: s}
	})
}

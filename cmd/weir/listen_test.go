package main

import "testing"

// Two connections for every client and what the disk tier opens must fit.
func TestConnectionsWithin(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 1, 2: 1, 100: 34, 1024: 352, 20000: 9616, 1 << 20: 523904} {
		if got := connectionsWithin(descriptors); got != want {
			t.Errorf("%d connections within %d descriptors, want %d", got, descriptors, want)
		}
	}
}

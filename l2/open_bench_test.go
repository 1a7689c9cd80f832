package l2_test

import (
	"fmt"
	"testing"

	"weir/l2"
)

func BenchmarkOpen(b *testing.B) {
	const n = 300_000
	dir := b.TempDir()
	s := open(b, dir, l2.Options{})
	for i := range n {
		put(b, s, key(b, fmt.Sprint("/", i)), response(300, "1"), make([]byte, 300))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := open(b, dir, l2.Options{}).Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/object")
}
